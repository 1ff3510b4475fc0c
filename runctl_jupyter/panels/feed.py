"""One connection of a view: what it follows, asks and does, as messages."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.errors import InvalidRequest, RunctlError
from runctl_jupyter.panels.followed import Event
from runctl_jupyter.panels.pending import pending_for
from runctl_jupyter.panels.troubles import ErrorDocument, explained

if TYPE_CHECKING:
    from runctl_jupyter.panels.panels import Panels

Message = dict[str, Any]

WIDGET_BYTES = 1_000_000
"""A message for a widget should not be larger: the kernel's connection carries others too."""
_AT_ONCE = 4
"""Questions and deeds of one view that are under way at the same time."""

_log = logging.getLogger(__name__)


class Feed:
    """Carries messages between one view and the panels.

    Takes ``{"type": "subscribe", "id", "topic", "params", "place"}``, ``{"type": "unsubscribe", "id"}`` and
    ``{"type": "query" | "act", "id", "method", "params", "place"}``. Sends ``{"type": "events", "events": [{"id",
    "event"}]}``, ``{"type": "status", "id", "live", "trouble"}`` and ``{"type": "reply", "id", "result" | "error"}``.

    Parameters
    ----------
    send
        Called with each message, by one thread at a time. While it blocks, events are joined, and of a log the
        oldest pieces are dropped in the end. When it raises, the feed is closed.
    period_s
        Least time between two messages with events.
    message_bytes
        About how large a message with events is at most.
    """

    def __init__(
        self,
        panels: Panels,
        send: Callable[[Message], object],
        period_s: float = 0.1,
        message_bytes: int = WIDGET_BYTES,
    ) -> None:
        self._panels, self._send, self._period, self._message_bytes = panels, send, period_s, message_bytes
        self._subscriptions: OrderedDict[str, _Subscription] = OrderedDict()
        self._replies: deque[Message] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._pool: ThreadPoolExecutor | None = None
        threading.Thread(target=self._deliver, name="runctl-feed", daemon=True).start()

    def receive(self, message: Mapping[str, Any]) -> None:
        """Take a message of the view. Returns at once; what is wrong with it is said in an answer.

        Raises
        ------
        InvalidRequest
            It is no message.
        """
        kind, message_id = message.get("type"), message.get("id")
        if not isinstance(message_id, str) or kind not in ("subscribe", "unsubscribe", "query", "act"):
            raise InvalidRequest(
                f"This is no message of a view: type {kind!r}, id {message_id!r}.",
                "Reload the page: view and Python side may be of different versions.",
            )
        place = message.get("place")
        if place is not None and not isinstance(place, str):
            raise InvalidRequest(f"{place!r} is not the id of a place.", "Leave it out, or use an id of `places`.")
        if kind == "subscribe":
            self._subscribe(message_id, message.get("topic"), message.get("params"), place)
        elif kind == "unsubscribe":
            self._unsubscribe(message_id)
        else:
            ask = self._panels.query if kind == "query" else self._panels.act
            self._begin(message_id, lambda: ask(str(message.get("method")), message.get("params"), place))

    def close(self) -> None:
        """Follow nothing any more and send nothing; deeds under way are carried out."""
        with self._changed:
            self._closed = True
            subscriptions = list(self._subscriptions.values())
            self._subscriptions.clear()
            self._replies.clear()
            pool, self._pool = self._pool, None
            self._changed.notify_all()
        for subscription in subscriptions:
            subscription.leave()
        if pool is not None:
            pool.shutdown(wait=False)

    def _subscribe(self, subscription_id: str, topic: object, params: object, place: str | None) -> None:
        self._unsubscribe(subscription_id)
        subscription = _Subscription(self, str(topic))
        with self._changed:
            if self._closed:
                return
            self._subscriptions[subscription_id] = subscription
        try:
            leave = self._panels.hub.follow(topic, params, place, subscription)
        except RunctlError as error:
            subscription.on_status(live=False, trouble=explained(error))
        else:
            subscription.entered(leave)

    def _unsubscribe(self, subscription_id: str) -> None:
        with self._changed:
            subscription = self._subscriptions.pop(subscription_id, None)
        if subscription is not None:
            subscription.leave()

    def _begin(self, message_id: str, ask: Callable[[], dict[str, Any]]) -> None:
        with self._changed:
            if self._closed:
                return
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="runctl-view")
            self._pool.submit(self._answer, message_id, ask)

    def _answer(self, message_id: str, ask: Callable[[], dict[str, Any]]) -> None:
        reply: Message = {"type": "reply", "id": message_id}
        try:
            reply["result"] = ask()
        except Exception as error:  # noqa: BLE001 - whatever it was, the view waits for an answer
            reply["error"] = explained(error)
        with self._changed:
            if not self._closed:
                self._replies.append(reply)
                self._changed.notify_all()

    def _deliver(self) -> None:
        next_events = 0.0
        while True:
            with self._changed:
                while not (self._closed or self._replies or (self._news() and time.monotonic() >= next_events)):
                    self._changed.wait(max(0.0, next_events - time.monotonic()) if self._news() else None)
                if self._closed:
                    return
                messages = list(self._replies)
                self._replies.clear()
                if time.monotonic() >= next_events and self._news():
                    messages += self._due()
                    next_events = time.monotonic() + self._period
            try:
                for message in messages:
                    self._send(message)
            except Exception:  # noqa: BLE001 - the door knows why; here the connection is over
                _log.debug("a view is gone", exc_info=True)
                self.close()
                return

    def _news(self) -> bool:
        return any(each.news for each in self._subscriptions.values())

    def _due(self) -> list[Message]:
        """Return the messages whose time has come: states first, then one with the events there is room for."""
        messages: list[Message] = []
        events = []
        room = self._message_bytes
        for subscription_id, subscription in list(self._subscriptions.items()):
            if subscription.status is not None:
                live, trouble = subscription.status
                messages.append({"type": "status", "id": subscription_id, "live": live, "trouble": trouble})
                subscription.status = None
            taken = subscription.pending.take(room) if room > 0 else None
            subscription.news = room <= 0 or taken is not None
            if taken is not None:
                events.append({"id": subscription_id, "event": taken[0]})
                room -= taken[1]
                # Who was served is the last to be served the next time.
                self._subscriptions.move_to_end(subscription_id)
        return [*messages, {"type": "events", "events": events}] if events else messages

    def note(self, change: Callable[[], None]) -> None:
        """Carry out `change` of a subscription and send what it leads to."""
        with self._changed:
            change()
            self._changed.notify_all()


class _Subscription:
    """What a view follows: a listener whose news wait to be sent."""

    def __init__(self, feed: Feed, topic: str) -> None:
        self._feed = feed
        self.pending = pending_for(topic)
        self.status: tuple[bool, ErrorDocument | None] | None = None
        self.news = False
        self._lock = threading.Lock()
        self._leave: Callable[[], None] | None = None
        self._left = False

    def on_event(self, event: Event) -> None:
        """Let an event wait."""

        def add() -> None:
            self.pending.add(event)
            self.news = True

        self._feed.note(add)

    def on_status(self, live: bool, trouble: ErrorDocument | None) -> None:
        """Let a state wait; only the newest is sent."""

        def put() -> None:
            self.status = (live, trouble)
            self.news = True

        self._feed.note(put)

    def entered(self, leave: Callable[[], None]) -> None:
        """Keep the way out; take it at once if the view has gone meanwhile."""
        with self._lock:
            if not self._left:
                self._leave = leave
                return
        leave()

    def leave(self) -> None:
        """Follow no more."""
        with self._lock:
            self._left = True
            leave, self._leave = self._leave, None
        if leave is not None:
            leave()
