"""Plain values in JSON, where JSON gives exactly the same back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

TYPES = frozenset({type(None), bool, int, float, str, list, dict})
"""What JSON can hold, of these types and no others derived from them."""
_DEEPEST = 100
_BIGGEST_INT = 10**4000  # from 4,300 digits on, Python refuses to read them (sys.int_info)


def is_json(value: Any) -> bool:
    """Return whether JSON keeps the value: no keys but strings, nothing in it twice (it would be copied), no loops."""
    level, seen = [value], set()
    for _ in range(_DEEPEST):
        kinds = set(map(type, level))
        if not kinds <= TYPES:
            return False
        if int in kinds and not all(-_BIGGEST_INT < each < _BIGGEST_INT for each in level if type(each) is int):
            return False
        if str in kinds and not _are_unicode(each for each in level if type(each) is str):
            return False
        below: list[Any] = []
        for each in level if list in kinds or dict in kinds else ():
            if type(each) is list or type(each) is dict:
                if id(each) in seen:
                    return False
                seen.add(id(each))
                if type(each) is dict and not (set(map(type, each)) <= {str} and _are_unicode(each)):
                    return False
                below.extend(each.values() if type(each) is dict else each)
        if not below:
            return True
        level = below
    return False


def write_json(value: Any, path: Path) -> None:
    """Write a value; NaN and infinities as Python does."""
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a value."""
    return json.loads(path.read_text(encoding="utf-8"))


def _are_unicode(texts: Iterable[str]) -> bool:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False  # half a surrogate pair: two of them would come back as one character
    return True
