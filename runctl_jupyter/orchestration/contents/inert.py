"""Values that a pickle may hold here: plain ones, what describes tensors, and names of everything else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runctl_jupyter.orchestration.contents.model import ITEM_BYTES

MOST_DIMENSIONS = 64
MOST_PART = 100
"""Of a text that is part of another one: the same long text may be named any number of times."""

STORED_ITEM_BYTES = {**ITEM_BYTES, "qint8": 1, "quint8": 1, "qint32": 4}
"""Bytes of an element, of types too that no tensor's values are read of."""

ARRAY_TYPES = {
    "b1": ("bool", "?"),
    "u1": ("uint8", "B"),
    "i1": ("int8", "b"),
    "u2": ("uint16", "H"),
    "i2": ("int16", "h"),
    "u4": ("uint32", "I"),
    "i4": ("int32", "i"),
    "u8": ("uint64", "Q"),
    "i8": ("int64", "q"),
    "f2": ("float16", "e"),
    "f4": ("float32", "f"),
    "f8": ("float64", "d"),
    "c8": ("complex64", ""),
    "c16": ("complex128", ""),
}
"""NumPy's types: our names, and `struct`'s for one value."""


class Malformed(Exception):
    """A pickle says what cannot be."""


@dataclass(eq=False)
class Named:
    """A class or function that was named; nothing has been imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, repr=False)
class Refused:
    """What a class or function would have made, had it been called; as a key of a dictionary it equals itself only."""

    maker: Named
    args: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    elements: list[Any] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"{self.maker}(…)"

    @property
    def fields(self) -> Mapping[Any, Any]:
        """What it was to be filled with by key or by attribute; empty where that is no mapping."""
        state = self.state
        if isinstance(state, tuple) and len(state) == 2:
            state = {**_mapping(state[0]), **_mapping(state[1])}  # of a class with __slots__
        return {**_mapping(state), **self.items}


@dataclass(frozen=True, eq=False)
class Storage:
    """Bytes that tensors lie in."""

    key: str
    dtype: str
    elements: int

    @property
    def size(self) -> int | None:
        """Bytes of it; None where an element's are not known."""
        item = STORED_ITEM_BYTES.get(self.dtype)
        return None if item is None else item * self.elements


@dataclass(frozen=True, eq=False)
class TensorView:
    """A tensor as a view into a storage; without one its values cannot be read."""

    dtype: str
    shape: tuple[int, ...]
    storage: Storage | None = None
    offset: int = 0
    strides: tuple[int, ...] = ()
    kind: str = ""


@dataclass(eq=False)
class ArrayType:
    """NumPy's type of an element."""

    text: str
    order: str = "<"
    is_plain: bool = True

    @property
    def dtype(self) -> str:
        """Our name of it."""
        known = ARRAY_TYPES.get(self.text)
        return known[0] if known and self.is_plain else self.text[:40]


@dataclass(eq=False)
class Array:
    """An array of NumPy with its values."""

    type: ArrayType | None = None
    shape: tuple[int, ...] = ()
    is_fortran: bool = False
    data: bytes = b""

    def fill(self, kind: Any, shape: Any, is_fortran: Any, data: Any) -> None:
        """Take what a pickle says of it; values that are not as many as its shape says are refused."""
        if not isinstance(kind, ArrayType):
            raise Malformed("an array without a type")
        self.type, self.shape, self.is_fortran = kind, sizes(shape), bool(is_fortran)
        item = ITEM_BYTES.get(kind.dtype) if kind.is_plain else None
        if item is not None:
            if not isinstance(data, bytes) or len(data) != math.prod(self.shape) * item:
                raise Malformed("an array with other values than its shape says")
            self.data = data


def sizes(found: Any) -> tuple[int, ...]:
    """Return a shape, or strides."""
    if not (isinstance(found, (tuple, list)) and len(found) <= MOST_DIMENSIONS):
        raise Malformed("a shape that is none")
    if not all(type(n) is int and 0 <= n < 1 << 63 for n in found):
        raise Malformed("a shape of something else than sizes")
    return tuple(found)


def _mapping(found: Any) -> Mapping[Any, Any]:
    return found if isinstance(found, dict) else {}


def key(value: Any) -> Any:
    """Return a key of a dictionary such that to hash it costs little: a text for all but texts and small numbers."""
    if value is None or isinstance(value, (str, bool, Refused)):
        return value
    if isinstance(value, (int, float)) and abs(value) < 1 << 60:
        return value
    if isinstance(value, tuple) and len(value) <= 8:
        return f"({', '.join(str(each)[:MOST_PART] if isinstance(each, (str, int, float)) else '…' for each in value)})"
    return str(value) if isinstance(value, (int, float, Named)) else f"({type(value).__name__})"
