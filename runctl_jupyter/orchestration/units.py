"""Numbers with their units (``$0.37/h``, ``98.4 MB``, ``1 h 12 m``), and foreign texts, as every door writes them."""

from __future__ import annotations

from runctl_jupyter.run_record.sizes import size_text

__all__ = ["age_text", "duration_text", "money_text", "printable", "rate_text", "size_text"]

from datetime import datetime

from runctl_jupyter.run_record import now


def duration_text(seconds: float) -> str:
    """Return seconds as at most two units (``1 h 12 m``)."""
    whole = int(seconds)
    for unit, size, smaller, small in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {unit} {rest:02d} {smaller}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def age_text(moment: datetime) -> str:
    """Return how long ago `moment` was."""
    return duration_text(max((now() - moment).total_seconds(), 0))


def money_text(usd: float | None) -> str:
    """Return dollars to the cent, with more digits below ten cents; ``unknown`` for None."""
    if usd is None:
        return "unknown"
    return f"${usd:,.2f}" if usd >= 0.0995 or usd == 0 else f"${usd:.4f}" if usd < 0.01 else f"${usd:.3f}"


def rate_text(usd_per_hour: float | None) -> str:
    """Return a price per hour (``$0.526/h``); ``unknown`` for None."""
    return "unknown" if usd_per_hour is None else f"${usd_per_hour:.3f}/h"


def printable(text: str) -> str:
    """Return a foreign text as one line that does nothing to a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
