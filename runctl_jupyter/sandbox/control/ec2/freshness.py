"""Ids that are so new that other calls do not know them yet (EC2 API reference, "Eventual consistency")."""

from __future__ import annotations

import time
from typing import Any


def hide(resource: Any, seconds: float) -> None:
    """Let other calls not know a resource of moto for a while."""
    resource.visible_at = time.monotonic() + seconds


def is_fresh(resource: Any) -> bool:
    """Whether other calls do not know a resource yet."""
    return time.monotonic() < float(getattr(resource, "visible_at", 0.0))
