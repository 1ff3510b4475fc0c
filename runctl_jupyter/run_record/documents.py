"""What a document of the record is: a frozen dataclass that is one JSON object.

`from_json` ignores keys it does not know, so that an older reader can follow a newer job; it refuses
documents that lack what it needs. pydantic would do this too, but is compiled code, and these run
on the machine, where nothing can be installed first.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from enum import Enum
from typing import Any, TypeVar

SCHEMA = 1
"""Version of the record; raised only when an old reader would misread a new document."""

D = TypeVar("D", bound="Document")


class Document:
    """A dataclass that is one JSON object of the record."""

    def to_json(self) -> bytes:
        """Return the document as UTF-8 JSON with stable order of keys."""
        return json.dumps(to_plain(self), indent=1, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls: type[D], data: bytes) -> D:
        """Read a document.

        Raises
        ------
        ValueError
            Not JSON, or a key is missing or of the wrong type.
        """
        return typing.cast(D, _build(cls, json.loads(data), cls.__name__))


def to_plain(value: Any) -> Any:
    """Turn dataclasses and enums into what JSON knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value


_UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))


def _build(kind: Any, value: Any, where: str) -> Any:
    """Build `kind` from JSON, checking types; `where` names the place in messages."""
    if kind is str or kind is int:  # most are, and a tree has many thousands of them
        return _expect(kind, value, where)
    origin = typing.get_origin(kind)
    if origin in _UNIONS:
        if value is None:
            return None
        (inner,) = (arg for arg in typing.get_args(kind) if arg is not type(None))
        return _build(inner, value, where)
    if origin is list:
        (inner,) = typing.get_args(kind)
        return [_build(inner, item, f"{where}[{i}]") for i, item in enumerate(_expect(list, value, where))]
    if origin is dict:
        _, inner = typing.get_args(kind)
        return {key: _build(inner, item, f"{where}.{key}") for key, item in _expect(dict, value, where).items()}
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, _expect(dict, value, where), where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if kind is float:
        return float(_expect((int, float), value, where))
    return _expect(kind, value, where)


def _build_dataclass(kind: Any, value: dict[str, Any], where: str) -> Any:
    found = {}
    for each, hint in _fields(kind):
        if each.name in value:
            found[each.name] = _build(hint, value[each.name], f"{where}.{each.name}")
        elif each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            raise ValueError(f"{where} lacks {each.name!r}")
    return kind(**found)


@functools.cache
def _fields(kind: Any) -> list[tuple[dataclasses.Field[Any], Any]]:
    """Return fields and their types; finding out the types takes longer than building an object."""
    hints = typing.get_type_hints(kind)
    return [(each, hints[each.name]) for each in dataclasses.fields(kind)]


def _expect(kind: Any, value: Any, where: str) -> Any:
    wrong_bool = isinstance(value, bool) and kind is not bool
    if wrong_bool or not isinstance(value, kind):
        raise ValueError(f"{where} is {type(value).__name__}, not what the record needs")
    return value
