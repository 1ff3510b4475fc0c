"""What is made where a pickle calls something: functions of this module under the names of what they stand for."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from runctl_jupyter.orchestration.contents.inert import (
    ARRAY_TYPES,
    MOST_PART,
    STORED_ITEM_BYTES,
    Array,
    ArrayType,
    Malformed,
    Named,
    Refused,
    Storage,
    TensorView,
    key,
    sizes,
)

STORAGES = {
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
    "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32",
}
"""Types of storages, and of their elements."""


def storage(pid: Any) -> Storage | None:
    """Return the storage that a persistent id names; None where it names something else."""
    if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage"):
        return None
    kind, key, elements = pid[1], pid[2], pid[4]
    if isinstance(kind, Named) and kind.name in STORAGES and kind.module in ("torch", "torch.storage", "torch.cuda"):
        is_a_key = isinstance(key, str) and len(key) <= 100
        # Since 1.6 no tensor is a view of a storage that is a view of another one.
        if is_a_key and type(elements) is int and 0 <= elements < 1 << 60 and (len(pid) == 5 or pid[5] is None):
            return Storage(key, STORAGES[kind.name], elements)
    raise Malformed("a storage that is none")


def _view(storage: Any, offset: Any, size: Any, stride: Any, dtype: str | None = None) -> TensorView:
    shape, strides = sizes(size), sizes(stride)
    if not isinstance(storage, Storage) or len(shape) != len(strides):
        raise Malformed("a tensor without a storage")
    kind = dtype or storage.dtype
    (offset,) = sizes((offset,))
    item, has = STORED_ITEM_BYTES.get(kind), storage.size
    if item is None or has is None:
        return TensorView(kind, shape, kind=f"values of type {kind}")
    last = offset + sum((n - 1) * each for n, each in zip(shape, strides, strict=True)) + 1
    if 0 not in shape and last * item > has:
        raise Malformed("a tensor that ends after its storage")
    return TensorView(kind, shape, storage, offset, strides)


def _typed_view(storage: Any, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any) -> TensorView:
    return _view(storage, offset, size, stride, _dtype(dtype))


def _dtype(found: Any) -> str:
    if isinstance(found, Named) and found.module == "torch":
        return found.name[:40]
    raise Malformed("a type that is none")


def _quantised(storage: Any, offset: Any, size: Any, stride: Any) -> TensorView:
    return TensorView(_view(storage, offset, size, stride).dtype, sizes(size), kind="quantised tensors")


def _sparse(_layout: Any, data: Any) -> Any:
    if not isinstance(data, tuple) or len(data) < 3:
        raise Malformed("a sparse tensor that is none")
    # COO: indices, values, size; compressed ones: two of indices, values, size.
    values, shape = (
        (data[1], data[2]) if isinstance(data[1], TensorView) and _is_shape(data[2]) else (data[2], data[3:][0])
    )
    if not isinstance(values, TensorView):
        raise Malformed("a sparse tensor that is none")
    return TensorView(values.dtype, sizes(shape), kind="sparse tensors")


def _is_shape(found: Any) -> bool:
    return isinstance(found, (tuple, list)) and all(type(n) is int for n in found)


def _nothing_stored(dtype: Any, size: Any) -> TensorView:
    return TensorView(_dtype(dtype), sizes(size), kind="tensors without values (of the device meta)")


def _of_a_subclass(function: Any, _kind: Any, args: Any) -> Any:
    is_torchs = isinstance(function, Named) and function.module == "torch._utils"
    made = call(function, args) if is_torchs and isinstance(args, tuple) else None
    if not isinstance(made, TensorView):
        raise Malformed("a tensor of a subclass that is none")
    return made


def _as_bytes(text: Any, encoding: Any = "latin1") -> bytes:
    if isinstance(text, bytes):
        return text
    if isinstance(text, str) and encoding in ("latin1", "latin-1"):
        return text.encode("latin1")
    raise Malformed("bytes that are none")


def _as_dict(found: Any = ()) -> dict[Any, Any]:
    if isinstance(found, dict):
        return dict(found)
    pairs = found if isinstance(found, (list, tuple)) else ()
    return {key(each[0]): each[1] for each in pairs if isinstance(each, (list, tuple)) and len(each) == 2}


def _as_list(found: Any = ()) -> list[Any]:
    return list(found) if isinstance(found, (list, tuple)) else []


def _as_path(*parts: Any) -> str:
    return str(PurePosixPath(*(part[:MOST_PART] for part in parts if isinstance(part, str))))


def _device(*parts: Any) -> str:
    return ":".join(str(part)[:MOST_PART] for part in parts if isinstance(part, (str, int)))


def _array_type(text: Any) -> ArrayType:
    if not isinstance(text, str):
        raise Malformed("a type of arrays that is none")
    order = text[0] if text[:1] in ("<", ">", "|", "=") else "<"
    return ArrayType(text.lstrip("<>|="), order)


def _array_scalar(kind: Any, data: Any = b"") -> Any:
    if not isinstance(kind, ArrayType):
        raise Malformed("a number without a type")
    code = ARRAY_TYPES.get(kind.text, ("", ""))[1]
    if not (code and kind.is_plain and isinstance(data, bytes)):
        return None
    return struct.unpack((">" if kind.order == ">" else "<") + code, data)[0]


def _array(data: Any, kind: Any, shape: Any, order: Any) -> Array:
    made = Array()
    made.fill(kind, shape, order == "F", data)
    return made


Maker = tuple[Callable[..., Any], int]
"""What stands for a callable, and how many of its arguments matter."""
_TORCH: Mapping[str, Maker] = {
    "_rebuild_tensor": (_view, 4),
    "_rebuild_tensor_v2": (_view, 4),
    "_rebuild_tensor_v3": (_typed_view, 7),
    "_rebuild_parameter": (lambda data: data, 1),
    "_rebuild_parameter_with_state": (lambda data: data, 1),
    "_rebuild_device_tensor_from_numpy": (lambda data: data, 1),
    "_rebuild_device_tensor_from_cpu_tensor": (lambda data: data, 1),
    "_rebuild_qtensor": (_quantised, 4),
    "_rebuild_sparse_tensor": (_sparse, 2),
    "_rebuild_meta_tensor_no_storage": (_nothing_stored, 2),
}
_NUMPY: Mapping[str, Maker] = {
    "multiarray._reconstruct": (Array, 0),
    "multiarray.scalar": (_array_scalar, 2),
    "numeric._frombuffer": (_array, 4),
}
_MAKERS: Mapping[str, Maker] = {
    **{f"torch._utils.{name}": maker for name, maker in _TORCH.items()},
    **{f"numpy.{core}.{name}": maker for core in ("core", "_core") for name, maker in _NUMPY.items()},
    **{
        f"{module}.{name}": (_as_list, 1)
        for module in ("builtins", "__builtin__")
        for name in ("set", "frozenset", "list", "tuple")
    },
    **{f"{module}.bytearray": (_as_bytes, 2) for module in ("builtins", "__builtin__")},
    **{f"torch.jit._pickle.build_{kind}list": (_as_list, 1) for kind in ("int", "double", "bool", "tensor")},
    **{f"{m}.{k}": (_as_path, 32) for m in ("pathlib", "pathlib._local") for k in ("PosixPath", "WindowsPath", "Path")},
    "torch.jit._pickle.restore_type_tag": (lambda value: value, 1),
    "torch._tensor._rebuild_from_type_v2": (_of_a_subclass, 3),
    "torch.Size": (lambda found: tuple(_as_list(found)), 1),
    "torch.device": (_device, 2),
    "torch.serialization._get_layout": (lambda text: text, 1),
    "numpy.dtype": (_array_type, 1),
    "_codecs.encode": (_as_bytes, 2),
    "collections.OrderedDict": (_as_dict, 1),
    "collections.Counter": (_as_dict, 1),
    "collections.defaultdict": (dict, 0),
}
"""All that may be called: functions of this module under the names of what they stand for."""


def call(function: Named, args: tuple[Any, ...]) -> Any:
    """Return what a callable would make where that describes tensors or is plain; else what stands for it.

    Raises
    ------
    Malformed
        The arguments are none that the callable takes.
    """
    maker = _MAKERS.get(str(function))
    if maker is None:
        return Refused(function, args)
    stand_in, count = maker
    try:
        return stand_in(*args[:count])
    except (TypeError, struct.error) as error:
        raise Malformed(f"{function} with other arguments than it takes") from error


def build(made: Any, state: Any) -> None:
    """Give what was made its state, as ``__setstate__`` would."""
    if isinstance(made, Refused):
        made.state = state
    elif isinstance(made, ArrayType) and isinstance(state, tuple) and len(state) >= 5:
        made.order = state[1] if state[1] in ("<", ">", "|", "=") else "<"
        made.is_plain = state[2] is None and state[3] is None and state[4] is None
    elif isinstance(made, Array) and isinstance(state, tuple) and len(state) == 5:
        made.fill(state[2], state[1], state[3], state[4])
