"""The chunks of an attempt's log: found by their metadata in a few requests, read several at once, in order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import StorageUnavailable
from runctl_jupyter.orchestration.jobs.log_requests import MOST_AT_ONCE, Begun, LogRequests
from runctl_jupyter.run_record import AttemptKeys, NotFound, StoredObject, from_iso
from runctl_jupyter.run_record.layout import CHUNK_OFFSET, CHUNK_TIME

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.storage.store import ObjectHead, Store


@dataclass(frozen=True)
class Chunk:
    """What is known of a chunk without its bytes."""

    offset: int
    size: int
    time: datetime


class AttemptLog:
    """The chunks of one attempt.

    Numbers have no gaps, so that their end is found by galloping, and a byte or a moment by bisection: some twenty
    small requests for a log of any length, never a listing.

    Parameters
    ----------
    known
        Number of chunks that exist for certain, as the attempt's status says it.
    """

    def __init__(self, store: Store, keys: AttemptKeys, requests: LogRequests, known: int) -> None:
        self._store, self._keys, self._requests = store, keys, requests
        self.known = known
        self._heads: dict[int, ObjectHead] = {}
        self._count: int | None = None

    def count(self) -> int:
        """Return how many chunks there are (at the first call)."""
        if self._count is None:
            low, step = self.known, 1
            while self._exists(low + step - 1):
                low, step = low + step, 2 * step
            self._count = low + bisect_left(range(step - 1), True, key=lambda i: not self._exists(low + i))
            self.known = max(self.known, self._count)
        return self._count

    def size(self) -> int:
        """Return how many bytes they hold."""
        count = self.count()
        return self._chunk(count - 1).offset + self._chunk(count - 1).size if count else 0

    def at_byte(self, offset: int) -> tuple[int, int]:
        """Return the chunk that holds byte `offset` and how many of its bytes come before; the last if none does."""
        seq = max(0, bisect_right(range(self.count()), offset, key=lambda i: self._chunk(i).offset) - 1)
        return seq, offset - self._chunk(seq).offset if self.count() else offset

    def offset(self, seq: int) -> int:
        """Return the first byte of a chunk, or of the one to come."""
        return self._chunk(seq).offset if seq < self.count() else self.size()

    def begin_span(self, low: int, high: int, *, most: int, from_end: bool) -> tuple[int, list[Begun[StoredObject]]]:
        """Start to read bytes `low` to `high`, which there are; return where what is read begins, and its parts.

        Parameters
        ----------
        most
            Chunks to read: of a log in small ones, not all that was asked for is read.
        from_end
            Whether to leave out the beginning then, or the end.
        """
        first, last = self.at_byte(low)[0], self.at_byte(high - 1)[0]
        if last - first >= most:
            first, last = (last - most + 1, last) if from_end else (first, first + most - 1)
        low = max(low, self._chunk(first).offset)
        return low, [self._begin_part(seq, low, high, whole=first < seq < last) for seq in range(first, last + 1)]

    def _begin_part(self, seq: int, low: int, high: int, *, whole: bool) -> Begun[StoredObject]:
        """Start to read what lies between two bytes; a chunk between others is not looked at before."""
        if whole:
            return self.begin(seq)
        chunk = self._chunk(seq)
        begin, end = max(0, low - chunk.offset), min(chunk.size, high - chunk.offset)
        if end - begin == chunk.size:
            return self.begin(seq)
        return self._requests.begin(partial(self._store.get_part, self._keys.chunk(seq), begin, end))

    def at_time(self, moment: datetime) -> int:
        """Return the first chunk whose last byte is not older than `moment`; the next to come if there is none."""
        return bisect_left(range(self.count()), moment, key=lambda i: self._chunk(i).time)

    def begin(self, seq: int) -> Begun[StoredObject]:
        """Start to read a chunk."""
        return self._requests.begin(partial(self._store.get, self._keys.chunk(seq)))

    def answer(self, begun: Begun[StoredObject]) -> StoredObject:
        """Return a chunk that was begun; raises `NotFound`."""
        return self._requests.answer(begun)

    def backwards(self, down_to: int) -> Iterator[tuple[int, StoredObject]]:
        """Yield number and content of the chunks there are, the last first, a growing number at once."""
        ahead: deque[tuple[int, Begun[StoredObject]]] = deque()
        below, window = self.count(), 1
        while below > down_to or ahead:
            while below > down_to and len(ahead) < window:
                below -= 1
                ahead.append((below, self.begin(below)))
            seq, begun = ahead.popleft()
            yield seq, self.answer(begun)
            window = min(2 * window, MOST_AT_ONCE)

    def _exists(self, seq: int) -> bool:
        if seq not in self._heads:
            with suppress(NotFound):
                self._heads[seq] = self._requests.ask(partial(self._store.head, self._keys.chunk(seq)))
        return seq in self._heads

    def _chunk(self, seq: int) -> Chunk:
        where = self._keys.chunk(seq)
        if not self._exists(seq):
            raise StorageUnavailable(
                f"A chunk of the log is missing: {where}.", "Look for a lifecycle rule of the bucket that deletes it."
            )
        head = self._heads[seq]
        try:
            offset, moment = int(head.metadata[CHUNK_OFFSET]), from_iso(head.metadata[CHUNK_TIME])
        except (KeyError, ValueError) as error:
            raise StorageUnavailable(
                f"A chunk of the log does not say which bytes it holds: {where}.", "Read the log from its beginning."
            ) from error
        return Chunk(offset, head.size, moment)


class ChunkReader:
    """Reads an attempt's chunks in order, ahead of who takes them when there are many.

    At the end of a log that grows, each look is one request: the chunks ahead are asked for only where the
    attempt's status says that they exist, or when several came one after the other without a wait.

    Parameters
    ----------
    seq
        The first chunk to read.
    held
        Chunks that were read before, by number; taken out as they are used.
    """

    def __init__(self, log: AttemptLog, seq: int, held: dict[int, StoredObject]) -> None:
        self._log, self._seq, self._held = log, seq, held
        self._ahead: deque[Begun[StoredObject]] = deque()
        self._in_a_row = 0

    def next(self) -> StoredObject | None:
        """Return the next chunk, or None while there is none."""
        if self._seq in self._held:
            found = self._held.pop(self._seq)
        else:
            window = self._window()
            while len(self._ahead) < window:
                self._ahead.append(self._log.begin(self._seq + len(self._ahead)))
            try:
                found = self._log.answer(self._ahead.popleft())
            except NotFound:
                self._forget()
                return None
            self._in_a_row += 1
        self._seq += 1
        return found

    def _window(self) -> int:
        behind = self._log.known - self._seq
        if behind > 0:
            self._in_a_row = 0
            return min(behind, MOST_AT_ONCE)
        return min(1 << max(0, self._in_a_row - 1), MOST_AT_ONCE)

    def _forget(self) -> None:
        """Drop what was asked for beyond the end: it may have been written since, or not."""
        for begun in self._ahead:
            begun.cancel()
        self._ahead.clear()
        self._in_a_row = 0
