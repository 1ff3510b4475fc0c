"""Values out of order: any part of any view is what NumPy says it is, by one read of no more than lies between."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_jupyter.orchestration.contents.places import Strided
from runctl_jupyter.orchestration.errors import CheckpointUnreadable

STORED = np.arange(4000, dtype="<i2")


@dataclass
class Shelf:
    """A source that knows what was read of it."""

    data: bytes
    read_of: list[tuple[int, int]] = field(default_factory=list)

    def read(self, start: int, end: int) -> bytes:
        assert 0 <= start <= end <= len(self.data)
        self.read_of.append((start, end))
        return self.data[start:end]


@given(st.data())
def test_any_view(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 4), max_size=5)))
    strides = tuple(data.draw(st.integers(0, 60)) for _ in shape)
    offset = data.draw(st.integers(0, 50))
    start = data.draw(st.integers(0, math.prod(shape)))
    stop = data.draw(st.integers(start, math.prod(shape)))
    is_swapped = data.draw(st.booleans())
    shelf = Shelf(STORED.astype(">i2" if is_swapped else "<i2").tobytes())
    found = Strided(shelf, "int16", shape, strides, offset, is_swapped).read(start, stop)
    view = np.lib.stride_tricks.as_strided(STORED[offset:], shape, [2 * each for each in strides])
    assert np.frombuffer(found, "<i2").tolist() == view.reshape(-1)[start:stop].tolist()
    assert len(shelf.read_of) == (start < stop)


def test_a_row_is_read_alone() -> None:
    shelf = Shelf(STORED.tobytes())
    place = Strided(shelf, "int16", (40, 5, 10), (50, 1, 5))
    place.read(50 * 7 + 10, 50 * 7 + 20)
    ((start, end),) = shelf.read_of
    assert (start, end) == ((7 * 50 + 1) * 2, (7 * 50 + 1 + 45 + 1) * 2)


@pytest.mark.parametrize(
    ("dtype", "word"), [("complex64", "f4"), ("complex128", "f8"), ("float64", "f8"), ("uint8", "u1")]
)
def test_the_other_byte_order(dtype: str, word: str) -> None:
    values = np.arange(6).astype(f">{word}")
    count = values.nbytes // np.dtype(dtype).itemsize
    found = Strided(Shelf(values.tobytes()), dtype, (count,), (1,), 0, True).read(0, count)
    assert found == values.astype(f"<{word}").tobytes()


def test_more_than_an_array_can_have() -> None:
    place = Strided(Shelf(b"ab"), "uint8", (1 << 40, 1 << 40, 2), (0, 0, 1))
    assert place.read(3, 5) == b"ba"
    with pytest.raises(CheckpointUnreadable):
        Strided(Shelf(b"ab"), "uint8", (1 << 40, 1 << 40), (0, 0)).read(5, (1 << 79) + 6)
