"""The numbers a checkpoint tells of itself: step, epoch, metrics; read the same on the machine and in the engine."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from runctl_jupyter.run_record.checkpoint_names import COUNTERS

TRAINER_STATE = "trainer_state.json"
"""What transformers' Trainer writes beside the weights."""
STATE_MOST = 16 << 20
"""A longer state is not read: it grows with each line that a training logs."""


@dataclass(frozen=True)
class Told:
    """What a checkpoint tells."""

    step: Optional[int] = None
    """The finest counter there is."""
    epoch: Optional[int] = None
    metrics: dict[str, float] = field(default_factory=dict)


def told_by(values: Mapping[str, Any]) -> Told:
    """Sort named values into counters and metrics; what is no finite number is left out."""
    numbers = {name: number for name, value in values.items() if (number := _number(value)) is not None}
    step = next((int(numbers[name]) for name in COUNTERS if name in numbers), None)
    epoch = int(numbers["epoch"]) if "epoch" in numbers else None
    return Told(step, epoch, {name: numbers[name] for name in sorted(numbers) if name not in COUNTERS})


def trainer_state(data: bytes) -> dict[str, Any]:
    """Return the newest values of a ``trainer_state.json``; nothing where it is none."""
    try:
        state = json.loads(data)
        told: dict[str, Any] = {}
        for entry in state.get("log_history", []):
            told.update(entry)
        return {**told, "step": state.get("global_step")}
    except (ValueError, AttributeError, TypeError, RecursionError):
        return {}


def _number(value: Any) -> Optional[float]:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
