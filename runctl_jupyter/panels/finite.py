"""Numbers that JSON has: a training's loss may well be none."""

from __future__ import annotations

import math
from typing import Any


def finite(value: Any) -> Any:
    """Return a JSON value without NaN and infinities: null in their place; a metric that is one is left out."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _known(item) if key == "metrics" else finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _known(metrics: Any) -> Any:
    found = finite(metrics)
    return {name: number for name, number in found.items() if number is not None} if isinstance(found, dict) else found
