"""What a listing says of an object, whatever holds it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple


class ListedObject(NamedTuple):
    """Key relative to the store's root, size in bytes, time of the last write, and what tells versions apart.

    A tuple, since a listing makes a hundred thousand of them.
    """

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
