"""`checkpoints diff`: what two checkpoints differ in, tensor by tensor, in bounded memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.checkpoints.arrays import floats
from runctl_jupyter.orchestration.checkpoints.inside import CheckpointInfo, Inside, info_of
from runctl_jupyter.orchestration.contents.model import ITEM_BYTES, Tensor, shape_text
from runctl_jupyter.orchestration.listing import Column, Listing
from runctl_jupyter.orchestration.model import Value
from runctl_jupyter.orchestration.storage.crew import OnProgress, Progress

if TYPE_CHECKING:
    import numpy as np

_PIECE = 512 << 10
"""Elements of a tensor that are compared at once: 4 MB as 64-bit floats, of each of the two."""
_PARALLEL = 6
"""Pieces that are read at the same time; with their sums some 100 MB."""


@dataclass(frozen=True)
class TensorDifference(Value):
    """A tensor that is not the same in both."""

    name: str
    what: str
    """``changed``, ``only in a``, ``only in b``, ``shape``, ``type``, or ``not compared``: it cannot be read."""
    part: str
    a: str | None
    """Type and shape, None where it is not there."""
    b: str | None
    norm: float | None = None
    """Euclidean norm of b minus a; None where values were not compared. Not finite values are left out of it."""
    relative: float | None = None
    """`norm` by the norm of a; None where that is 0."""
    largest: float | None = None
    """Largest absolute change of a value."""
    not_finite: int = 0
    """Values that are NaN or infinite in a or b."""


@dataclass(frozen=True)
class CheckpointDiff(Value):
    """What two checkpoints differ in."""

    a: CheckpointInfo
    b: CheckpointInfo
    equal: int
    """Tensors that are the same in both, to the last bit."""
    differences: Sequence[TensorDifference]
    norm: float
    """Euclidean norm of the change of all tensors of the model that were compared."""
    relative: float | None
    bytes_read: int

    def listing(self) -> Listing[TensorDifference]:
        """Return the differences as a table: the model first, and of it the largest relative change."""
        ordered = sorted(self.differences, key=_how_much)
        columns = [*_COLUMNS, _NOT_FINITE] if any(each.not_finite for each in ordered) else _COLUMNS
        return Listing(ordered, columns, f"{self.a.name} and {self.b.name} have the same tensors.")


@dataclass
class _Sums:
    """What has been summed up of a pair of tensors."""

    change: float = 0.0
    before: float = 0.0
    largest: float = 0.0
    not_finite: int = 0
    equal: bool = True

    def add(self, other: _Sums) -> None:
        """Take the sums of a further piece."""
        self.change += other.change
        self.before += other.before
        self.largest = max(self.largest, other.largest)
        self.not_finite += other.not_finite
        self.equal = self.equal and other.equal


def difference(a: Inside, b: Inside, *, values: bool = True, on_progress: OnProgress | None = None) -> CheckpointDiff:
    """Compare two checkpoints.

    Parameters
    ----------
    values
        Whether values are read; else names, types and shapes only.
    on_progress
        Told how far it is, in bytes of both.

    Raises
    ------
    CheckpointUnreadable
        One of them ends before the bytes it names.
    """
    left, right = a.tensors_by_name(), b.tensors_by_name()
    both = [(tensor, right[name]) for name, tensor in left.items() if name in right]
    compared = [pair for pair in both if values and _comparable(*pair)]
    sums = _compare_all(compared, on_progress)
    changed = [row for x, y in both if (row := _changed(x, y, sums.get(x.name), values=values)) is not None]
    model = [sums[x.name] for x, _ in compared if x.part == "model"]
    change = math.sqrt(math.fsum(each.change for each in model))
    before = math.sqrt(math.fsum(each.before for each in model))
    return CheckpointDiff(
        a=info_of(a),
        b=info_of(b),
        equal=len(both) - len(changed),
        differences=[*_lone(left, right, "only in a"), *_lone(right, left, "only in b"), *changed],
        norm=change,
        relative=change / before if before else None,
        bytes_read=a.located.files.bytes_read + b.located.files.bytes_read,
    )


def _comparable(x: Tensor, y: Tensor) -> bool:
    readable = all(each.place is not None and each.dtype in ITEM_BYTES for each in (x, y))
    return readable and x.shape == y.shape


def _lone(these: Mapping[str, Tensor], others: Mapping[str, Tensor], what: str) -> list[TensorDifference]:
    return [
        TensorDifference(
            name, what, tensor.part, *((_kind(tensor), None) if what == "only in a" else (None, _kind(tensor)))
        )
        for name, tensor in these.items()
        if name not in others
    ]


def _changed(x: Tensor, y: Tensor, sums: _Sums | None, *, values: bool) -> TensorDifference | None:
    """Return what two tensors of a name differ in; None when they are the same."""
    kinds = _kind(x), _kind(y)
    if sums is not None:
        if sums.equal and x.dtype == y.dtype:
            return None
        norm, before = math.sqrt(sums.change), math.sqrt(sums.before)
        relative = norm / before if before else None
        what = "changed" if x.dtype == y.dtype else "type"
        return TensorDifference(x.name, what, x.part, *kinds, norm, relative, sums.largest, sums.not_finite)
    if x.shape != y.shape:
        return TensorDifference(x.name, "shape", x.part, *kinds)
    if x.dtype != y.dtype:
        return TensorDifference(x.name, "type", x.part, *kinds)
    return TensorDifference(x.name, "not compared", x.part, *kinds) if values else None


def _compare_all(pairs: Sequence[tuple[Tensor, Tensor]], on_progress: OnProgress | None) -> dict[str, _Sums]:
    total, done = sum(_bytes(x, y, x.elements) for x, y in pairs), 0
    sums = {x.name: _Sums() for x, _ in pairs}
    for name, size, found in _side_by_side(pairs):
        sums[name].add(found)
        done += size
        if on_progress is not None:
            on_progress(Progress(0, 1, done, total))
    return sums


def _side_by_side(pairs: Sequence[tuple[Tensor, Tensor]]) -> Iterator[tuple[str, int, _Sums]]:
    """Compare the pieces of all pairs, some at the same time and never more of them in memory."""
    pieces = (
        (x, y, start, min(start + _PIECE, x.elements)) for x, y in pairs for start in range(0, x.elements, _PIECE)
    )
    with ThreadPoolExecutor(_PARALLEL) as pool:
        waiting: deque[tuple[str, int, Future[_Sums]]] = deque()
        for x, y, start, stop in pieces:
            waiting.append((x.name, _bytes(x, y, stop - start), pool.submit(_compare, x, y, start, stop)))
            if len(waiting) > _PARALLEL:
                name, size, found = waiting.popleft()
                yield name, size, found.result()
        for name, size, found in waiting:
            yield name, size, found.result()


def _bytes(x: Tensor, y: Tensor, elements: int) -> int:
    return elements * (ITEM_BYTES[x.dtype] + ITEM_BYTES[y.dtype])


def _compare(x: Tensor, y: Tensor, start: int, stop: int) -> _Sums:
    import numpy as np

    a, b = floats(x, start, stop), floats(y, start, stop)
    finite = np.isfinite(a) & np.isfinite(b)
    # To the last bit: of two NaN the same is the same, of 0 and -0 not.
    equal = a.tobytes() == b.tobytes()
    not_finite = int(a.size - np.count_nonzero(finite))
    if not_finite:
        a, b = a[finite], b[finite]
    if equal:
        return _Sums(before=_square(a), not_finite=not_finite)
    change = b - a
    largest = float(np.abs(change).max(initial=0.0))
    return _Sums(_square(change), _square(a), largest, not_finite, equal=False)


def _square(values: np.ndarray[Any, Any]) -> float:
    """Return the square of the Euclidean norm."""
    import numpy as np

    return float(np.vdot(values, values).real)


def _how_much(row: TensorDifference) -> tuple[bool, float]:
    """Return a key that sorts the model before all else, and what has changed most before what has changed less."""
    return row.part != "model", -math.inf if row.relative is None else -row.relative


def _kind(tensor: Tensor) -> str:
    return f"{tensor.dtype} {shape_text(tensor.shape)}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _kinds(row: TensorDifference) -> str:
    if row.a is None or row.b is None or row.a == row.b:
        return row.a or row.b or ""
    return f"{row.a} → {row.b}"


_COLUMNS = (
    Column[TensorDifference]("tensor", lambda row: row.name),
    Column[TensorDifference]("", lambda row: row.what),
    Column[TensorDifference]("type and shape", _kinds),
    Column[TensorDifference]("‖b-a‖", lambda row: _number(row.norm), right=True),
    Column[TensorDifference]("/ ‖a‖", lambda row: _number(row.relative), right=True),
    Column[TensorDifference]("largest", lambda row: _number(row.largest), right=True),
)
_NOT_FINITE = Column[TensorDifference](
    "not finite", lambda row: f"{row.not_finite:,}" if row.not_finite else "", right=True
)
