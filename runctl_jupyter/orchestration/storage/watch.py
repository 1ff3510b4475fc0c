"""What appears, changes and goes under a prefix, as it happens: a listing every few seconds, compared with the last.

S3 tells nobody of changes without a queue that somebody has set up; a listing needs nothing but the right to list.
A thousand keys are one request ($0.005 for a thousand of them).
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Literal, NamedTuple

from runctl_jupyter.orchestration.errors import InvalidRequest, StorageUnavailable
from runctl_jupyter.orchestration.model import ObjectEvent
from runctl_jupyter.orchestration.storage.bucket import BucketStore
from runctl_jupyter.orchestration.storage.explained import storage_errors
from runctl_jupyter.orchestration.storage.listed import ListedObject
from runctl_jupyter.orchestration.storage.names import Selection
from runctl_jupyter.orchestration.waiting import is_passing
from runctl_jupyter.run_record import now

SHORTEST_S = 0.1


class _Version(NamedTuple):
    etag: str
    size: int


class Watch(Iterator[ObjectEvent], AsyncIterator[ObjectEvent]):
    """Events under a prefix since this was made; ``for`` and ``async for`` both wait for the next.

    Parameters
    ----------
    prefix
        What the keys begin with.
    interval
        Seconds between two listings.
    on_trouble
        Told, once each time, that S3 cannot be reached for a while; the watch goes on.

    Raises
    ------
    InvalidRequest
        The interval is too short.
    StorageUnavailable
        The prefix cannot be listed.
    """

    def __init__(
        self,
        store: BucketStore,
        prefix: str,
        selection: Selection,
        interval: float,
        on_trouble: Callable[[str], object] | None = None,
    ) -> None:
        if interval < SHORTEST_S:
            raise InvalidRequest(f"S3 cannot be asked every {interval:g} s.", f"Choose {SHORTEST_S} s or more.")
        self._store, self._prefix, self._selection = store, prefix, selection
        self._interval, self._on_trouble = interval, on_trouble
        self._events: deque[ObjectEvent] = deque()
        self._closed = threading.Event()
        self._in_trouble = False
        with storage_errors():
            self._seen = self._look()

    def close(self) -> None:
        """End the iteration, also one that waits in another thread."""
        self._closed.set()

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> ObjectEvent:
        while not self._events:
            if self._closed.wait(self._interval):
                raise StopIteration
            self._poll()
        return self._events.popleft()

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> ObjectEvent:
        while not self._events:
            await asyncio.sleep(self._interval)
            if self._closed.is_set():
                raise StopAsyncIteration
            await asyncio.to_thread(self._poll)
        return self._events.popleft()

    def _poll(self) -> None:
        try:
            with storage_errors():
                found = self._look()
        except StorageUnavailable as error:
            if not is_passing(error):
                raise
            if not self._in_trouble and self._on_trouble is not None:
                self._on_trouble(f"{error.what} The watch goes on when S3 answers.")
            self._in_trouble = True
            return
        self._in_trouble = False
        before, self._seen = self._seen, found
        for key in sorted(found.keys() - before.keys()):
            self._note("added", key, found[key])
        for key in sorted(found.keys() & before.keys()):
            if found[key] != before[key]:
                self._note("changed", key, found[key])
        for key in sorted(before.keys() - found.keys()):
            self._note("removed", key, before[key])

    def _note(self, kind: Literal["added", "changed", "removed"], key: str, version: _Version) -> None:
        self._events.append(ObjectEvent(kind, self._store.uri_of(key), key, version.size, now()))

    def _look(self) -> dict[str, _Version]:
        return {found.key: _version(found) for found in self._store.walk(self._prefix) if self._takes(found.key)}

    def _takes(self, key: str) -> bool:
        return self._selection.takes(key[len(self._prefix) :])


def _version(found: ListedObject) -> _Version:
    return _Version(found.etag, found.size)
