"""Where values lie that are packed, out of order, or of the other byte order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

from runctl_jupyter.orchestration.contents.bounds import damaged
from runctl_jupyter.orchestration.contents.files import Files
from runctl_jupyter.orchestration.contents.model import ITEM_BYTES
from runctl_jupyter.orchestration.errors import CheckpointUnreadable


class Source(Protocol):
    """Bytes that lie together, such as an entry of an archive."""

    def read(self, start: int, end: int) -> bytes:
        """Return bytes of it.

        Raises
        ------
        CheckpointUnreadable
            They cannot be had.
        """


@dataclass(frozen=True)
class Span:
    """Bytes of a file from some place on."""

    files: Files
    name: str
    offset: int

    def read(self, start: int, end: int) -> bytes:
        """Return bytes; see `Source.read`."""
        return self.files.data(self.name, self.offset + start, self.offset + end)


@dataclass(frozen=True)
class InMemory:
    """Bytes that were read already."""

    data: bytes

    def read(self, start: int, end: int) -> bytes:
        """Return bytes; see `Source.read`."""
        return self.data[start:end]


@dataclass(frozen=True)
class Strided:
    """Values of a view into a source: a tensor, a column of one, a transposed one, an array in Fortran's order.

    Parameters
    ----------
    offset, strides
        In elements.
    is_swapped
        They are big-endian.
    """

    source: Source
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    is_swapped: bool = False

    def read(self, start: int, stop: int) -> bytes:
        """Return elements; see `Place.read`."""
        if start >= stop:
            return b""
        shape, strides, offset, item = list(self.shape), list(self.strides), self.offset, ITEM_BYTES[self.dtype]
        # What lies within one row of the outermost dimension is looked for there: it is read by less.
        while shape and shape[1:] and start // (row := math.prod(shape[1:])) == (stop - 1) // row:
            offset += start // row * strides[0]
            start, stop = start % row, (stop - 1) % row + 1
            del shape[0], strides[0]
        if _follow_each_other(shape, strides):
            return self._ordered(self.source.read((offset + start) * item, (offset + stop) * item))
        row = math.prod(shape[1:])
        first, last = start // row, (stop - 1) // row
        offset += first * strides[0]
        shape[0] = last - first + 1
        span = sum((n - 1) * each for n, each in zip(shape, strides, strict=True)) + 1
        data = self.source.read(offset * item, (offset + span) * item)
        return self._ordered(_picked(data, shape, strides, item, start - first * row, stop - first * row))

    def _ordered(self, data: bytes) -> bytes:
        if not self.is_swapped:
            return data
        word = ITEM_BYTES[self.dtype] // (2 if self.dtype.startswith("complex") else 1)
        return _numpy().frombuffer(data, f">u{word}").astype(f"<u{word}").tobytes() if word > 1 else data


def c_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return strides of values in C order."""
    return tuple(math.prod(shape[n + 1 :]) for n in range(len(shape)))


def fortran_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return strides of values in Fortran's order."""
    return tuple(math.prod(shape[:n]) for n in range(len(shape)))


def _follow_each_other(shape: Sequence[int], strides: Sequence[int]) -> bool:
    expected = c_strides(shape)
    return all(n == 1 or mine == due for n, mine, due in zip(shape, strides, expected, strict=True))


def _picked(data: bytes, shape: Sequence[int], strides: Sequence[int], item: int, start: int, stop: int) -> bytes:
    numpy = _numpy()
    flat = numpy.frombuffer(data, f"V{item}")
    try:
        view = numpy.lib.stride_tricks.as_strided(flat, shape, [each * item for each in strides], writeable=False)
        picked: bytes = view.flat[start:stop].tobytes()
        return picked
    except (ValueError, OverflowError) as error:  # more dimensions or elements than an array can have
        raise damaged(f"A tensor of shape {tuple(shape)} is none: {error}.") from error


def _numpy() -> ModuleType:
    try:
        import numpy
    except ImportError as error:
        raise CheckpointUnreadable(
            "The values lie in another order than they are wanted in, and NumPy is not there to turn them.",
            "Install it: pip install numpy",
        ) from error
    return numpy
