"""Tensors in boxes: whatever their grid, any of the values are those of the whole."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_jupyter.orchestration.contents.boxes import Box, Boxes
from runctl_jupyter.orchestration.errors import CheckpointUnreadable


@dataclass(frozen=True)
class Kept:
    array: np.ndarray

    def read(self, start: int, stop: int) -> bytes:
        assert 0 <= start < stop <= self.array.size
        return self.array.reshape(-1)[start:stop].tobytes()


@st.composite
def grids(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
    shape = tuple(draw(st.lists(st.integers(0, 6), max_size=4)))
    return shape, tuple(draw(st.integers(1, 7)) for _ in shape), draw(st.booleans())


def boxes_of(whole: np.ndarray, chunk: tuple[int, ...], is_padded: bool) -> list[Box]:
    found = []
    for offsets in product(*(range(0, length, step) for length, step in zip(whole.shape, chunk, strict=True))):
        part = whole[tuple(slice(at, at + step) for at, step in zip(offsets, chunk, strict=True))]
        if is_padded and chunk:  # chunks of HDF5 are whole ones at the edges too
            part = np.pad(part, [(0, step - n) for n, step in zip(part.shape, chunk, strict=True)], constant_values=-1)
        found.append(Box(offsets, part.shape, Kept(np.ascontiguousarray(part))))
    return found


@given(grids(), st.data())
def test_any_values_of_any_grid(grid: tuple[tuple[int, ...], tuple[int, ...], bool], data: st.DataObject) -> None:
    shape, chunk, is_padded = grid
    whole = np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)
    boxes = boxes_of(whole, chunk, is_padded)
    start = data.draw(st.integers(0, whole.size))
    stop = data.draw(st.integers(start, whole.size))
    place = Boxes(shape, 4, data.draw(st.permutations(boxes)))
    assert place.read(start, stop) == whole.reshape(-1)[start:stop].tobytes()


def test_what_is_in_no_box() -> None:
    whole = np.arange(12, dtype=np.int32).reshape(4, 3)
    boxes = boxes_of(whole, (1, 3), is_padded=False)
    del boxes[2]
    with pytest.raises(CheckpointUnreadable, match="Of 12 values of a tensor the checkpoint has 9"):
        Boxes((4, 3), 4, boxes).read(0, 12)
    assert Boxes((4, 3), 4, boxes).read(0, 6) == whole[:2].tobytes()
    whole[2] = 0
    assert Boxes((4, 3), 4, boxes, gaps=True).read(0, 12) == whole.tobytes()


def test_more_than_there_is_memory_for() -> None:
    with pytest.raises(CheckpointUnreadable, match="memory"):
        Boxes((1 << 60,), 4, (), gaps=True).read(0, 1 << 60)
