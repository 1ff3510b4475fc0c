"""A job's log: the exact bytes, from the first or from anywhere, as often as one likes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from runctl_jupyter.orchestration.jobs.log_position import (
    LastLines,
    Position,
    at_byte,
    at_time,
    byte_of,
    is_runners,
    time_of,
)
from runctl_jupyter.orchestration.jobs.log_reading import LogReading
from runctl_jupyter.orchestration.jobs.log_requests import LogRequests

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.job import Job
    from runctl_jupyter.run_record import StoredObject

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


@dataclass(frozen=True)
class LogPiece:
    """Bytes `start` to `end` of a log, its attempts one after the other."""

    start: int
    end: int
    time: datetime | None
    """When the last byte was read from the script; None when the record does not say."""
    origin: Literal["script", "runner"]
    """Whose words they are: the script's or the runner's."""
    data: bytes


def piece_of(chunk: StoredObject, end: int, data: bytes) -> LogPiece:
    """Return `data`, a part of `chunk`, as a piece that ends before byte `end` of the log."""
    return LogPiece(end - len(data), end, time_of(chunk), "runner" if is_runners(chunk) else "script", data)


class Log:
    """The log of a job. Iterating gives its bytes, chunk by chunk; each iteration reads anew.

    A job that was resumed has several attempts: their logs follow one another without a gap.

    Parameters
    ----------
    follow
        Go on until the job has ended, through every trouble with S3 and with credentials; otherwise stop at what
        there is, and raise.
    tail
        Begin with the last so many lines.
    script_only
        Leave out the runner's own lines (installations, checkpoints saved): what remains is what the script printed,
        byte for byte.
    since
        Begin with what was printed at this time; a time without a zone is local. A chunk is not divided, so that a
        fraction of a second before it may be shown.
    start
        Begin with this byte, counted from 0, or from the end if below. It counts the bytes of the whole log, also
        those that `script_only` leaves out.
    attempt
        The log of this attempt only; `start`, `tail` and `since` count in it.
    on_trouble
        Following, called with a sentence when the log cannot be read for now, and when it can again.

    Raises
    ------
    InvalidRequest
        There is no such attempt.
    StorageUnavailable, CredentialsMissing
        The log cannot be read; following, only if S3 refuses from the beginning.
    """

    def __init__(
        self,
        job: Job,
        *,
        follow: bool = False,
        tail: int | None = None,
        script_only: bool = False,
        since: datetime | None = None,
        start: int = 0,
        attempt: int | None = None,
        on_trouble: Callable[[str], object] | None = None,
    ) -> None:
        self._job, self._follow, self._tail, self._script_only = job, follow, tail, script_only
        self._since = since.astimezone() if since else None
        self._start, self._attempt, self._on_trouble = start, attempt, on_trouble

    def __iter__(self) -> Iterator[bytes]:
        return (data for _, _, data in self._read(located=False))

    def pieces(self) -> Iterator[LogPiece]:
        """Yield the log with what is known of its bytes; with `attempt`, they are counted in that attempt."""
        return (piece_of(chunk, end, data) for chunk, end, data in self._read(located=True))

    def _read(self, *, located: bool) -> Iterator[tuple[StoredObject, int, bytes]]:
        """Yield chunks, which byte of the log their end is, and what is wanted of them.

        Parameters
        ----------
        located
            Whether that byte is wanted: it costs some requests to know where in the log one begins.
        """
        requests = LogRequests(patient=self._follow, on_trouble=self._on_trouble)
        try:
            reading = LogReading(self._job, requests, self._attempt)
            lines = None if self._tail is None else LastLines(self._tail, self._script_only)
            begin = self._begin(reading, lines)
            end = byte_of(reading.logs(), begin) - begin.skip if located else 0
            skip = begin.skip
            for chunk in reading.chunks(begin, {} if lines is None else lines.held, follow=self._follow):
                end += len(chunk.data)
                data, skip = chunk.data[skip:], max(0, skip - len(chunk.data))
                if data and not (self._script_only and is_runners(chunk)):
                    yield chunk, end, data
        finally:
            requests.close()

    def _begin(self, reading: LogReading, lines: LastLines | None) -> Position:
        begin = Position(reading.first)
        if not self._start and self._since is None and lines is None:
            return begin
        logs = reading.logs()
        if self._start:
            begin = at_byte(logs, self._start)
        if self._since is not None:
            begin = max(begin, at_time(logs, self._since))
        return begin if lines is None else lines.begin(logs, begin)

    def read(self) -> bytes:
        """Return the bytes there are so far (with `follow`: all there will ever be)."""
        return b"".join(self)

    def text(self) -> str:
        """Return the log as a person wants it: progress bars collapsed to their last state."""
        return collapsed(self.read().decode(errors="replace"))

    __str__ = text

    def __repr__(self) -> str:
        return self.text()


def collapsed(text: str) -> str:
    r"""Return `text` with each line as a terminal shows it in the end: what follows its last ``\r``."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(next((part for part in reversed(line.split("\r")) if part), "") for line in lines)


def without_ansi(text: str) -> str:
    """Return `text` without colours and cursor movements."""
    return _ANSI.sub("", text)
