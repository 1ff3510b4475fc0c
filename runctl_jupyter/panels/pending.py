"""Events on their way to one view: joined while they wait, so that a slow reader is told less often, not less."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque

from runctl_jupyter.panels.followed import Event
from runctl_jupyter.panels.log_texts import Piece

MOST_LOG_BYTES = 8 << 20
"""Of a log that wait for a view; beyond, the oldest are dropped: the view sees the gap and asks."""
_ROW_BYTES = 2048
"""About what a row of a table takes in a message."""


class Pending(ABC):
    """What waits for one subscription."""

    @abstractmethod
    def add(self, event: Event) -> None:
        """Take an event."""

    @abstractmethod
    def take(self, room: int) -> tuple[Event, int] | None:
        """Return what may be sent now in about `room` bytes, and about how many it takes; None if nothing waits."""


class Newest(Pending):
    """Each event replaces the one before: cards, sums, curves."""

    def __init__(self) -> None:
        self._event: Event | None = None

    def add(self, event: Event) -> None:
        """Take an event in place of the last."""
        self._event = event

    def take(self, room: int) -> tuple[Event, int] | None:
        """Return the newest."""
        event, self._event = self._event, None
        return None if event is None else (event, _size(event))


class ChangedRows(Pending):
    """Rows of a table: of each the newest."""

    def __init__(self) -> None:
        self._rows: dict[str, Event] = {}
        self._removed: set[str] = set()
        self._reset = False

    def add(self, event: Event) -> None:
        """Take rows; a reset makes all that waits obsolete."""
        if event["reset"]:
            self._rows, self._removed, self._reset = {}, set(), True
        for row in event["rows"]:
            self._rows[row["id"]] = row
            self._removed.discard(row["id"])
        for row_id in event["removed"]:
            self._rows.pop(row_id, None)
            self._removed.add(row_id)

    def take(self, room: int) -> tuple[Event, int] | None:
        """Return as many rows as there is room for, at least one."""
        if not (self._rows or self._removed or self._reset):
            return None
        ids = list(self._rows)[: max(1, room // _ROW_BYTES)]
        event = {
            "reset": self._reset,
            "rows": [self._rows.pop(row_id) for row_id in ids],
            "removed": sorted(self._removed),
        }
        self._reset, self._removed = False, set()
        return event, _ROW_BYTES * len(ids)


class LogPieces(Pending):
    """Pieces of a log in their order."""

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()
        self._bytes = 0
        self._size = 0
        self._ended = False
        self._news = False

    def add(self, event: Event) -> None:
        """Take pieces, and drop the oldest of too many."""
        self._pieces.extend(event["pieces"])
        self._bytes += sum(map(_length, event["pieces"]))
        while self._bytes > MOST_LOG_BYTES:
            self._bytes -= _length(self._pieces.popleft())
        self._size, self._ended, self._news = event["size"], event["ended"], True

    def take(self, room: int) -> tuple[Event, int] | None:
        """Return the oldest pieces, as many as there is room for, at least one; neighbours become one."""
        if not self._news:
            return None
        taken: list[Piece] = []
        used = 0
        while self._pieces and (not taken or used + _length(self._pieces[0]) <= room):
            taken.append(self._pieces.popleft())
            used += _length(taken[-1])
        self._bytes -= used
        self._news = bool(self._pieces)
        # Only with its last piece is a log at its end.
        event = {"pieces": _joined(taken), "size": self._size, "ended": self._ended and not self._pieces}
        return event, used


def pending_for(topic: str) -> Pending:
    """Return what events of a topic wait in."""
    if topic == "log":
        return LogPieces()
    return ChangedRows() if topic in ("jobs", "instances") else Newest()


def _joined(pieces: list[Piece]) -> list[Piece]:
    groups: list[list[Piece]] = []
    for piece in pieces:
        last = groups[-1][-1] if groups else None
        if last is not None and (last["end"], last["time"], last["origin"]) == (
            piece["start"],
            piece["time"],
            piece["origin"],
        ):
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return [
        {**group[0], "end": group[-1]["end"], "text": "".join(piece["text"] for piece in group)} for group in groups
    ]


def _length(piece: Piece) -> int:
    return int(piece["end"] - piece["start"])


def _size(event: Event) -> int:
    """Return about how many bytes an event takes in a message: curves are the only large ones."""
    series = event.get("series")
    curves = series if isinstance(series, list) else []
    return _ROW_BYTES * (1 + len(event.get("checkpoints", ()))) + sum(40 * len(each["times"]) for each in curves)
