"""The log: from the script's pipe to the spool at once, from the spool to the store in numbered chunks.

Two threads that never wait for each other: whoever writes only appends to the spool; the uploader cuts
chunks at the pace of `Pacing` and stores one after the other, so that numbers have no gaps.
"""

from __future__ import annotations

import select
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Optional

from runctl_jupyter.run_record import (
    AttemptKeys,
    NotFound,
    Pacing,
    PreconditionFailed,
    RecordStore,
    StoreError,
    now,
    to_iso,
)
from runctl_jupyter.run_record.layout import CHUNK_OFFSET, CHUNK_ORIGIN, CHUNK_TIME, RUNNER
from runctl_jupyter.runner.backoff import Backoff
from runctl_jupyter.runner.spool import Spool

MOST_CHUNK_BYTES = 4 << 20
"""A chunk takes whatever has come meanwhile, up to this: then even 50 MB/s are not too fast."""
_LINE_END_WITHIN = 8192
_MARK_S = 0.02
_PROMPT_S = 0.02
_MESSAGE_PATIENCE_S = 2.0


class LogConflict(StoreError):
    """A chunk of this attempt holds other bytes: another runner writes to the same log."""


@dataclass
class _Mark:
    """When the bytes up to `end` came: the first by the monotonic clock, the last by the wall clock."""

    end: int
    first: float
    last: datetime


class TokenBucket:
    """How many quick chunks are still allowed: `burst`, refilled one every `refill_s`."""

    def __init__(self, burst: int, refill_s: float) -> None:
        self._burst = float(burst)
        self._refill_s = refill_s
        self._tokens = float(burst)
        self._at = time.monotonic()

    def available(self) -> bool:
        """Whether there is a token."""
        self._refill()
        return self._tokens >= 1

    def take(self) -> None:
        """Use a token, if there is one."""
        self._refill()
        self._tokens = max(0.0, self._tokens - 1)

    def _refill(self) -> None:
        moment = time.monotonic()
        if self._refill_s > 0:
            self._tokens = min(self._burst, self._tokens + (moment - self._at) / self._refill_s)
        self._at = moment


class JobLog:
    """The log of one attempt; `write` and `say` may be called from any thread.

    Parameters
    ----------
    spool_path
        File that takes every byte first.
    known_chunks
        How many chunks a former runner is known to have stored, at least; None for a log that begins.
    """

    def __init__(
        self,
        store: RecordStore,
        keys: AttemptKeys,
        pacing: Pacing,
        spool_path: Path,
        known_chunks: Optional[int] = None,
    ) -> None:
        self._store = store
        self._keys = keys
        self._pacing = pacing
        self._spool = Spool(spool_path)
        self._own_file = spool_path.with_suffix(".own")
        self._known_chunks = known_chunks
        self._found_size = self._spool.size
        self._tokens = TokenBucket(pacing.flush_burst, pacing.flush_s)
        self._changed = threading.Condition()
        self._marks: deque[_Mark] = deque()
        self._own = self._read_own()
        self._messages: list[str] = []
        self._messages_since = 0.0
        self._at_line_start = self._ends_with_line()
        if self._found_size:
            self._marks.append(_Mark(self._spool.size, time.monotonic(), now()))
        self._said_disk_full = False
        self._sent = 0
        self._chunks = 0
        self._flushed_at = float("-inf")
        self._closing = False
        self._give_up = threading.Event()
        self._failure: Optional[StoreError] = None
        self._thread = threading.Thread(target=self._upload, name="log", daemon=True)

    @property
    def stored(self) -> tuple[int, int]:
        """Chunks and bytes that are in the store."""
        with self._changed:
            return self._chunks, self._sent

    @property
    def received(self) -> int:
        """Bytes that have come so far, the runner's own lines among them."""
        return self._spool.size

    @property
    def failure(self) -> Optional[StoreError]:
        """What the store said last when it did not take a chunk; None after one that it took."""
        return self._failure

    def start(self) -> None:
        """Start to upload."""
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Add bytes of the script; never waits for the store."""
        with self._changed:
            start = self._spool.size
            self._spool.append(data)
            self._script_has_written(start)

    def take(self, pipe: int) -> bool:
        """Add the script's bytes that wait in a pipe, when there are some; return False when there will be no more."""
        select.select([pipe], [], [])
        with self._changed:
            start = self._spool.size
            if not self._spool.append_from(pipe):
                return False
            self._script_has_written(start)
        return True

    def _script_has_written(self, start: int) -> None:
        self._note_arrival(start)
        self._at_line_start = self._ends_with_line()
        if self._messages and (self._at_line_start or self._messages_are_old()):
            self._append_messages()

    def _ends_with_line(self) -> bool:
        size = self._spool.size
        return size == 0 or self._spool.read(size - 1, 1) in (b"\n", b"")

    def write_own(self, data: bytes) -> None:
        """Add bytes that are the runner's and not the script's, such as an installer's output."""
        with self._changed:
            self._append_own(data)
            self._at_line_start = data.endswith(b"\n")

    def say(self, text: str) -> None:
        """Add a line of the runner's own, between the script's lines rather than inside one."""
        with self._changed:
            if not self._messages:
                self._messages_since = time.monotonic()
            self._messages.append(text)
            if self._at_line_start:
                self._append_messages()
            else:
                self._changed.notify()

    def tail(self, size: int) -> bytes:
        """Return up to the last `size` bytes, as far as they are still here."""
        with self._changed:
            start = max(self._spool.held_from, self._spool.size - size)
            return self._spool.read(start, size)

    def close(self, until: float) -> bool:
        """Store what is left; return whether everything is in the store.

        Parameters
        ----------
        until
            `time.monotonic` after which to give up.
        """
        with self._changed:
            if self._messages:
                self._append_messages()
            self._closing = True
            self._changed.notify()
        self._thread.join(max(0.0, until - time.monotonic()))
        self._give_up.set()
        self._thread.join(1.0)
        with self._changed:
            return self._sent == self._spool.size

    def _append_own(self, data: bytes) -> None:
        start = self._spool.size
        end = start + len(data)
        begin = self._own.pop()[0] if self._own and self._own[-1][1] == start else start
        self._own.append((begin, end))
        # First whose they are, then the bytes: a runner that comes after this one must not take them for the script's.
        self._note_own(start, end)
        self._spool.append(data)
        self._note_arrival(start)

    def _note_own(self, start: int, end: int) -> None:
        try:
            with self._own_file.open("ab", buffering=0) as stream:
                stream.write(b"%d %d\n" % (start, end))
        except OSError as error:
            sys.stderr.write(f"{self._own_file}: {error}\n")

    def _read_own(self) -> deque[tuple[int, int]]:
        """Return which bytes of the stream were a former runner's, as far as they got there."""
        try:
            rows = [line.split() for line in self._own_file.read_text().splitlines()]
        except FileNotFoundError:
            return deque()
        found: deque[tuple[int, int]] = deque()
        for start, end in ((int(row[0]), min(int(row[1]), self._spool.size)) for row in rows):
            if found and found[-1][1] == start:
                found[-1] = (found[-1][0], end)
            elif end > start:
                found.append((start, end))
        return found

    def _note_arrival(self, start: int) -> None:
        """Tell the uploader of bytes that have been appended at `start`."""
        moment, end = time.monotonic(), self._spool.size
        if self._marks and moment - self._marks[-1].first < _MARK_S:
            self._marks[-1].end, self._marks[-1].last = end, now()
        else:
            self._marks.append(_Mark(end, moment, now()))
        # The uploader need not wake for each of a thousand writes a second: only for the first and a full chunk.
        full, pending_before = self._pacing.chunk_bytes, start - self._sent
        if not pending_before or pending_before < full <= end - self._sent:
            self._changed.notify()
        if self._spool.disk_full and not self._said_disk_full:
            self._said_disk_full = True
            self._messages.append("the disk is full: the log goes on in memory, 64 MiB at most")

    def _append_messages(self) -> None:
        lines, self._messages = self._messages, []
        text = "".join(f"runctl: {line}\n" for line in lines).encode()
        self._append_own(text if self._at_line_start else b"\n" + text)
        self._at_line_start = True

    def _messages_are_old(self) -> bool:
        return time.monotonic() - self._messages_since >= _MESSAGE_PATIENCE_S

    def _upload(self) -> None:
        if self._known_chunks is not None and not self._find_place(self._known_chunks):
            return
        while True:
            with self._changed:
                if not self._wait_until_due():
                    return
                data, own = self._cut()
                end = self._sent + len(data)
                while len(self._marks) > 1 and self._marks[0].end < end:
                    self._marks.popleft()
                read_at = self._marks[0].last
                self._tokens.take()
                self._flushed_at = time.monotonic()
            if not self._put_chunk(data, read_at, own=own):
                return
            with self._changed:
                self._spool.release(end)
                self._sent = end
                self._chunks += 1
                if self._marks and self._marks[0].end <= end:
                    self._marks.popleft()

    def _find_place(self, known_chunks: int) -> bool:
        """Find out which chunks a former runner has stored, whatever it takes; False when told to give up."""
        backoff = Backoff()
        chunk, sent = max(0, known_chunks - 1), 0
        while True:
            try:
                found = self._store.get(self._keys.chunk(chunk))
            except NotFound:
                break
            except StoreError as error:
                self._failure = error
                if self._give_up.wait(backoff.next()):
                    return False
            else:
                chunk, sent = chunk + 1, int(found.metadata[CHUNK_OFFSET]) + len(found.data)
        with self._changed:
            self._failure = None
            self._have_moved(self._spool.go_on_at(sent, self._found_size))
            self._chunks, self._sent = chunk, sent
        return True

    def _have_moved(self, by: int) -> None:
        """Move what is known of the bytes that came before their place in the stream was."""
        if not by:
            return
        for mark in self._marks:
            if mark.end > self._found_size:
                mark.end += by
        self._own = deque(
            (start + by, end + by) if start >= self._found_size else (start, end) for start, end in self._own
        )
        self._own_file.unlink(missing_ok=True)
        for start, end in self._own:
            self._note_own(start, end)

    def _wait_until_due(self) -> bool:
        """Wait until a chunk should be written; False when there is none and will be none."""
        while True:
            if self._messages and self._messages_are_old():
                self._append_messages()
            pending = self._spool.size - self._sent
            if self._give_up.is_set() or (self._closing and not pending):
                return False
            if pending and (self._closing or pending >= self._pacing.chunk_bytes):
                return True
            due = [self._due_at()] if pending else []
            if self._messages:
                due.append(self._messages_since + _MESSAGE_PATIENCE_S)
            if pending and due[0] <= time.monotonic():
                return True
            self._changed.wait(max(0.0, min(due) - time.monotonic()) if due else None)

    def _due_at(self) -> float:
        first = self._marks[0].first
        # After a silence somebody waits for this line: it goes at once, what follows is gathered again.
        quiet = first - self._flushed_at >= self._pacing.flush_s
        quick = first + (min(_PROMPT_S, self._pacing.flush_quick_s) if quiet else self._pacing.flush_quick_s)
        if self._tokens.available():
            return quick
        return max(quick, self._flushed_at + self._pacing.flush_s)

    def _cut(self) -> tuple[bytes, bool]:
        """Return the next chunk's bytes, and whether they are the runner's own.

        The script's bytes and the runner's never share a chunk, so that a reader can tell them apart. A chunk of
        full size ends with a line if one ends near.
        """
        while self._own and self._own[0][1] <= self._sent:
            self._own.popleft()
        start, end = self._own[0] if self._own else (self._spool.size, self._spool.size)
        own = start <= self._sent < end
        limit = (end if own else start) - self._sent
        data = self._spool.read(self._sent, min(MOST_CHUNK_BYTES, limit))
        if len(data) == MOST_CHUNK_BYTES:
            line_end = data.rfind(b"\n", len(data) - _LINE_END_WITHIN) + 1
            if line_end:
                return data[:line_end], own
        return data, own

    def _put_chunk(self, data: bytes, read_at: datetime, *, own: bool) -> bool:
        """Store a chunk, whatever it takes; False when told to give up."""
        key = self._keys.chunk(self._chunks)
        metadata = {CHUNK_OFFSET: str(self._sent), CHUNK_TIME: to_iso(read_at)}
        if own:
            metadata[CHUNK_ORIGIN] = RUNNER
        backoff = Backoff()
        while True:
            try:
                self._put_once(key, data, metadata)
            except StoreError as error:
                if self._failure is None:
                    sys.stderr.write(f"{to_iso(now())} log chunk {self._chunks}: {error}\n")
                self._failure = error
                if isinstance(error, LogConflict) or self._give_up.wait(backoff.next()):
                    return False
            else:
                self._failure = None
                return True

    def _put_once(self, key: str, data: bytes, metadata: dict[str, str]) -> None:
        try:
            self._store.put(key, data, create_only=True, metadata=metadata)
        except PreconditionFailed as error:
            # Ours if an earlier try was carried out and its answer lost.
            if self._store.get(key).data != data:
                raise LogConflict(f"{key} holds bytes of another runner") from error
