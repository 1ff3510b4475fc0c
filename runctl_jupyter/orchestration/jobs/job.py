"""A job as a handle: reads its state from the record, follows its log, ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.errors import InvalidRequest, RunctlError, StorageUnavailable
from runctl_jupyter.orchestration.instances.wish import machine_asked
from runctl_jupyter.orchestration.jobs.document import job_document
from runctl_jupyter.orchestration.jobs.judge import judge
from runctl_jupyter.orchestration.jobs.log import Log
from runctl_jupyter.orchestration.jobs.seen_job import SeenJob
from runctl_jupyter.orchestration.storage.storage import storage_errors
from runctl_jupyter.orchestration.waiting import is_passing, persist, wait_until
from runctl_jupyter.run_record import (
    Cause,
    EndRequest,
    JobState,
    MachineAsked,
    NotFound,
    PreconditionFailed,
    now,
    to_iso,
)
from runctl_jupyter.run_record.layout import AttemptKeys

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.checkpoints.catalogue import Checkpoints
    from runctl_jupyter.orchestration.errors import RemoteError
    from runctl_jupyter.orchestration.jobs.log_page import LogPage
    from runctl_jupyter.orchestration.jobs.measures import JobMeasures
    from runctl_jupyter.orchestration.jobs.record import JobRecord, Seen
    from runctl_jupyter.orchestration.listing import Listing
    from runctl_jupyter.orchestration.model import Checkpoint
    from runctl_jupyter.orchestration.targets.base import Target
    from runctl_jupyter.orchestration.variables.unpack import Results


_SAVE_S = 150.0
"""Uploads of a job that was told to end, and the word that it has."""

Resume = Callable[["Job", "str | None", "str | None", MachineAsked], "Job"]
"""Starts a job's next attempt: from which checkpoint, on which instance, on what kind; see `Jobs.resume`."""


class Job(SeenJob):
    """A job, found again from anywhere: everything it says is read from the record.

    Parameters
    ----------
    launching
        Completed when the launch was handed over, in the process that launches; None elsewhere.
    """

    def __init__(
        self,
        record: JobRecord,
        target: Target,
        catalogue: Checkpoints,
        seen: Seen,
        launching: Future[None] | None = None,
        *,
        resume: Resume | None = None,
    ) -> None:
        super().__init__(seen)
        self.record, self._target, self._catalogue, self._resume = record, target, catalogue, resume
        self.launching = launching

    def refresh(self) -> Job:
        """Read the state anew, and settle it."""
        with storage_errors(), suppress(NotFound):
            # While the launch is under way the spec may not be there yet: then what we know stays true.
            self._seen = self.record.look(self.id, self._seen.spec)
        return self.settle()

    def settle(self) -> Job:
        """Write the end of a job whose runner is silent and whose machine is gone; asks nothing of any other."""
        with storage_errors():
            if judge(self.record, self._target, self._seen):
                self._seen = self.record.look(self.id, self._seen.spec)
        return self

    def launched(self, timeout: float | None = None) -> Job:
        """Wait until the launch is out of this process's hands; from then on it may die.

        Raises
        ------
        RunctlError
            The launch failed; the record says so too.
        """
        if self.launching is not None:
            self.launching.result(timeout)
        return self.refresh()

    def logs(
        self,
        *,
        follow: bool = False,
        tail: int | None = None,
        script_only: bool = False,
        since: datetime | None = None,
        start: int = 0,
        attempt: int | None = None,
        on_trouble: Callable[[str], object] | None = None,
    ) -> Log:
        """Return the log; iterate over its bytes, or take `Log.text`. See `Log` for the parameters."""
        return Log(
            self,
            follow=follow,
            tail=tail,
            script_only=script_only,
            since=since,
            start=start,
            attempt=attempt,
            on_trouble=on_trouble,
        )

    def log_page(self, start: int, limit: int) -> LogPage:
        """Return bytes of the log from `start` on, counted over all attempts, and how much there is of it.

        Parameters
        ----------
        start
            A byte, counted from 0, or from the end if below.
        limit
            The most bytes; of a log that came in small pieces there may be fewer, from `start` on, or up to the
            end when that was asked for.

        Raises
        ------
        StorageUnavailable, CredentialsMissing
            The log cannot be read.
        """
        from runctl_jupyter.orchestration.jobs.log_page import log_page

        return log_page(self, start, limit)

    def measures(self) -> JobMeasures:
        """Return what was measured while it ran: metrics and machine over time, all attempts.

        Raises
        ------
        StorageUnavailable, CredentialsMissing
            The record cannot be read.
        """
        from runctl_jupyter.orchestration.jobs.measures import measures_of

        return measures_of(self)

    def wait(self, timeout: float | None = None) -> Job:
        """Wait for the job's end, whatever it is, also through times in which storage cannot be reached.

        Raises
        ------
        WaitTimedOut
            It has not ended within `timeout` seconds; it goes on.
        """
        return self._until_ended(
            timeout,
            f"Job {self.id} has not ended within {timeout or 0:.0f} s; it goes on.",
            f"Look at it: runctl logs {self.id}, or end it: runctl cancel {self.id}",
            longest_s=1.0,
        )

    async def wait_async(self, timeout: float | None = None) -> Job:
        """`wait`, awaitable: buttons work while a cell awaits."""
        return await asyncio.to_thread(self.wait, timeout)

    def cancel(self, *, wait: bool = True, timeout: float = 150.0) -> Job:
        """Ask for the end: SIGTERM, grace, SIGKILL, last uploads. With `wait`, return when the process is gone.

        While storage cannot be reached it is asked again and again, for `timeout` seconds.

        Raises
        ------
        InvalidRequest
            The job has ended already.
        WaitTimedOut
            The machine has not answered in `timeout` seconds.
        """
        persist(self.refresh, timeout=timeout)
        if self.state.ended:
            raise InvalidRequest(f"Job {self.id} has ended already: {self.state}.", f"See it: runctl show {self.id}")
        persist(lambda: self._ask_for_the_end(EndRequest(to_iso(now()))), timeout=timeout)
        if self.status.claimed_at is None:
            # Nobody runs it yet: end it here, so that a machine that still boots finds it ended.
            if self.record.end(self._seen, JobState.CANCELLED, Cause("user", "cancelled before it began")):
                self._target.withdraw(self.id, self.attempt)
            self.refresh()
        if not wait or self.state.ended:
            return self
        return self._until_ended(
            timeout,
            f"Job {self.id} was told to end, but its machine has not answered within {timeout:.0f} s.",
            f"End the machine: runctl terminate {self.instance_id} --force",
        )

    def interrupt(
        self, message: str, *, keep_machine: bool = False, wait: bool = True, timeout: float | None = None
    ) -> Job:
        """Ask the job to save and to end as ``interrupted``, so that it can go on later.

        Parameters
        ----------
        message
            Why, for the record.
        keep_machine
            Leave the machine on although it was launched for this job.
        wait
            Return when it has ended.
        timeout
            Seconds; by default what the machine takes at most to end the script and to upload.

        Raises
        ------
        WaitTimedOut
            The machine has not answered.
        """
        limit = self.spec.limits.grace_s + _SAVE_S if timeout is None else timeout
        request = EndRequest(to_iso(now()), JobState.INTERRUPTED, message, keep_machine)
        if not wait:
            self._ask_for_the_end(request)
            return self
        persist(lambda: self._ask_for_the_end(request), timeout=limit)
        return self._until_ended(
            limit,
            f"Job {self.id} was told to save and to end, but has not done so within {limit:.0f} s.",
            f"Look at it: runctl logs {self.id}",
        )

    def _until_ended(self, timeout: float | None, what: str, to_resolve: str, *, longest_s: float = 0.5) -> Job:
        return wait_until(
            self._look,
            lambda job: job.state.ended,
            timeout=timeout,
            what=what,
            to_resolve=to_resolve,
            longest_s=longest_s,
        )

    def _ask_for_the_end(self, request: EndRequest) -> None:
        with storage_errors(), suppress(PreconditionFailed):
            self.record.store.put(AttemptKeys(self.id, self.attempt).cancel, request.to_json(), create_only=True)

    def _look(self) -> Job:
        """Like `refresh`, but while storage fails what was known stays true: the job goes on, and so who waits."""
        try:
            return self.refresh()
        except StorageUnavailable as error:
            if not is_passing(error):
                raise
            return self

    async def cancel_async(self, timeout: float = 150.0) -> Job:
        """`cancel`, awaitable."""
        return await asyncio.to_thread(self.cancel, timeout=timeout)

    def resume(
        self,
        *,
        checkpoint: str | None = None,
        on: str | None = None,
        instance_type: str | None = None,
        gpu: str | None = None,
        spot: bool = False,
        fallback: str | None = None,
    ) -> Job:
        """Go on with this ended job; see `Jobs.resume`."""
        if self._resume is None:
            raise TypeError("only a job that came from `Jobs` can be resumed")
        return self._resume(self, checkpoint, on, machine_asked(instance_type, gpu, spot=spot, fallback=fallback))

    def checkpoints(self) -> Listing[Checkpoint]:
        """Return the job's complete checkpoints, the oldest first."""
        return self._catalogue.of_job(self.id)

    def results(self) -> Results:
        """Return the variables the job's cell has brought back (``-o``), as the newest attempt left them.

        Raises
        ------
        StorageUnavailable
            The record cannot be read.
        """
        from runctl_jupyter.orchestration.variables.unpack import results

        return results(self.record.store, AttemptKeys(self.id, self.attempt))

    def remote_error(self) -> RemoteError | None:
        """Return the exception that ended the job's cell, with the cell's own line; None if there was none."""
        from runctl_jupyter.orchestration.variables.unpack import remote_error

        if not self.spec.cell or self.state is not JobState.FAILED:
            return None
        return remote_error(self.record.store, AttemptKeys(self.id, self.attempt), self.spec)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON keys of the contract."""
        return job_document(self)

    def __repr__(self) -> str:
        why = f", {self.cause.message}" if self.cause else ""
        return f"Job {self.name} ({self.id}): {self.state}{why}"


def launch_failure(error: BaseException) -> Cause:
    """Return the cause to record for a launch that did not happen."""
    return Cause("launch", error.what if isinstance(error, RunctlError) else f"{type(error).__name__}: {error}")
