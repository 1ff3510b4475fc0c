"""One thing that is followed: looked at by one thread, told to all who listen, let go of with the last of them."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from runctl_jupyter.panels.finite import finite
from runctl_jupyter.panels.troubles import ErrorDocument, explained

Event = dict[str, Any]
"""What a topic tells, as the views' contract has it."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_EAGER_FOR_S = 15.0
"""After something was done here, its effect is looked for more often, for so long."""


class Listener(Protocol):
    """Who follows. Both are called from threads of others and must return at once."""

    def on_event(self, event: Event) -> None:
        """Take the next event."""

    def on_status(self, live: bool, trouble: ErrorDocument | None) -> None:
        """Take how it fares."""


class Topic(ABC):
    """What is followed. `run` and what it calls belong to one thread; `first` and changes run under a lock."""

    needs: Sequence[str] = ()
    """Topics that this one is made from; asked with the same parameters, at the same place."""

    def __init__(self) -> None:
        self.upstream: Mapping[str, Upstream] = {}
        self._eager_until = 0.0

    def hurry(self) -> None:
        """Look more often for a while: something was done here."""
        self._eager_until = time.monotonic() + _EAGER_FOR_S

    @property
    def eager(self) -> bool:
        """Whether something was done here a moment ago."""
        return time.monotonic() < self._eager_until

    @abstractmethod
    def run(self, followed: Followed) -> None:
        """Look, and publish what has changed, while somebody listens."""

    @abstractmethod
    def first(self) -> list[Event]:
        """Return what a new listener has to be told to know all that was published."""


class Polled(Topic):
    """A topic that is looked at again and again."""

    @abstractmethod
    def look(self) -> Callable[[], list[Event]]:
        """Ask the engine; return what turns the answer into events, under the lock.

        Raises
        ------
        RunctlError
            It cannot be known now: said to the listeners, and tried again.
        """

    @abstractmethod
    def pause_s(self) -> float | None:
        """Return the seconds until the next look; None waits to be woken."""

    def run(self, followed: Followed) -> None:
        """Look for ever, with growing pauses while it fails."""

        def look() -> float | None:
            followed.publish(self.look())
            followed.tell(None)
            return self.pause_s()

        followed.repeat(look, _LONGEST_PAUSE_S)


class Followed:
    """A topic with its thread and its listeners."""

    def __init__(self, topic: Topic, name: str) -> None:
        self.topic, self._name = topic, name
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        self._signal = threading.Condition()
        self._woken = False
        self._ended = False
        self._status: tuple[bool, ErrorDocument | None] | None = None

    def begin(self) -> None:
        """Start to look."""
        threading.Thread(target=self._run, name=f"runctl-{self._name}", daemon=True).start()

    def end(self) -> None:
        """Stop looking; the thread ends after what it is doing."""
        with self._signal:
            self._ended = True
            self._signal.notify_all()

    @property
    def listened(self) -> bool:
        """Whether somebody still listens."""
        return not self._ended

    def add(self, listener: Listener) -> None:
        """Tell `listener` all there is, and from now on what changes."""
        with self._lock:
            for event in self.topic.first():
                listener.on_event(finite(event))
            if self._status is not None:
                listener.on_status(*self._status)
            self._listeners.append(listener)

    def remove(self, listener: Listener) -> bool:
        """Forget `listener`; return whether nobody is left."""
        with self._lock:
            self._listeners.remove(listener)
            return not self._listeners

    def publish(self, change: Callable[[], list[Event]]) -> None:
        """Carry out `change` and tell everybody the events it returns."""
        with self._lock:
            for event in map(finite, change()):
                for listener in self._listeners:
                    listener.on_event(event)

    def tell(self, trouble: ErrorDocument | None) -> None:
        """Tell everybody how it fares, if that is new."""
        with self._lock:
            status = (trouble is None, trouble)
            if status != self._status:
                self._status = status
                for listener in self._listeners:
                    listener.on_status(*status)

    def wake(self, *, hurry: bool = False) -> None:
        """Let the thread look at once."""
        if hurry:
            self.topic.hurry()
        with self._signal:
            self._woken = True
            self._signal.notify_all()

    def repeat(self, step: Callable[[], float | None], longest_pause_s: float) -> None:
        """Do `step` while somebody listens, then wait as long as it says; when it fails, say so, with growing pauses.

        Parameters
        ----------
        step
            Returns the seconds until the next; None waits to be woken.
        """
        failures = 0
        while self.listened:
            try:
                pause_s = step()
            except Exception as error:  # noqa: BLE001 - a listener has to hear of any
                failures += 1
                self.tell(explained(error))
                self.wait(min(_FIRST_PAUSE_S * 2**failures, longest_pause_s))
            else:
                failures = 0
                self.wait(pause_s)

    def wait(self, seconds: float | None) -> None:
        """Let the thread wait until it is woken or nobody listens any more."""
        with self._signal:
            self._signal.wait_for(lambda: self._woken or self._ended, seconds)
            self._woken = False

    def _run(self) -> None:
        try:
            self.topic.run(self)
        except Exception as error:  # noqa: BLE001 - a thread that dies unheard would look like silence
            self.tell(explained(error))


class Upstream:
    """A topic that another one is made from: its news wake that one."""

    def __init__(self, source: Followed, wake: Callable[[], None]) -> None:
        self.source, self._wake = source, wake
        self.trouble: ErrorDocument | None = None

    @property
    def topic(self) -> Topic:
        """The topic."""
        return self.source.topic

    def on_event(self, event: Event) -> None:
        """Wake who depends on it."""
        self._wake()

    def on_status(self, live: bool, trouble: ErrorDocument | None) -> None:
        """Remember the trouble and wake who depends on it."""
        self.trouble = trouble
        self._wake()
