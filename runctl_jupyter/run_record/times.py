"""Times of the record: ISO 8601 UTC with milliseconds, ending in Z."""

from __future__ import annotations

from datetime import datetime, timezone


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(timezone.utc)


def to_iso(moment: datetime) -> str:
    """Write `moment` the way the record does, e.g. ``2026-11-24T10:00:00.000Z``."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_iso(text: str) -> datetime:
    """Read what `to_iso` wrote.

    Raises
    ------
    ValueError
        `text` is not a time.
    """
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
