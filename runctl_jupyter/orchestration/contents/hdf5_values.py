"""Types and places of the values in an HDF5 file."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.contents.bounds import damaged
from runctl_jupyter.orchestration.contents.boxes import Box, Boxes, Held, Swapped
from runctl_jupyter.orchestration.contents.hdf5_file import BLOCK_BYTES, Guarded, guarded, message
from runctl_jupyter.orchestration.contents.model import ITEM_BYTES, Bytes, Place
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
    place: Place | None = None
    if layout == 0:
        size = struct.unpack_from("<H", told, 2)[0]
        place = Held(told[4 : 4 + size], item)
    elif layout == 1:
        place = _contiguous(files, name, struct.unpack_from("<Q", told, 2)[0], shape, item, header)
    elif layout == 2 and version == 3 and header.fillvalue == 0:
        place = _Chunked(files, name, header, shape, item)
    return Swapped(place, item // 2 if dtype.startswith("complex") else item) if place and swapped else place


def _contiguous(
    files: Files, name: str, address: int, shape: tuple[int, ...], item: int, header: DataObjects
) -> Place | None:
    if address == _UNDEFINED:  # never written: all of it is the fill value
        return Boxes(shape, item, (), gaps=True) if header.fillvalue == 0 else None
    if address + prod(shape) * item > files.size(name):
        raise CheckpointUnreadable(
            f"{name} has tensors beyond its end.",
            "It is cut short: take another, `runctl checkpoints list` names them.",
        )
    return Bytes(files, name, address, item)


class _Chunked:
    """Values in chunks of equal shape, deflated or not; the index is read when the first of them is."""

    def __init__(self, files: Files, name: str, header: DataObjects, shape: tuple[int, ...], item_bytes: int) -> None:
        told = message(header, _LAYOUT) or b""
        self._files, self._name, self._shape, self._item = files, name, shape, item_bytes
        self._dims, self._index = struct.unpack_from("<BQ", told, 2)
        self._chunk: tuple[int, ...] = struct.unpack_from(f"<{self._dims - 1}I", told, 11)
        self._filters = [int(step["filter_id"]) for step in header.filter_pipeline or ()]
        if self._dims - 1 != len(shape) or not all(self._chunk):
            raise ValueError("chunks of another shape than the dataset")

    def read(self, start: int, stop: int) -> bytes:
        """Return elements; see `Place.read`."""
        return guarded(self._name, lambda: self._boxes.read(start, stop))

    @cached_property
    def _boxes(self) -> Boxes:
        if self._index == _UNDEFINED:
            return Boxes(self._shape, self._item, (), gaps=True)
        from pyfive.btree import BTreeV1RawDataChunks

        file = Guarded(self._files.open(self._name, BLOCK_BYTES))
        leaves = BTreeV1RawDataChunks(file, self._index, self._dims).all_nodes.get(0, [])
        boxes = {}
        for leaf in leaves:
            for key, address in zip(leaf["keys"], leaf["addresses"], strict=True):
                offsets = key["chunk_offset"][:-1]
                if any(at >= whole for at, whole in zip(offsets, self._shape, strict=True)):
                    raise ValueError("a chunk beyond its dataset")
                place = _Chunk(
                    *(self._files, self._name, address, key["chunk_size"], prod(self._chunk), self._item),
                    [kind for n, kind in enumerate(self._filters) if not key["filter_mask"] >> n & 1],
                )
                boxes[offsets] = Box(offsets, self._chunk, place)
        return Boxes(self._shape, self._item, list(boxes.values()), gaps=True)


@dataclass(frozen=True)
class _Chunk:
    files: Files
    name: str
    address: int
    stored_bytes: int
    elements: int
    item_bytes: int
    filters: Sequence[int]

    def read(self, start: int, stop: int) -> bytes:
        """Return elements; see `Place.read`."""
        if not self.filters:
            return Bytes(self.files, self.name, self.address, self.item_bytes).read(start, stop)
        size = self.elements * self.item_bytes
        if max(size, self.stored_bytes) > _CHUNK_BYTES:
            raise CheckpointUnreadable(
                f"A compressed chunk of {self.name} has {size:,} bytes; read are {_CHUNK_BYTES:,} at most.",
                "Download the file, and read it with h5py.",
            )
        found = self.files.data(self.name, self.address, self.address + self.stored_bytes)
        for kind in reversed(self.filters):
            found = self._undone(kind, found, size)
        if len(found) != size:
            raise ValueError(f"a chunk of {len(found):,} bytes that should have {size:,}")
        return found[start * self.item_bytes : stop * self.item_bytes]

    def _undone(self, kind: int, found: bytes, size: int) -> bytes:
        from numcodecs import Fletcher32, Shuffle

        if kind == _DEFLATE:
            return zlib.decompressobj().decompress(found, size + len(struct.pack("<I", 0)))
        if kind == _CHECKSUM:
            return bytes(Fletcher32().decode(found))
        if kind == _SHUFFLE:
            return bytes(Shuffle(self.item_bytes).decode(found))
        raise NotImplementedError(f"values packed by filter {kind}")
