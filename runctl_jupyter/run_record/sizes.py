"""Sizes for people: the same words from the machine and from the engine."""

from __future__ import annotations


def size_text(size: float) -> str:
    """Return bytes in powers of 1000 (``98.4 MB``)."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
