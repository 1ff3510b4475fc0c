"""Arrays and tensors in files: ``npy`` and ``safetensors``. What is imported belongs to the value at hand."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

from runctl_jupyter.run_record.formats import CLOUDPICKLE, NPY, NPY_SCALAR, NotWritable

_OURS = "runctl"
"""Key of our own line in a file's metadata."""


def numpy_format(value: Any) -> str:
    """Return the format for a value of a type of numpy's."""
    import numpy as np

    kind: Any = type(value)
    if kind in (np.ndarray, np.memmap):
        return CLOUDPICKLE if value.dtype.hasobject else NPY
    if isinstance(value, np.generic) and not value.dtype.hasobject and type(np.asarray(value)[()]) is kind:
        return NPY_SCALAR
    return CLOUDPICKLE


def is_numbers(value: Any) -> bool:
    """Return whether safetensors keeps the array as it is."""
    import numpy as np

    if type(value) is not np.ndarray:
        return False
    return value.dtype.kind in "biuf" and value.dtype.itemsize <= 8 and bool(value.dtype.isnative)


def write_npy(value: Any, path: Path) -> None:
    """Write an array or a scalar."""
    import numpy as np

    dtype = value.dtype
    if dtype.metadata or np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype)) != dtype:
        raise NotWritable(f"npy does not keep {dtype}")
    with path.open("wb") as stream:
        np.save(stream, np.asarray(value), allow_pickle=False)


def read_npy(path: Path) -> Any:
    """Read an array."""
    import numpy as np

    with path.open("rb") as stream:
        return np.load(stream, allow_pickle=False)


def read_npy_scalar(path: Path) -> Any:
    """Read a scalar."""
    return read_npy(path)[()]


def write_arrays(value: Any, path: Path) -> None:
    """Write a dictionary of arrays."""
    import numpy as np
    from safetensors.numpy import save_file

    arrays = {name: np.asarray(array, order="C") for name, array in value.items()}
    save_file(arrays, str(path), {_OURS: json.dumps({"names": list(value)})})


def read_arrays(path: Path) -> dict[str, Any]:
    """Read a dictionary of arrays."""
    from safetensors import safe_open

    with safe_open(str(path), framework="numpy") as found:
        return {name: found.get_tensor(name) for name in json.loads(found.metadata()[_OURS])["names"]}


def is_tensor(value: Any) -> bool:
    """Return whether safetensors keeps the tensor."""
    import torch

    if type(value) not in (torch.Tensor, torch.nn.Parameter):
        return False
    return value.layout is torch.strided and not value.is_quantized and value.device.type != "meta"


def write_tensors(value: Any, path: Path) -> None:
    """Write a tensor, a dictionary of tensors or a module's state; on the CPU and without the graph behind them."""
    import torch
    from safetensors.torch import save_file

    tensors = value if isinstance(value, dict) else {"value": value}
    told = {
        "names": list(tensors),
        "grad": [name for name, tensor in tensors.items() if tensor.requires_grad],
        "parameters": [name for name, tensor in tensors.items() if type(tensor) is torch.nn.Parameter],
        "metadata": getattr(value, "_metadata", None) if isinstance(value, OrderedDict) else None,
    }
    flat, storages = {}, set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
        place = plain.untyped_storage().data_ptr()
        # Tied weights: safetensors takes no memory twice, but two tensors of the same values.
        flat[name] = plain.clone() if place in storages else plain
        storages.add(place)
    save_file(flat, str(path), {_OURS: json.dumps(told)})


def read_tensors(path: Path) -> dict[str, Any]:
    """Read a dictionary of tensors."""
    return _tensors(path)[0]


def read_tensor(path: Path) -> Any:
    """Read a tensor."""
    return _tensors(path)[0]["value"]


def read_state(path: Path) -> Any:
    """Read a module's state."""
    tensors, told = _tensors(path)
    state = OrderedDict(tensors)
    if told["metadata"] is not None:
        # PyTorch keeps there the versions of the modules' own formats.
        state._metadata = OrderedDict(told["metadata"])  # type: ignore[attr-defined]  # noqa: SLF001
    return state


def _tensors(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    import torch
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as found:
        told: dict[str, Any] = json.loads(found.metadata()[_OURS])
        tensors = {name: found.get_tensor(name) for name in told["names"]}
    for name in told["parameters"]:
        tensors[name] = torch.nn.Parameter(tensors[name], requires_grad=name in told["grad"])
    for name in told["grad"]:
        tensors[name].requires_grad_(True)
    return tensors, told
