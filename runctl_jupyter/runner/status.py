"""The attempt's status in the record: heartbeats by compare-and-swap, the end written once."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Optional

from runctl_jupyter.run_record import (
    AttemptKeys,
    NotFound,
    PreconditionFailed,
    RecordStore,
    Status,
    StoreError,
    now,
    to_iso,
)
from runctl_jupyter.runner.backoff import Backoff

_CHANGES_PER_WRITE = 10


class EndedElsewhere(Exception):
    """Somebody else has written an end of this attempt."""


class StatusBoard:
    """Writes the status; safe to use from several threads.

    Parameters
    ----------
    first
        The status to begin with.
    measure
        Gives the fields that move by themselves: log, checkpoints, cost.
    mirror
        File that always has the newest status, whether the store has it or not.
    """

    def __init__(
        self, store: RecordStore, keys: AttemptKeys, first: Status, measure: Callable[[], dict[str, Any]], mirror: Path
    ) -> None:
        self._store = store
        self._key = keys.status
        self._current = first
        self._measure = measure
        self._mirror = mirror
        self._etag: Optional[str] = None
        self._writing = threading.Lock()
        self._changing = threading.Lock()
        self._over = False

    @property
    def current(self) -> Status:
        """The newest status, stored or not."""
        return self._current

    def change(self, **fields: Any) -> None:
        """Change fields; they reach the store with the next `write`."""
        with self._changing:
            self._current = dataclasses.replace(self._current, **fields)

    def write(self) -> None:
        """Write a heartbeat, once.

        Raises
        ------
        EndedElsewhere
            The record holds an end that this runner has not written.
        StoreError
            The store failed; the next heartbeat tells the same.
        """
        with self._writing:
            if not self._over:
                self._put()

    def end(self, until: float, **fields: Any) -> bool:
        """Write the end until the store takes it.

        Parameters
        ----------
        until
            `time.monotonic` after which to give up; the end then lies in the mirror only.

        Returns
        -------
        bool
            Whether the store has it.

        Raises
        ------
        EndedElsewhere
            The record holds another end.
        """
        backoff = Backoff()
        with self._writing:
            self.change(ended_at=to_iso(now()), **fields)
            while True:
                try:
                    self._put()
                except StoreError:
                    if time.monotonic() >= until:
                        return False
                    time.sleep(backoff.next())
                else:
                    self._over = True
                    return True

    def _put(self) -> None:
        measured = self._measure()
        self.change(updated_at=to_iso(now()), **measured)
        status = self._current
        data = status.to_json()
        self._write_mirror(data)
        for _ in range(_CHANGES_PER_WRITE):
            try:
                self._etag = self._store.put(self._key, data, create_only=self._etag is None, if_etag=self._etag)
                return
            except PreconditionFailed:
                if self._adopt(status):
                    return
        raise StoreError(f"{self._key} changes too fast", transient=True)

    def _write_mirror(self, data: bytes) -> None:
        try:
            self._mirror.write_bytes(data)
        except OSError as error:
            # A full disk must not keep the heartbeat from the store.
            sys.stderr.write(f"{self._mirror}: {error}\n")

    def _adopt(self, status: Status) -> bool:
        """Take over what the store has; return whether it is our own end, written by a try whose answer was lost."""
        try:
            found = self._store.get(self._key)
        except NotFound:
            self._etag = None
            return False
        other = Status.from_json(found.data)
        if other.state.ended:
            self._over = True
            if other.runner_id == status.runner_id and other.state == status.state:
                return True
            raise EndedElsewhere(f"the attempt is {other.state} already")
        self._etag = found.etag
        return False
