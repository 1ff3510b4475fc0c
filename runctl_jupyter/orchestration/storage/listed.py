"""What a listing says of an object, whatever holds it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class ListedObject:
    """Key relative to the store's root, size in bytes, time of the last write, and what tells versions apart."""

    key: str
    size: int
    last_modified: datetime
    etag: str = ""
    """Empty where a listing does not tell."""
