"""Parameters of JAX as safetensors and as NumPy's archive: ``python written_by_jax.py FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import numpy as np
from rows import Rows
from safetensors.flax import save_file

folder = Path(sys.argv[1])
rows = Rows("jax", "safetensors")
key = jax.random.PRNGKey(0)
parameters = {"dense.kernel": jax.random.normal(key, (32, 16)), "dense.bias": jax.numpy.zeros(16, jax.numpy.bfloat16)}
count, kernel = 32 * 16 + 16, np.asarray(parameters["dense.kernel"])
save_file(parameters, folder / "step_40.safetensors")
rows.add("safetensors.flax", folder / "step_40.safetensors", count, 40, "dense.kernel", kernel)
np.savez(folder / "step_40.npz", **{name: np.asarray(each, np.float32) for name, each in parameters.items()})
rows.add("numpy.savez", folder / "step_40.npz", count, 40, "dense.kernel", kernel)
rows.tell()
