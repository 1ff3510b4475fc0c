"""S3 as lines that come one after another: long listings, and what happens under a prefix."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from runctl_jupyter.commands.results import Story

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import ObjectEvent, StorageObject

_AT_ONCE = 200
"""Lines that are printed at a time."""


class ObjectLines(Story):
    """A listing in a terminal, a line or a JSON object each; in JSON one document for all."""

    def __init__(self, rows: Iterable[StorageObject], empty: str, *, as_json: bool) -> None:
        self._rows, self._empty, self._as_json = rows, empty, as_json

    def __iter__(self) -> Iterator[str]:
        return self._document() if self._as_json else _joined(self._lines())

    def _document(self) -> Iterator[str]:
        rows = (json.dumps(row.to_dict(), ensure_ascii=False) for row in self._rows)
        first = next(rows, None)
        if first is None:
            yield "[]"
            return
        yield f"[{first}"
        yield from _joined(f",{row}" for row in rows)
        yield "]"

    def _lines(self) -> Iterator[str]:
        from runctl_jupyter.orchestration.units import age_text, size_text

        found = False
        for row in self._rows:
            found = True
            size = "" if row.size is None else size_text(row.size)
            age = "" if row.last_modified is None else age_text(row.last_modified)
            yield f"{size:>9}  {age:>9}  {_on_a_line(row.uri)}"
        if not found:
            yield self._empty


class EventLines(Story):
    """What happens under a prefix, until Ctrl-C: a line each, or a JSON document each."""

    until_interrupted = True

    def __init__(self, events: Iterable[ObjectEvent], *, as_json: bool) -> None:
        self._events, self._as_json = events, as_json

    def __iter__(self) -> Iterator[str]:
        for event in self._events:
            yield json.dumps(event.to_dict(), ensure_ascii=False) if self._as_json else _line(event)


def _line(event: ObjectEvent) -> str:
    from runctl_jupyter.orchestration.units import size_text

    return f"{event.seen_at:%H:%M:%S}  {event.kind:<7}  {size_text(event.size):>9}  {_on_a_line(event.uri)}"


def _on_a_line(uri: str) -> str:
    """Return an address escaped where its key holds what a terminal takes for an order."""
    return uri if uri.isprintable() else repr(uri)[1:-1]


def _joined(lines: Iterable[str]) -> Iterator[str]:
    held: list[str] = []
    for line in lines:
        held.append(line)
        if len(held) == _AT_ONCE:
            yield "\n".join(held)
            held.clear()
    if held:
        yield "\n".join(held)
