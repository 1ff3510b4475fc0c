"""NumPy's files: the header of each array, and where its values lie; arrays of objects are named, not unpickled."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass

from runctl_jupyter.orchestration.contents.archives import Archive
from runctl_jupyter.orchestration.contents.bounds import damaged, progress, short_text, some
from runctl_jupyter.orchestration.contents.files import Files
from runctl_jupyter.orchestration.contents.inert import ARRAY_TYPES, MOST_DIMENSIONS
from runctl_jupyter.orchestration.contents.model import ITEM_BYTES, Contents, Tensor
from runctl_jupyter.orchestration.contents.places import Source, Span, Strided, c_strides, fortran_strides
from runctl_jupyter.run_record.checkpoint_names import COUNTERS

_MAGIC = b"\x93NUMPY"
_SUFFIX = ".npy"
_USUAL_HEADER = 128
_MOST_HEADER = 64 << 10
_MOST_ARRAYS = 50_000
# Not by `ast.literal_eval`, as NumPy does it: nested deep enough, a literal ends the interpreter.
_DESCR = re.compile(r"""['"]descr['"]\s*:\s*(?:(['"])([^'"]{1,60})\1|([\[(]))""")
_ORDER = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(([0-9L,\s]{0,1500})\)""")


def read(files: Files, name: str) -> Contents:
    """Return what an ``.npy`` or ``.npz`` holds; arrays are named as `numpy.load` names them, a lone one by its file.

    Raises
    ------
    CheckpointUnreadable
        It is none, is cut short, or was made to do harm.
    """
    begin = files.structure(name, 0, min(files.size(name), len(_MAGIC)))
    if begin == _MAGIC:
        lone = name.rpartition("/")[2].removesuffix(_SUFFIX)
        header = files.structure(name, 0, min(files.size(name), _USUAL_HEADER))
        return _contents(name, {lone: _array(name, files.size(name), _Lone(files, name, header), Span(files, name, 0))})
    if not begin.startswith(b"PK"):
        raise damaged(f"{name} is not a file of NumPy's: it is neither an array nor an archive of them.")
    archive = Archive(files, name)
    entries = [entry for entry in archive.names if entry.endswith(_SUFFIX)]
    if len(entries) > _MOST_ARRAYS:
        raise damaged(f"{name} has more arrays than any checkpoint.")
    arrays = {
        entry.removesuffix(_SUFFIX): _array(
            f"{short_text(entry, 200)} in {name}", archive.size(entry), archive.structure(entry), archive.source(entry)
        )
        for entry in entries
    }
    others = len(archive.names) - len(entries)
    return _contents(name, arrays, (f"{others:,} entries that are no arrays",) if others else ())


@dataclass(frozen=True)
class _Array:
    dtype: str
    shape: tuple[int, ...]
    place: Strided | None
    head: Source
    """Reads within the budget, what describes the array and not the array."""
    start: int

    def number(self) -> int | float | None:
        """Return the value of what holds a single number."""
        code = next((code for kind, code in ARRAY_TYPES.values() if kind == self.dtype), "")
        if self.place is None or math.prod(self.shape) != 1 or not code:
            return None
        data = self.head.read(self.start, self.start + ITEM_BYTES[self.dtype])
        found = struct.unpack((">" if self.place.is_swapped else "<") + code, data)[0]
        return found if isinstance(found, (int, float)) else None


@dataclass(frozen=True)
class _Lone:
    """The beginning of a file that is one array."""

    files: Files
    name: str
    begin: bytes

    def read(self, start: int, end: int) -> bytes:
        """Return bytes; see `Source.read`."""
        return self.begin[start:end] if end <= len(self.begin) else self.files.structure(self.name, start, end)


def _array(what: str, size: int, head: Source, source: Source) -> _Array:
    """Return what the header of an array says, checked against its size."""
    begin = head.read(0, min(size, _USUAL_HEADER))
    wide = begin[6:7] >= b"\x02"
    start = (12 if wide else 10) + int.from_bytes(begin[8 : 12 if wide else 10], "little")
    if not begin.startswith(_MAGIC) or len(begin) < 12 or start > size:
        raise damaged(f"{what} is not an array of NumPy's.")
    if start > _MOST_HEADER:
        raise damaged(f"The header of {what} is longer than that of any array.")
    text = (begin if start <= len(begin) else head.read(0, start))[:start].decode("utf-8", "replace")
    descr, order, shapes = _DESCR.search(text), _ORDER.findall(text), _SHAPE.findall(text)
    if descr is None or not order or not shapes:
        raise damaged(f"The header of {what} does not say what it is.")
    shape = _shape(what, shapes[-1])
    kind = descr[2] or ""
    dtype = ARRAY_TYPES.get(kind.lstrip("<>|="), ("", ""))[0]
    if not dtype:
        return _Array(_name(kind), shape, None, head, start)
    item = ITEM_BYTES[dtype]
    if math.prod(shape) * item > size - start:
        raise damaged(f"{what} has {size - start:,} bytes of values, its shape says more.")
    strides = (fortran_strides if order[-1] == "True" else c_strides)(shape)
    place = Strided(_After(source, start), dtype, shape, strides, is_swapped=kind.startswith(">"))
    return _Array(dtype, shape, place, head, start)


@dataclass(frozen=True)
class _After:
    """A source without its header."""

    source: Source
    start: int

    def read(self, start: int, end: int) -> bytes:
        """Return bytes; see `Source.read`."""
        return self.source.read(self.start + start, self.start + end)


def _shape(what: str, text: str) -> tuple[int, ...]:
    told = [each.strip().removesuffix("L") for each in text.split(",")]
    if told and not told[-1]:
        told.pop()
    if len(told) <= MOST_DIMENSIONS and all(each.isdecimal() and len(each) < 19 for each in told):
        return tuple(int(each) for each in told)
    raise damaged(f"The header of {what} tells a shape that is none.")


def _name(kind: str) -> str:
    """Return a name for a type that no tensor has."""
    return {"": "structured", "O": "object"}.get(kind.lstrip("<>|="), short_text(kind.lstrip("<>|="), 40))


def _contents(name: str, arrays: dict[str, _Array], notes: tuple[str, ...] = ()) -> Contents:
    objects = [key for key, each in arrays.items() if each.dtype == "object"]
    others = [key for key, each in arrays.items() if each.place is None and each.dtype != "object"]
    if objects:
        notes = (*notes, f"arrays of objects, which were not unpickled: {some(objects)}")
    if others:
        notes = (*notes, f"arrays of a type that is none of tensors: {some(others)}")
    told = {key: arrays[key].number() for key in COUNTERS if key in arrays}
    step, epoch = progress(told, name)
    tensors = tuple(Tensor(short_text(key), each.dtype, each.shape, each.place) for key, each in arrays.items())
    return Contents("numpy", tensors, step=step, epoch=epoch, notes=notes)
