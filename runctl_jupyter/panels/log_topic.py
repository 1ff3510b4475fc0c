"""A job's log as it grows: one reader for all who look on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from runctl_jupyter.orchestration.jobs.log import Log
from runctl_jupyter.panels.followed import Event, Followed, Topic
from runctl_jupyter.panels.job_topics import job_of
from runctl_jupyter.panels.log_texts import LogTexts, Piece
from runctl_jupyter.panels.troubles import Upset

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Job
    from runctl_jupyter.orchestration.jobs.log import LogPiece

WINDOW_BYTES = 256 << 10
"""Of the log's end: what somebody is told who begins to look on."""
_LONGEST_PAUSE_S = 15.0


class LogTopic(Topic):
    """The live end of a log.

    The job's state is what the card has read: following a log costs nothing but its chunks.
    """

    needs = ("card",)

    def __init__(self) -> None:
        super().__init__()
        self._window: deque[Piece] = deque()
        self._window_bytes = 0
        self._texts = LogTexts(from_anywhere=True)
        self._size = 0
        self._ended = False
        self._begun = False
        self._read_to: Any = None
        """State of the job up to which everything was read."""

    def run(self, followed: Followed) -> None:
        """Read what there is and what comes, while somebody listens; after the end, wait for a next attempt."""

        def read() -> None:
            job = job_of(self)
            if job is not None and (not self._ended or job.status != self._read_to):
                # Whoever has left is told nothing, and the next wait is over at once.
                with suppress(_Left):
                    self._read(job, followed)
                    followed.tell(None)

        followed.repeat(read, _LONGEST_PAUSE_S)

    def first(self) -> list[Event]:
        """Return the end of the log."""
        return [self._event(self._window)] if self._begun else []

    def _read(self, job: Job, followed: Followed) -> None:
        # A read that begins anew goes on where the last one was.
        start = self._size if self._begun else -WINDOW_BYTES
        watched = cast("Job", _Watched(job, followed))
        for piece in Log(watched, follow=True, start=start, on_trouble=_give_up).pieces():
            followed.publish(partial(self._add, piece))
            followed.tell(None)
            if not followed.listened:
                return
        followed.publish(partial(self._end, job.state.ended))
        self._read_to = job.status

    def _add(self, piece: LogPiece) -> list[Event]:
        self._begun, self._ended, self._size = True, False, max(self._size, piece.end)
        pieces = list(self._texts.feed(piece))
        self._keep(pieces)
        return [self._event(pieces)] if pieces else []

    def _end(self, ended: bool) -> list[Event]:
        pieces = list(self._texts.end())
        self._keep(pieces)
        self._begun, self._ended = True, ended
        return [self._event(pieces)]

    def _keep(self, pieces: list[Piece]) -> None:
        self._window.extend(pieces)
        self._window_bytes += sum(piece["end"] - piece["start"] for piece in pieces)
        while self._window_bytes > WINDOW_BYTES:
            first = self._window.popleft()
            self._window_bytes -= first["end"] - first["start"]

    def _event(self, pieces: Iterable[Piece]) -> Event:
        return {"pieces": list(pieces), "size": self._size, "ended": self._ended}


class _Left(Exception):
    """Nobody listens any more: the way out of a read that waits for a silent job."""


class _Watched:
    """A job whose state is read by its card; asked to read it again, it says what the card knows."""

    def __init__(self, job: Job, followed: Followed) -> None:
        self._job, self._followed = job, followed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)

    def refresh(self) -> Job:
        """Return the job.

        Raises
        ------
        _Left
            Nobody listens.
        """
        if not self._followed.listened:
            raise _Left
        # Asked between two looks at the log: the first one was answered.
        self._followed.tell(None)
        return self._job


def _give_up(sentence: str) -> None:
    """Leave a read that has met trouble: the next one asks an engine that may know a way round it.

    Raises
    ------
    Upset
        With what the reader says.
    """
    what, _, goes_on = sentence.rpartition("; ")
    raise Upset(
        {
            "error": "log-unreadable",
            "what": f"{what.rstrip('.')}.",
            "to_resolve": f"{goes_on[:1].upper()}{goes_on[1:]}",
        }
    )
