"""The formats of values: their names, and what it takes to read them.

A format's first word names the container, a second one what is built from it (``parquet series``). A pickle of what
every Python knows is ``pickle``; one that needs libraries, or this very Python, is ``cloudpickle``.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import PurePath
from typing import Any, Optional

JSON, PICKLE, CLOUDPICKLE = "json", "pickle", "cloudpickle"
NPY, NPY_SCALAR = "npy", "npy scalar"
FRAME, SERIES, ARROW, POLARS = "parquet", "parquet series", "parquet arrow", "parquet polars"
TENSORS, TENSOR, STATE, ARRAYS = "safetensors", "safetensors tensor", "safetensors state", "safetensors numpy"

_LIBRARIES: dict[str, tuple[str, ...]] = {
    NPY: ("numpy",),
    NPY_SCALAR: ("numpy",),
    FRAME: ("pandas", "pyarrow"),
    SERIES: ("pandas", "pyarrow"),
    ARROW: ("pyarrow",),
    POLARS: ("polars",),
    TENSORS: ("torch", "safetensors"),
    TENSOR: ("torch", "safetensors"),
    STATE: ("torch", "safetensors"),
    ARRAYS: ("numpy", "safetensors"),
}


class NotWritable(Exception):
    """The value cannot be written; the message says why."""


class NotReadable(Exception):
    """The file cannot be read here; the message says why."""


def libraries_of(kind: str) -> tuple[str, ...]:
    """Return the modules without which a format cannot be read; a pickle says itself what it needs."""
    return _LIBRARIES.get(kind, ())


def python_version() -> str:
    """Return the version that decides whether code in a pickle can be read, e.g. ``3.11``."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def available(module: str) -> bool:
    """Return whether a module can be imported, without importing it."""
    if module in sys.modules:
        return sys.modules[module] is not None
    return importlib.util.find_spec(module) is not None


def is_library(module: str) -> bool:
    """Return whether an imported module was installed: it is neither Python's own nor a file of the project."""
    found = sys.modules.get(module)
    places = [getattr(found, "__file__", None), *getattr(found, "__path__", ())]
    return any(place and {"site-packages", "dist-packages"} & set(PurePath(place).parts) for place in places)


def library_version(module: str) -> Optional[str]:
    """Return the version of what an importable module was installed from, without importing it."""
    from importlib import metadata

    try:
        return metadata.version(module)
    except metadata.PackageNotFoundError:
        for found in metadata.distributions():
            names = (found.read_text("top_level.txt") or "").split()
            if module in names or any(each.parts[0] in (module, module + ".py") for each in found.files or ()):
                return found.version
    return None


def top_module(name: Any) -> str:
    """Return the package that a module's name begins with."""
    return name.partition(".")[0] if isinstance(name, str) else ""


def first_line(error: BaseException) -> str:
    """Return what an error says, for people."""
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]
