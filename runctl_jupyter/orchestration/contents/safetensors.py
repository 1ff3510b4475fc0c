"""Safetensors: a header in JSON, then the values of its tensors; all of it is checked before any of it is believed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from runctl_jupyter.orchestration.contents.bounds import damaged, facts, json_object, progress, short_text, some
from runctl_jupyter.orchestration.contents.files import BLOCK_BYTES, Files
from runctl_jupyter.orchestration.contents.model import ITEM_BYTES, Bytes, Contents, Tensor
from runctl_jupyter.orchestration.units import size_text

DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
}
"""Names of types in a header, and ours (see `ITEM_BYTES`)."""
_LENGTH_BYTES = 8
_MOST_HEADER = 16 << 20
_DIGITS = re.compile(r"(\d+)", re.ASCII)
_MOST_DIGITS = 18
_MOST_DIMENSIONS = 64


def read(files: Files, name: str) -> Contents:
    """Return what a file of safetensors holds.

    Raises
    ------
    CheckpointUnreadable
        The header is not one, or its tensors do not lie in the file one beside the other.
    """
    size = files.size(name)
    beginning = files.structure(name, 0, min(BLOCK_BYTES, size))
    length = int.from_bytes(beginning[:_LENGTH_BYTES], "little")
    start = _LENGTH_BYTES + length
    if size < _LENGTH_BYTES or start > size:
        raise damaged(
            f"{name} ends within its header: it has {size:,} of at least {max(start, _LENGTH_BYTES):,} bytes."
        )
    if length > _MOST_HEADER:
        raise damaged(
            f"The header of {name} has {size_text(length)}; such a header has {size_text(_MOST_HEADER)} at most."
        )
    data = beginning[:start]
    if start > len(data):
        data += files.structure(name, len(data), start)
    header = json_object(name, data[_LENGTH_BYTES:])
    metadata = header.pop("__metadata__", {})
    if not (isinstance(metadata, dict) and all(isinstance(each, str) for each in metadata.values())):
        raise damaged(f"The metadata of {name} is not made of texts.")
    tensors, spans = [], []
    for key, each in header.items():
        dtype, shape, (begin, end) = _described(name, key, each)
        if end > size - start:
            raise damaged(f"{name} ends at byte {size:,}, before its tensor {short_text(key, 200)!r} does.")
        item = ITEM_BYTES.get(dtype)
        if item is not None and end - begin != math.prod(shape) * item:
            raise damaged(
                f"{short_text(key, 200)!r} in {name} has {end - begin:,} bytes, its shape says another number."
            )
        place = None if item is None else Bytes(files, name, start + begin, item)
        tensors.append(Tensor(short_text(key), dtype, shape, place))
        spans.append((begin, end))
    step, epoch = progress(metadata, name)
    notes = _notes(name, tensors, spans, size - start)
    # The library writes tensors by the size of their elements, which tells nobody anything.
    ordered = tuple(sorted(tensors, key=lambda tensor: _as_counted(tensor.name)))
    return Contents("safetensors", ordered, facts(metadata), step, epoch, notes=notes)


def _as_counted(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts ``layers.2`` before ``layers.10``."""
    parts = _DIGITS.split(name)
    return [(int(part[:_MOST_DIGITS]) if part.isdecimal() else -1, part) for part in parts]


def _described(name: str, key: str, told: Any) -> tuple[str, tuple[int, ...], tuple[int, int]]:
    """Return a tensor's type, shape and place as a header tells them."""
    if isinstance(told, Mapping):
        dtype, shape, span = told.get("dtype"), _sizes(told.get("shape")), _sizes(told.get("data_offsets"))
        if isinstance(dtype, str) and shape is not None and span is not None:
            begins_and_ends = len(span) == 2 and span[0] <= span[1]
            if begins_and_ends and len(shape) <= _MOST_DIMENSIONS:
                return DTYPES.get(dtype) or short_text(dtype.lower(), 40), shape, (span[0], span[1])
    raise damaged(f"The header of {name} does not say what {short_text(key, 200)!r} is.")


def _sizes(found: Any) -> tuple[int, ...] | None:
    if isinstance(found, list) and all(type(n) is int and 0 <= n < 1 << 63 for n in found):
        return tuple(found)
    return None


def _notes(name: str, tensors: list[Tensor], spans: list[tuple[int, int]], size: int) -> tuple[str, ...]:
    """Return what is odd; refuse tensors that lie one upon the other, which no writer makes."""
    notes = []
    unknown = sorted({each.dtype for each in tensors if each.place is None})
    if unknown:
        notes.append(f"values of type {some(unknown)} cannot be read")
    placed = sorted(span for span in spans if span[0] < span[1])
    if any(before[1] > after[0] for before, after in pairwise(placed)):
        raise damaged(f"Tensors of {name} lie one upon the other.")
    unused = size - sum(end - begin for begin, end in placed)
    if unused:
        notes.append(f"{size_text(unused)} belong to no tensor: the safetensors library refuses such a file")
    return tuple(notes)
