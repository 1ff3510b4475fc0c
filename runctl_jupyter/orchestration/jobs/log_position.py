"""Where in a job's log to begin: a byte, a moment, or so many lines before the end, over all its attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.jobs.log_chunks import AttemptLog
from runctl_jupyter.run_record import from_iso
from runctl_jupyter.run_record.layout import CHUNK_ORIGIN, CHUNK_TIME, RUNNER

if TYPE_CHECKING:
    from runctl_jupyter.run_record import StoredObject

_MOST_HELD_BYTES = 32 << 20
"""Chunks kept from looking for the last lines, so that they need not be read again: eight of full size."""

Logs = Mapping[int, AttemptLog]
"""The logs of a job's attempts by number, in order."""


@dataclass(frozen=True, order=True)
class Position:
    """A byte of a log: `skip` bytes after the beginning of chunk `seq`, which may lie beyond that chunk."""

    attempt: int
    seq: int = 0
    skip: int = 0


def at_byte(logs: Logs, offset: int) -> Position:
    """Return where byte `offset` is; one below zero counts from the end."""
    numbers = list(logs)
    if offset < 0:
        for number in reversed(numbers):
            size = logs[number].size()
            if size + offset >= 0:
                return Position(number, *logs[number].at_byte(size + offset))
            offset += size
        return Position(numbers[0])
    for number in numbers[:-1]:
        if offset < (size := logs[number].size()):
            return Position(number, *logs[number].at_byte(offset))
        offset -= size
    return Position(numbers[-1], *logs[numbers[-1]].at_byte(offset)) if offset else Position(numbers[-1])


def byte_of(logs: Logs, position: Position) -> int:
    """Return which byte of the log, all its attempts together, `position` is."""
    before = sum(log.size() for number, log in logs.items() if number < position.attempt)
    # Where a log begins needs no look.
    offset = logs[position.attempt].offset(position.seq) if position.seq else 0
    return before + offset + position.skip


def at_time(logs: Logs, moment: datetime) -> Position:
    """Return the first chunk with bytes that are not older than `moment`, or the one to come."""
    *earlier, last = logs
    for number in earlier:
        seq = logs[number].at_time(moment)
        if seq < logs[number].count():
            return Position(number, seq)
    return Position(last, logs[last].at_time(moment))


@dataclass
class LastLines:
    """Finds where the last `count` lines begin.

    Only a line feed ends a line: a bar's carriage returns redraw one. Nothing but positions is remembered of what was
    read, and of the chunks as many as may be held: the lines may be longer than memory.
    """

    count: int
    script_only: bool = False

    def __post_init__(self) -> None:
        self.held: dict[tuple[int, int], StoredObject] = {}
        """Chunks from the position found on, as many as may be held, by attempt and number."""
        self._held_bytes = 0
        self._wanted: int | None = None

    def begin(self, logs: Logs, floor: Position) -> Position:
        """Return their first byte, which is not before `floor`."""
        last = max(logs)
        if self.count == 0:
            return max(floor, Position(last, logs[last].count()))
        for number in reversed(list(logs)):
            if number < floor.attempt:
                break
            down_to = floor.seq if number == floor.attempt else 0
            for seq, found in logs[number].backwards(down_to):
                self._hold(number, seq, found)
                begin = self._line_start(found)
                if begin is not None:
                    return max(floor, Position(number, seq, begin))
        return floor

    def _hold(self, number: int, seq: int, found: StoredObject) -> None:
        self.held[number, seq] = found
        self._held_bytes += len(found.data)
        while self._held_bytes > _MOST_HELD_BYTES:
            # Those next to the end go first: they are wanted last.
            self._held_bytes -= len(self.held.pop(next(iter(self.held))).data)

    def _line_start(self, found: StoredObject) -> int | None:
        """Return where in this chunk the first of the lines begins, if in this one."""
        data = found.data
        if not data or (self.script_only and is_runners(found)):
            return None
        if self._wanted is None:
            # The last line may have an end or not.
            self._wanted = self.count + data.endswith(b"\n")
        there = data.count(b"\n")
        if there < self._wanted:
            self._wanted -= there
            return None
        end = len(data)
        for _ in range(self._wanted):
            end = data.rfind(b"\n", 0, end)
        return end + 1


def is_runners(chunk: StoredObject) -> bool:
    """Whether a chunk holds the runner's own lines."""
    return chunk.metadata.get(CHUNK_ORIGIN) == RUNNER


def time_of(chunk: StoredObject) -> datetime | None:
    """Return when a chunk's last byte was read from the script; None where the chunk does not say."""
    said = chunk.metadata.get(CHUNK_TIME)
    return None if said is None else from_iso(said)
