"""What keeps a foreign file from costing more than it is worth: JSON, texts and facts within bounds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from runctl_jupyter.orchestration.errors import CheckpointUnreadable
from runctl_jupyter.orchestration.units import printable
from runctl_jupyter.run_record.checkpoint_names import COUNTERS, epoch_of, step_of

MOST_FACTS = 300
"""Scalars that are told of a checkpoint besides its tensors."""
MOST_TEXT = 2000
_MOST_DEPTH = 8
_MOST_VISITS = 50_000
_MOST_ITEMS = 32
_MOST_BRACKETS = 300_000
_MOST_COMMAS = 1_500_000
"""A header of a hundred thousand tensors has as many; each bracket costs some hundred bytes of memory."""
_MOST_COUNTER = 1 << 62


def damaged(what: str) -> CheckpointUnreadable:
    """Return the error for a file that is not what it says it is; foreign names in it may hold ends of lines."""
    return CheckpointUnreadable(
        printable(what), "It is damaged, or not a checkpoint: take another, `runctl checkpoints list` names them."
    )


def json_object(name: str, data: bytes) -> dict[str, Any]:
    """Return the JSON object that a foreign file holds.

    Raises
    ------
    CheckpointUnreadable
        It is none, names a key twice, or has more in it than would fit into memory.
    """
    if data.count(b"[") + data.count(b"{") > _MOST_BRACKETS or data.count(b",") > _MOST_COMMAS:
        raise damaged(f"The JSON of {name} has more parts than any checkpoint's.")
    try:
        found = json.loads(data.decode(), object_pairs_hook=_without_doubles, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise damaged(f"The JSON of {name} cannot be read: {short_text(str(error), 200)}.") from error
    if not isinstance(found, dict):
        raise damaged(f"The JSON of {name} is no object.")
    return found


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def short_text(text: str, most: int = MOST_TEXT) -> str:
    """Return a foreign text, cut where it is long, such that any encoder takes it."""
    cut = text if len(text) <= most else f"{text[:most]}…"
    return cut.encode("utf-8", "replace").decode()


def facts(found: Mapping[Any, Any], simple: Callable[[Any], Any] = lambda value: value) -> dict[str, Any]:
    """Return the scalars of a foreign mapping and of mappings and short lists in it, JSON-ready and bounded.

    Parameters
    ----------
    simple
        Turns a value of another kind into one of JSON's; what stays of another kind is left out.
    """
    return _Facts(simple).mapping(found, 0)


class _Facts:
    def __init__(self, simple: Callable[[Any], Any]) -> None:
        self._simple, self._left, self._visits = simple, MOST_FACTS, _MOST_VISITS

    def mapping(self, found: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for key, each in found.items():
            if self._left <= 0 or self._visits <= 0:
                break
            value = self._told(each, depth)
            if value is not None:
                told[short_text(str(key), 200)] = value
        return told

    def _told(self, value: Any, depth: int) -> Any:
        """Return a value as JSON; None for what is left out."""
        self._visits -= 1
        value = self._simple(value)
        if isinstance(value, Mapping):
            return (self.mapping(value, depth + 1) or None) if depth < _MOST_DEPTH else None
        if isinstance(value, (list, tuple)):
            return self._sequence(value, depth)
        scalar = _scalar(value)
        self._left -= scalar is not None
        return scalar

    def _sequence(self, values: Sequence[Any], depth: int) -> list[Any] | None:
        if len(values) > _MOST_ITEMS or depth >= _MOST_DEPTH:
            return None
        told = [self._told(each, depth + 1) for each in values if self._left > 0 and self._visits > 0]
        return None if not told or any(each is None for each in told) else told


def _scalar(value: Any) -> str | int | float | bool | None:
    if isinstance(value, str):
        return short_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, (bool, int, float)) else None


def progress(found: Mapping[Any, Any], name: str) -> tuple[int | None, int | None]:
    """Return step and epoch that a checkpoint tells, else its name; the step by the finest of its counters."""
    told = {counter: _count(found.get(counter)) for counter in COUNTERS}
    base = name.rpartition("/")[2]
    step, epoch = next((n for n in told.values() if n is not None), None), told["epoch"]
    return step_of(base) if step is None else step, epoch_of(base) if epoch is None else epoch


def _count(value: Any) -> int | None:
    if isinstance(value, str) and len(value) < 20:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value < _MOST_COUNTER and value == int(value) else None


def some(names: Iterable[str], most: int = 5) -> str:
    """Return names as text, the first of them where they are many."""
    listed = list(names)
    shown = ", ".join(printable(short_text(name, 100)) for name in listed[:most])
    return shown if len(listed) <= most else f"{shown} and {len(listed) - most:,} more"
