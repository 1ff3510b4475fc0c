"""How the value of a variable becomes a file and a value again: in a format of data where one holds it, else a pickle.

`runner/cell.py` runs this in the script's own Python without the rest of the package: this module and those it imports
(`formats`, `plain`, `arrays`, `frames`, `pickles`) need nothing else of ours, and of numpy, pandas and their like only
what a value at hand belongs to. Tensors arrive on the CPU: the other side need not have the device.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

from runctl_jupyter.run_record import arrays, frames, pickles, plain
from runctl_jupyter.run_record.formats import (
    ARRAYS,
    ARROW,
    CLOUDPICKLE,
    FRAME,
    JSON,
    NPY,
    NPY_SCALAR,
    PICKLE,
    POLARS,
    SERIES,
    STATE,
    TENSOR,
    TENSORS,
    NotReadable,
    NotWritable,
    available,
    first_line,
    libraries_of,
    top_module,
)

__all__ = ["NotReadable", "NotWritable", "Written", "dump", "format_of", "load", "type_name"]


class Written(NamedTuple):
    """How a value was written, and what it takes to read it again besides `formats.libraries_of` the format."""

    format: str
    type: str
    python: Optional[str] = None
    """This Python and no other, e.g. ``3.11``: a pickle carries code."""
    libraries: Mapping[str, str] = {}
    """Modules that a pickle refers to, and their versions here."""


def dump(value: Any, path: Path) -> Written:
    """Write `value` to `path`, in a format of data if one gives exactly this value back.

    Raises
    ------
    NotWritable
        No format takes it.
    OSError
        The file cannot be written.
    """
    kind = format_of(value)
    if kind != CLOUDPICKLE:
        try:
            _WRITERS[kind](value, path)
            return Written(kind, type_name(value))
        except OSError:
            raise
        except Exception:  # noqa: BLE001 - whatever a library has against the value, a pickle may still hold it
            path.unlink(missing_ok=True)
    pickled = pickles.write_pickle(value, path)
    return Written(pickled.format, type_name(value), pickled.python, pickled.libraries)


def load(kind: str, path: Path) -> Any:
    """Return the value that was written to `path` in format `kind`.

    Raises
    ------
    NotReadable
        A library is missing, Python is another, or the bytes are not what they should be.
    """
    if kind not in _READERS:
        raise NotReadable(f"its format {kind!r} is not known here")
    missing = [name for name in libraries_of(kind) if not available(name)]
    if missing:
        raise NotReadable(f"it needs {' and '.join(missing)}, not installed here")
    try:
        return _READERS[kind](path)
    except NotReadable:
        raise
    except Exception as error:
        raise NotReadable(first_line(error)) from error


def format_of(value: Any) -> str:
    """Return the format that `dump` tries first, without writing anything."""
    kind, top = type(value), top_module(type(value).__module__)
    if kind in (dict, OrderedDict) and value:
        found = _format_of_dict(value)
        if found is not None:
            return found
    if kind in plain.TYPES:
        return JSON if plain.is_json(value) else CLOUDPICKLE
    if top == "numpy":
        return arrays.numpy_format(value)
    if top == "pandas" and available("pyarrow"):
        return {"DataFrame": FRAME, "Series": SERIES}.get(kind.__name__, CLOUDPICKLE)
    if top == "pyarrow" and kind.__name__ == "Table":
        return ARROW
    if top == "polars" and kind.__name__ == "DataFrame":
        return POLARS
    return TENSOR if top == "torch" and available("safetensors") and arrays.is_tensor(value) else CLOUDPICKLE


def type_name(value: Any) -> str:
    """Return a value's type as people write it, e.g. ``pandas.DataFrame``."""
    kind = type(value)
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    top = top_module(kind.__module__)
    public = getattr(sys.modules.get(top), kind.__name__, None) is kind
    return f"{top if public else kind.__module__}.{kind.__qualname__}"


def _format_of_dict(value: Mapping[Any, Any]) -> Optional[str]:
    """Return the format for a dictionary of tensors or of arrays, None if it is neither."""
    if not all(type(key) is str and key != "__metadata__" for key in value):
        return None
    tops = {top_module(type(item).__module__) for item in value.values()}
    if tops == {"torch"} and available("safetensors") and all(map(arrays.is_tensor, value.values())):
        return TENSORS if type(value) is dict else STATE
    if tops == {"numpy"} and available("safetensors") and all(map(arrays.is_numbers, value.values())):
        return ARRAYS if type(value) is dict else None
    return None


_WRITERS: dict[str, Callable[[Any, Path], None]] = {
    JSON: plain.write_json,
    NPY: arrays.write_npy,
    NPY_SCALAR: arrays.write_npy,
    FRAME: frames.write_pandas,
    SERIES: frames.write_pandas,
    ARROW: frames.write_arrow,
    POLARS: frames.write_polars,
    TENSORS: arrays.write_tensors,
    TENSOR: arrays.write_tensors,
    STATE: arrays.write_tensors,
    ARRAYS: arrays.write_arrays,
}
_READERS: dict[str, Callable[[Path], Any]] = {
    JSON: plain.read_json,
    PICKLE: pickles.read_pickle,
    CLOUDPICKLE: pickles.read_cloudpickle,
    NPY: arrays.read_npy,
    NPY_SCALAR: arrays.read_npy_scalar,
    FRAME: frames.read_frame,
    SERIES: frames.read_series,
    ARROW: frames.read_arrow,
    POLARS: frames.read_polars,
    TENSORS: arrays.read_tensors,
    TENSOR: arrays.read_tensor,
    STATE: arrays.read_state,
    ARRAYS: arrays.read_arrays,
}
