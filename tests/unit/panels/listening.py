"""A listener and a view that remember what they were told, and await what is still to come."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

DEADLINE_S = 30.0


class Heard:
    """A listener of a topic."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.statuses: list[tuple[bool, dict[str, Any] | None]] = []
        self._changed = threading.Condition()

    def on_event(self, event: dict[str, Any]) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def on_status(self, live: bool, trouble: dict[str, Any] | None) -> None:
        with self._changed:
            self.statuses.append((live, trouble))
            self._changed.notify_all()

    def until(self, wanted: Callable[[], Any]) -> Any:
        """Wait until `wanted` is true and return it."""
        with self._changed:
            assert self._changed.wait_for(wanted, DEADLINE_S), (self.events[-3:], self.statuses)
            return wanted()

    @property
    def log(self) -> str:
        """The text of the log's pieces, which must adjoin."""
        pieces = [piece for event in self.events for piece in event["pieces"]]
        for before, after in itertools.pairwise(pieces):
            assert before["end"] == after["start"]
        return "".join(piece["text"] for piece in pieces)


class View:
    """The other end of a feed; `blocked` holds up whoever sends."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.open = threading.Event()
        self.open.set()
        self.sending = threading.Event()
        self._changed = threading.Condition()

    def send(self, message: dict[str, Any]) -> None:
        self.sending.set()
        assert self.open.wait(DEADLINE_S)
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def until(self, wanted: Callable[[], Any]) -> Any:
        with self._changed:
            assert self._changed.wait_for(wanted, DEADLINE_S), self.messages[-3:]
            return wanted()

    def events(self, subscription_id: str) -> list[dict[str, Any]]:
        batches = [message["events"] for message in self.messages if message["type"] == "events"]
        return [each["event"] for batch in batches for each in batch if each["id"] == subscription_id]

    def status(self, subscription_id: str) -> dict[str, Any] | None:
        found = [m for m in self.messages if m["type"] == "status" and m["id"] == subscription_id]
        return found[-1] if found else None

    def reply(self, message_id: str) -> dict[str, Any] | None:
        return next((m for m in self.messages if m["type"] == "reply" and m["id"] == message_id), None)
