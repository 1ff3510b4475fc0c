"""What a listing says of an object, whatever holds it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ListedObject:
    """Key relative to the store's root, size in bytes, time of the last write, and what tells versions apart."""

    key: str
    size: int
    last_modified: datetime
    etag: str = ""
    """Empty where a listing does not tell."""


def level_of(prefix: str, everything: Iterable[ListedObject]) -> tuple[list[str], list[ListedObject]]:
    """Return what lies directly under a prefix, of everything below it: names of sub-prefixes, and objects."""
    below: dict[str, None] = {}
    objects = []
    for found in everything:
        name, slash, _ = found.key[len(prefix) :].partition("/")
        if slash:
            below[name] = None
        else:
            objects.append(found)
    return list(below), objects
