"""Models of Keras in its three kinds of files: ``python written_by_keras.py FOLDER``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
from rows import Rows

folder = Path(sys.argv[1])
rows = Rows("keras", "h5py")
model = keras.Sequential(
    [keras.layers.Input((16,)), keras.layers.Dense(32, name="hidden"), keras.layers.Dense(4, name="out")]
)
model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
model.fit(np.random.rand(64, 16), np.random.rand(64, 4), batch_size=16, epochs=2, verbose=0)
kernel = np.asarray(model.get_layer("hidden").get_weights()[0])
for what, name, tensor in (
    ("model", "m.keras", "layers/dense/vars/0"),
    ("weights", "m.weights.h5", "layers/dense/vars/0"),
    ("model as HDF5", "m.h5", "model_weights/hidden/sequential/hidden/kernel"),
):
    model.save_weights(folder / name) if what == "weights" else model.save(folder / name)
    rows.add(what, folder / name, model.count_params(), 8, tensor, kernel)
rows.tell()
