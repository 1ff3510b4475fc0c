"""Where values lie that are in boxes, which together make a tensor."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from runctl_jupyter.orchestration.contents.model import Place
from runctl_jupyter.orchestration.errors import CheckpointUnreadable


@dataclass(frozen=True)
class Box:
    """A part of a tensor.

    Parameters
    ----------
    offsets
        Where it begins, by axis.
    shape
        How its own elements are laid out; what reaches beyond the tensor is padding.
    place
        Where its elements are, in its own C order.
    """

    offsets: tuple[int, ...]
    shape: tuple[int, ...]
    place: Place


@dataclass(frozen=True)
class Boxes:
    """A tensor in boxes: shards of a device mesh, chunks of HDF5.

    Parameters
    ----------
    gaps
        Whether elements in no box are zero; an error otherwise.
    """

    shape: tuple[int, ...]
    item_bytes: int
    boxes: Sequence[Box]
    gaps: bool = False

    def read(self, start: int, stop: int) -> bytes:
        """Return elements; see `Place.read`."""
        try:
            found = bytearray((stop - start) * self.item_bytes)
        except (MemoryError, OverflowError) as error:
            raise CheckpointUnreadable(
                f"{stop - start:,} values are more than there is memory for.", "Read fewer at once."
            ) from error
        had = sum(self._copy(box, start, stop, found) for box in self.boxes)
        if had < stop - start and not self.gaps:
            raise CheckpointUnreadable(
                f"Of {stop - start:,} values of a tensor the checkpoint has {had:,}.", "Parts of it are missing."
            )
        return bytes(found)

    def _copy(self, box: Box, start: int, stop: int, into: bytearray) -> int:
        runs = _Runs(self.shape, box)
        # Runs of a box rise with their place in the tensor, so those in question are neighbours.
        first = max(bisect_right(range(runs.count), start, key=runs.begin) - 1, 0)
        last = bisect_left(range(runs.count), stop, key=runs.begin)
        pieces: list[tuple[int, int, int]] = []
        for run in range(first, last):
            begin = runs.begin(run)
            low, high = max(start, begin), min(stop, begin + runs.length)
            if low < high:
                pieces.append((low - start, runs.source(run) + low - begin, high - low))
        if not pieces:
            return 0
        source = pieces[0][1]
        values = memoryview(box.place.read(source, pieces[-1][1] + pieces[-1][2]))
        item, view = self.item_bytes, memoryview(into)
        for target, at, length in pieces:
            view[target * item : (target + length) * item] = values[
                (at - source) * item : (at - source + length) * item
            ]
        return sum(length for _, _, length in pieces)


class _Runs:
    """The stretches of a box that lie in one piece both in it and in its tensor."""

    def __init__(self, shape: tuple[int, ...], box: Box) -> None:
        inside = [min(own, whole - at) for own, whole, at in zip(box.shape, shape, box.offsets, strict=True)]
        axis = len(shape) - 1
        while axis > 0 and inside[axis] == shape[axis] == box.shape[axis]:
            axis -= 1
        outer = max(axis, 0)
        self._outer = inside[:outer]
        self._strides = [prod(shape[n + 1 :]) for n in range(len(shape))]
        self._own = [prod(box.shape[n + 1 :]) for n in range(outer)]
        self._begin = sum(at * stride for at, stride in zip(box.offsets, self._strides, strict=True))
        self.length = inside[axis] * self._strides[axis] if shape else 1
        self.count = prod(self._outer) if min(inside, default=1) > 0 else 0

    def begin(self, run: int) -> int:
        """Return where a run begins in the tensor."""
        return self._begin + self._dot(run, self._strides)

    def source(self, run: int) -> int:
        """Return where a run begins in the box."""
        return self._dot(run, self._own)

    def _dot(self, run: int, strides: Sequence[int]) -> int:
        total = 0
        for axis in range(len(self._outer) - 1, -1, -1):
            run, index = divmod(run, self._outer[axis])
            total += index * strides[axis]
        return total
