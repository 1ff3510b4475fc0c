"""Pickles that say what they need: what they refer to is noted while they are written, and ends the file."""

from __future__ import annotations

import importlib
import json
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Optional

from runctl_jupyter.run_record.formats import (
    CLOUDPICKLE,
    PICKLE,
    NotReadable,
    NotWritable,
    available,
    first_line,
    is_library,
    library_version,
    python_version,
    top_module,
)

_PLAIN = frozenset({"builtins", "collections", "copyreg", "datetime", "decimal", "fractions", "uuid", "zoneinfo"})
"""Modules whose classes every Python since 3.9 reads from a pickle of any other."""
_MARK = b"RUNCTL1\n"
_SIZE = struct.Struct("<Q")


class Pickled(NamedTuple):
    """What it takes to read a pickle."""

    format: str
    python: Optional[str] = None
    """This Python and no other, e.g. ``3.11``: the pickle carries code."""
    libraries: Mapping[str, str] = {}
    """Modules it refers to, and their versions here."""


def write_pickle(value: Any, path: Path) -> Pickled:
    """Write a pickle; tensors in it are moved to the CPU, because the reader may lack the device.

    Raises
    ------
    NotWritable
        It cannot be pickled.
    OSError
        The file cannot be written.
    """
    code: Optional[ModuleType] = importlib.import_module("cloudpickle") if available("cloudpickle") else None
    base: Any = code.Pickler if code is not None else pickle.Pickler
    inherited = getattr(base, "reducer_override", None)
    modules: set[str] = set()

    class Noting(base):  # type: ignore[misc]
        def reducer_override(self, found: Any) -> Any:
            name = found.__name__ if isinstance(found, ModuleType) else getattr(found, "__module__", None)
            modules.add(top_module(name) or "builtins")
            if type(found).__module__ == "torch" and type(found).__name__ == "Tensor" and found.device.type != "cpu":
                moved = found.detach().cpu().requires_grad_(found.requires_grad)
                return moved.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
            return NotImplemented if inherited is None else inherited(self, found)

    try:
        with path.open("wb") as stream:
            Noting(stream, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
            if code is None and "__main__" in modules:
                raise NotWritable("it is made of code from the notebook, and cloudpickle is not installed")
            if modules <= _PLAIN:
                return Pickled(PICKLE)
            python = python_version() if "cloudpickle" in modules else None
            libraries = {name: library_version(name) or "" for name in sorted(modules) if is_library(name)}
            needs = json.dumps({"python": python, "libraries": libraries}).encode()
            stream.write(needs + _SIZE.pack(len(needs)) + _MARK)
    except (NotWritable, OSError):
        path.unlink(missing_ok=True)
        raise
    except Exception as error:
        path.unlink(missing_ok=True)
        raise NotWritable(first_line(error)) from error
    return Pickled(CLOUDPICKLE, python, libraries)


def read_pickle(path: Path) -> Any:
    """Read a pickle that every Python can read."""
    with path.open("rb") as stream:
        return pickle.load(stream)  # noqa: S301 - written by the user's own program, asked for by name


def read_cloudpickle(path: Path) -> Any:
    """Read a pickle, but only where what it needs is there: unpickled elsewhere, code can crash the process.

    Raises
    ------
    NotReadable
        Python is another, or a library is missing.
    """
    needs = _needs(path)
    if needs["python"] not in (None, python_version()):
        raise NotReadable(f"it holds code of Python {needs['python']}, and this is Python {python_version()}")
    missing = [name for name in needs["libraries"] if not available(name)]
    if missing:
        raise NotReadable(f"it needs {' and '.join(missing)}, not installed here")
    try:
        return read_pickle(path)
    except Exception as error:
        there = ", ".join(f"{name} {version}" for name, version in needs["libraries"].items())
        raise NotReadable(first_line(error) + (f" (written with {there})" if there else "")) from error


def _needs(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        data_end = stream.seek(0, 2) - _SIZE.size - len(_MARK)
        if data_end > 0:
            stream.seek(data_end)
            (size,) = _SIZE.unpack(stream.read(_SIZE.size))
            if stream.read() == _MARK and size <= data_end:
                stream.seek(data_end - size)
                needs: dict[str, Any] = json.loads(stream.read(size))
                return needs
    raise NotReadable("it is cut short")
