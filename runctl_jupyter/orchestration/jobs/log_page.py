"""A page of a job's log: some bytes from anywhere, without reading what lies before or after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.jobs.log import LogPiece, piece_of
from runctl_jupyter.orchestration.jobs.log_reading import LogReading
from runctl_jupyter.orchestration.jobs.log_requests import LogRequests

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.job import Job
    from runctl_jupyter.orchestration.jobs.log_position import Logs

_MOST_CHUNKS = 400
"""Of a log that came in small pieces a page holds less than was asked for: each of them is a request."""


@dataclass(frozen=True)
class LogPage:
    """Neighbouring pieces of a log, in order, and how much there is of it."""

    pieces: tuple[LogPiece, ...]
    size: int
    """Bytes of the log now."""
    ended: bool
    """Whether nothing will be added any more."""


def log_page(job: Job, start: int, limit: int) -> LogPage:
    """Return at most `limit` bytes of a log; see `Job.log_page`."""
    if limit < 1:
        raise InvalidRequest(f"A page of {limit} bytes holds nothing.", "Ask for at least one byte.")
    requests = LogRequests(patient=False)
    try:
        reading = LogReading(job, requests, None)
        logs = reading.logs()
        size = sum(log.size() for log in logs.values())
        low = min(start, size) if start >= 0 else max(0, size + start)
        high = min(size, low + limit)
        pieces = _pieces(logs, low, high, from_end=start < 0 and high == size)
        return LogPage(tuple(pieces), size, reading.ended)
    finally:
        requests.close()


def _pieces(logs: Logs, low: int, high: int, *, from_end: bool) -> list[LogPiece]:
    """Return bytes `low` to `high`, or what a page holds of them: the beginning, or the end."""
    parts: list[list[LogPiece]] = []
    left = _MOST_CHUNKS
    for before, number in _spans(logs, from_end=from_end):
        log = logs[number]
        begin, end = max(low, before), min(high, before + log.size())
        if begin >= end:
            continue
        at, begun = log.begin_span(begin - before, end - before, most=left, from_end=from_end)
        at += before
        found = []
        for each in begun:
            chunk = log.answer(each)
            at += len(chunk.data)
            found.append(piece_of(chunk, at, chunk.data))
        parts.append(found)
        left -= len(begun)
        if left == 0:
            break
    return [piece for found in (reversed(parts) if from_end else parts) for piece in found]


def _spans(logs: Logs, *, from_end: bool) -> list[tuple[int, int]]:
    """Return where each attempt's log begins, with its number, in the order in which to read them."""
    spans, before = [], 0
    for number, log in logs.items():
        spans.append((before, number))
        before += log.size()
    return spans[::-1] if from_end else spans
