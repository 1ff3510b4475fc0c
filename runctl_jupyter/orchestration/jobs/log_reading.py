"""One reading of a log: from a position to its end, attempt after attempt, waiting for what is still to come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import InvalidRequest, PermissionDenied, RunctlError
from runctl_jupyter.orchestration.jobs.log_chunks import AttemptLog, ChunkReader
from runctl_jupyter.run_record import AttemptKeys, NotFound, StoreError

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.job import Job
    from runctl_jupyter.orchestration.jobs.log_position import Position
    from runctl_jupyter.orchestration.jobs.log_requests import Begun, LogRequests
    from runctl_jupyter.run_record import Status, StoredObject

_QUICK_S, _EAGER_S, _IDLE_S = 0.05, 2.0, 1.0
"""Time between two looks for the next chunk: quick for the first seconds of a silence, then ever longer."""
_STATE_S = 0.5
"""Time between two looks at the job's state, in a silence."""


class LogReading:
    """Reads the log of a job, or of one of its attempts.

    Raises
    ------
    InvalidRequest
        There is no such attempt.
    """

    def __init__(self, job: Job, requests: LogRequests, attempt: int | None) -> None:
        self._job, self._requests, self._only = job, requests, attempt
        self._newest, self._known = job.attempt, _chunks_known(*job.earlier, job.status)
        self.ended = False
        """Whether the job had ended before anything of the log was looked at: then it holds all there will be."""
        # While the launch is under way the record may not have the attempt yet.
        with suppress(NotFound):
            seen = requests.ask(partial(job.record.look, job.id, job.spec), of_log=False)
            self._newest, self._known = seen.attempt, _chunks_known(*seen.earlier, seen.status)
            self.ended = seen.status.state.ended
        if attempt is not None and not 1 <= attempt <= self._newest:
            raise InvalidRequest(
                f"Job {job.id} has no attempt {attempt}.",
                f"It has {self._newest}: leave the attempt out to read them all.",
            )
        self._logs: dict[int, AttemptLog] = {}
        self._asked: Begun[Job] | None = None
        self._silent_since = self._asked_at = time.monotonic()
        self._pause = _QUICK_S

    @property
    def first(self) -> int:
        """The attempt to begin with."""
        return self._only or 1

    def logs(self) -> dict[int, AttemptLog]:
        """Return the logs of the attempts there are, in order."""
        return {number: self._log_of(number) for number in range(self.first, (self._only or self._newest) + 1)}

    def chunks(
        self, begin: Position, held: dict[tuple[int, int], StoredObject], *, follow: bool
    ) -> Iterator[StoredObject]:
        """Yield the chunks from `begin` on.

        Parameters
        ----------
        held
            Chunks that have been read already, by attempt and number; taken out as they are used.
        follow
            Go on until the job has ended.
        """
        number, seq = begin.attempt, begin.seq
        while True:
            at_hand = {s: held.pop((n, s)) for n, s in list(held) if n == number}
            reader = ChunkReader(self._log_of(number), seq, at_hand)
            over = not follow
            while True:
                chunk = reader.next()
                if chunk is not None:
                    yield chunk
                    self._silent_since = self._asked_at = time.monotonic()
                    self._pause = _QUICK_S
                elif over:
                    break
                else:
                    # The end is written after the last chunk: once it is known, one more look is certain.
                    over = self._await_next_look(number)
            if self._only is not None or number >= self._newest:
                return
            number, seq = number + 1, 0

    def _await_next_look(self, number: int) -> bool:
        """Wait until the next chunk may be there; return whether the attempt is known to have ended."""
        if number < self._newest:
            return True
        job, moment = self._job, time.monotonic()
        if moment - self._silent_since > _EAGER_S:
            self._pause = min(self._pause * 1.3, _IDLE_S)
        if self._asked is None and (job.state.ended or moment - self._asked_at >= _STATE_S):
            self._asked, self._asked_at = self._requests.begin(job.refresh), moment
        if self._asked is None:
            time.sleep(self._pause)
            return False
        # The state is asked beside the looks: a line that comes meanwhile does not wait for the answer.
        if not wait([self._asked.future], self._pause).done:
            return False
        asked, self._asked = self._asked, None
        try:
            asked.future.result()
        except PermissionDenied:
            raise
        except (RunctlError, StoreError, OSError):
            # The next look at the log meets the same trouble, and says so.
            time.sleep(self._pause)
            return False
        if job.attempt > self._newest:
            self._newest, self._known = job.attempt, _chunks_known(*job.earlier, job.status)
        return number < self._newest or job.state.ended

    def _log_of(self, number: int) -> AttemptLog:
        if number not in self._logs:
            keys = AttemptKeys(self._job.id, number)
            self._logs[number] = AttemptLog(self._job.record.store, keys, self._requests, self._known.get(number, 0))
        return self._logs[number]


def _chunks_known(*attempts: Status) -> dict[int, int]:
    return {status.attempt: status.log_chunks for status in attempts}
