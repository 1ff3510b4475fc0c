"""What a checkpoint holds, whatever its format."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.contents.files import Files

ITEM_BYTES: Mapping[str, int] = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "uint16": 2,
    "int16": 2,
    "uint32": 4,
    "int32": 4,
    "uint64": 8,
    "int64": 8,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "float8_e4m3fnuz": 1,
    "float8_e5m2fnuz": 1,
    "float8_e8m0fnu": 1,
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
    "complex64": 8,
    "complex128": 16,
}
"""Bytes of an element by the name of its type: PyTorch's names, which are numpy's where numpy has the type.

A tensor of another type (texts, 4-bit quantities, objects) is named, but its values cannot be read.
"""


class Place(Protocol):
    """Where a tensor's values lie."""

    def read(self, start: int, stop: int) -> bytes:
        """Return elements `start` to `stop` in C order, little-endian; whatever order and packing they are kept in.

        Raises
        ------
        CheckpointUnreadable
            They cannot be had.
        """


@dataclass(frozen=True)
class Bytes:
    """Values that lie as they are, one after the other: any of them is one range read."""

    files: Files
    name: str
    offset: int
    item_bytes: int

    def read(self, start: int, stop: int) -> bytes:
        """Return elements; see `Place.read`."""
        return self.files.data(self.name, self.offset + start * self.item_bytes, self.offset + stop * self.item_bytes)


Part = Literal["model", "optimizer", "other"]


@dataclass(frozen=True)
class Tensor:
    """A tensor, described.

    Parameters
    ----------
    name
        As the checkpoint names it; of nested dictionaries the keys joined by dots.
    dtype
        See `ITEM_BYTES`.
    place
        Where its values are; None when they cannot be read.
    part
        Whether it belongs to the model or to the optimizer.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    place: Place | None = field(default=None, compare=False, repr=False)
    part: Part = "model"

    @property
    def elements(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)

    @property
    def size(self) -> int | None:
        """Bytes of its values, None where an element's are not known."""
        item = ITEM_BYTES.get(self.dtype)
        return None if item is None else self.elements * item


@dataclass(frozen=True)
class Contents:
    """What a checkpoint says of itself.

    Parameters
    ----------
    metadata
        JSON-ready: what the file tells besides its tensors; a model's configuration, a trainer's hyperparameters.
    optimizer
        JSON-ready: what the optimizers' state tells, such as ``{"lr": 0.001, "param_groups": 2}``; empty without one.
    notes
        For people: what was not read, and why.
    """

    format: str
    tensors: tuple[Tensor, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    step: int | None = None
    epoch: int | None = None
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as people write it."""
    return f"[{', '.join(f'{size}' for size in shape)}]"
