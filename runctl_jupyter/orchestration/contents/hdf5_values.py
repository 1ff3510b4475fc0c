"""Types and places of the values in an HDF5 file."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.contents.bounds import damaged
from runctl_jupyter.orchestration.contents.boxes import Box, Boxes
from runctl_jupyter.orchestration.contents.hdf5_file import BLOCK_BYTES, Guarded, guarded, message
from runctl_jupyter.orchestration.contents.model import ITEM_BYTES, Place
from runctl_jupyter.orchestration.contents.places import InMemory, Source, Span, Strided, c_strides
from runctl_jupyter.orchestration.errors import CheckpointUnreadable

if TYPE_CHECKING:
    from pyfive.dataobjects import DataObjects

    from runctl_jupyter.orchestration.contents.files import Files

_DATATYPE, _LAYOUT, _EXTERNAL_FILES = 3, 8, 7
"""Messages of an object's header that say how its values are kept."""
_FLOATING, _STRING, _OPAQUE, _TEXTS = 1, 3, 5, 9
_FLOATS = {(2, 5): "float16", (2, 8): "bfloat16", (4, 8): "float32", (8, 11): "float64"}
"""Types by bytes and bits of the exponent; pyfive takes every one of two bytes for float16."""
_UNDEFINED = 0xFFFFFFFFFFFFFFFF
_DEFLATE, _SHUFFLE, _CHECKSUM = 1, 2, 3
_CHECKSUM_BYTES = 4
_CHUNK_BYTES = 128 << 20
_DEFLATED_AT_MOST = 1032
"""How many bytes deflate can make of one; what claims more than that of its whole file is made up."""


def type_of(header: DataObjects, attributes: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the name of a dataset's type, and whether its bytes are swapped (big-endian)."""
    told = message(header, _DATATYPE) or b"\xff"
    kind = told[0] & 0x0F
    if kind == _FLOATING:
        size, exponent = struct.unpack_from("<I", told, 4)[0], told[13]
        return _FLOATS.get((size, exponent), f"float of {size} bytes"), bool(told[1] & 1)
    if kind == _OPAQUE:  # Keras writes bfloat16 as bytes, and what they are beside it
        named = attributes.get("dtype")
        named = named.decode("utf-8", "replace") if isinstance(named, bytes) else named
        size = struct.unpack_from("<I", told, 4)[0]
        return (named if isinstance(named, str) and ITEM_BYTES.get(named) == size else "opaque"), False
    if kind in {_STRING, _TEXTS}:
        return "text", False
    try:
        found = header.ptype.dtype
    except NotImplementedError:
        return "unknown", False
    members = (found.metadata or {}).get("enum", {})
    name = "bool" if {"FALSE", "TRUE"} == set(members) else found.name
    return (name if name in ITEM_BYTES else "unknown"), found.byteorder == ">"


def place_of(
    files: Files, name: str, header: DataObjects, shape: tuple[int, ...], dtype: str, swapped: bool
) -> Place | None:
    """Return where a dataset's values are; None when they cannot be read."""
    item = ITEM_BYTES.get(dtype)
    told = message(header, _LAYOUT)
    if item is None or told is None or message(header, _EXTERNAL_FILES) is not None or told[0] not in {3, 4}:
        return None
    if prod(shape) * item > _DEFLATED_AT_MOST * files.size(name):
        raise damaged(f"A tensor of {name} claims {prod(shape):,} values, more than the file can hold.")
    version, layout = told[0], told[1]
    values = _Values(files, name, header, shape, dtype, swapped)
    if layout == 0:
        size = struct.unpack_from("<H", told, 2)[0]
        if min(size, len(told) - 4) < prod(shape) * item:
            raise damaged(f"A tensor of {name} has fewer values than its shape says.")
        return values.of(InMemory(told[4 : 4 + size]), shape)
    if layout == 1:
        return _contiguous(values, struct.unpack_from("<Q", told, 2)[0])
    return _Chunked(values) if layout == 2 and version == 3 and header.fillvalue == 0 else None


@dataclass(frozen=True)
class _Values:
    """What is known of a dataset's values, wherever they are."""

    files: Files
    name: str
    header: DataObjects
    shape: tuple[int, ...]
    dtype: str
    is_swapped: bool

    @property
    def item_bytes(self) -> int:
        return ITEM_BYTES[self.dtype]

    def of(self, source: Source, shape: tuple[int, ...]) -> Place:
        """Return the values in a source."""
        return Strided(source, self.dtype, shape, c_strides(shape), is_swapped=self.is_swapped)


def _contiguous(values: _Values, address: int) -> Place | None:
    files, name, shape, item = values.files, values.name, values.shape, values.item_bytes
    if address == _UNDEFINED:  # never written: all of it is the fill value
        return Boxes(shape, item, (), gaps=True) if values.header.fillvalue == 0 else None
    if address + prod(shape) * item > files.size(name):
        raise damaged(f"{name} is cut short: it has tensors beyond its end.")
    return values.of(Span(files, name, address), shape)


class _Chunked:
    """Values in chunks of equal shape, deflated or not; the index is read when the first of them is."""

    def __init__(self, values: _Values) -> None:
        told = message(values.header, _LAYOUT) or b""
        self._values = values
        self._dims, self._index = struct.unpack_from("<BQ", told, 2)
        self._chunk: tuple[int, ...] = struct.unpack_from(f"<{self._dims - 1}I", told, 11)
        self._filters = [int(step["filter_id"]) for step in values.header.filter_pipeline or ()]
        if self._dims - 1 != len(values.shape) or not all(self._chunk):
            raise ValueError("chunks of another shape than the dataset")

    def read(self, start: int, stop: int) -> bytes:
        """Return elements; see `Place.read`."""
        return guarded(self._values.name, lambda: self._boxes.read(start, stop))

    @cached_property
    def _boxes(self) -> Boxes:
        values = self._values
        boxes = {}
        for key, address in self._listed():
            offsets = key["chunk_offset"][:-1]
            if any(at >= whole for at, whole in zip(offsets, values.shape, strict=True)):
                raise ValueError("a chunk beyond its dataset")
            filters = [kind for n, kind in enumerate(self._filters) if not key["filter_mask"] >> n & 1]
            source: Source = Span(values.files, values.name, address)
            if filters:
                size = prod(self._chunk) * values.item_bytes
                source = _Packed(source, values.name, key["chunk_size"], size, values.item_bytes, filters)
            boxes[offsets] = Box(offsets, self._chunk, values.of(source, self._chunk))
        return Boxes(values.shape, values.item_bytes, list(boxes.values()), gaps=True)

    def _listed(self) -> Iterator[tuple[Mapping[str, Any], int]]:
        """Yield what the index says of each chunk, and where it is."""
        if self._index == _UNDEFINED:
            return
        from pyfive.btree import BTreeV1RawDataChunks

        file = Guarded(self._values.files.open(self._values.name, BLOCK_BYTES))
        for leaf in BTreeV1RawDataChunks(file, self._index, self._dims).all_nodes.get(0, []):
            yield from zip(leaf["keys"], leaf["addresses"], strict=True)


@dataclass(frozen=True)
class _Packed:
    """A chunk that went through filters."""

    source: Source
    name: str
    stored_bytes: int
    size: int
    item_bytes: int
    filters: Sequence[int]

    def read(self, start: int, end: int) -> bytes:
        """Return bytes of it, unpacked; see `Source.read`."""
        if max(self.size, self.stored_bytes) > _CHUNK_BYTES:
            raise CheckpointUnreadable(
                f"A compressed chunk of {self.name} has {self.size:,} bytes; read are {_CHUNK_BYTES:,} at most.",
                "Download the file, and read it with h5py.",
            )
        found = self.source.read(0, self.stored_bytes)
        for kind in reversed(self.filters):
            found = self._undone(kind, found)
        if len(found) != self.size:
            raise ValueError(f"a chunk of {len(found):,} bytes that should have {self.size:,}")
        return found[start:end]

    def _undone(self, kind: int, found: bytes) -> bytes:
        from numcodecs import Fletcher32, Shuffle

        if kind == _DEFLATE:
            return zlib.decompressobj().decompress(found, self.size + _CHECKSUM_BYTES)
        if kind == _CHECKSUM:
            return bytes(Fletcher32().decode(found))
        if kind == _SHUFFLE:
            return bytes(Shuffle(self.item_bytes).decode(found))
        raise NotImplementedError(f"values packed by filter {kind}")
