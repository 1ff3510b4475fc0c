"""The record as the engine reads it: specs, attempts, states. One object for a store, shared by all its jobs."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, TypeVar

from runctl_jupyter.orchestration.costs.prices import cost_between
from runctl_jupyter.orchestration.errors import ObjectMissing
from runctl_jupyter.orchestration.storage.storage import storage_errors
from runctl_jupyter.run_record import (
    AttemptKeys,
    AttemptPlan,
    Cause,
    JobKeys,
    JobSpec,
    JobState,
    Measures,
    NotFound,
    PreconditionFailed,
    Status,
    from_iso,
    now,
    to_iso,
)
from runctl_jupyter.run_record.layout import JOBS_PREFIX, RESUMED_PREFIX

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.storage.store import Store

T = TypeVar("T")
R = TypeVar("R")

_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
"""No 0 o 1 i l: ids are read aloud and typed."""


_BATCH = 64
_MEASURES_KEPT = 64
"""Attempts whose measures are kept in memory; some hundred kB each at most."""


def new_job_id() -> str:
    """Return an id that sorts by time and ends in four characters a person can type."""
    tail = "".join(secrets.choice(_ALPHABET) for _ in range(4))
    return f"{now():%y%m%d-%H%M%S}-{tail}"


@dataclass(frozen=True)
class Seen:
    """A job as read at one moment; `etag` is the status's, None while there is none."""

    spec: JobSpec
    """As its newest attempt runs it."""
    attempt: int
    status: Status
    etag: str | None
    earlier: tuple[Status, ...] = ()
    """Ends of the attempts before."""
    written_at: datetime | None = None
    """When the status was written, by the store's clock: a machine's own may be an hour off."""
    queued_at: str | None = None
    """When the newest attempt was asked for; None for the first, which was with the job."""

    @property
    def silent_s(self) -> float:
        """Seconds since the last heartbeat."""
        return (now() - (self.written_at or from_iso(self.status.updated_at))).total_seconds()


class JobRecord:
    """Reads and writes the record's job documents.

    Parameters
    ----------
    store
        Where the record lies.
    place
        Returns the id of the place that the record is of; see `places`.
    """

    def __init__(self, store: Store, place: Callable[[], str] = lambda: "") -> None:
        self.store, self.place = store, place
        self._ended: dict[tuple[str, int], Status] = {}
        self._ended_jobs: dict[str, Seen] = {}
        self.ended_measures = lru_cache(_MEASURES_KEPT)(self.read_measures)
        """`read_measures` of an attempt that has ended: read once."""

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        """Threads for requests that do not depend on each other."""
        return ThreadPoolExecutor(16, thread_name_prefix="runctl-record")

    def each(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return what `function` makes of each item, in their order, many at the same time.

        A batch at a time: Python waits at its end for all that threads have been given, and of thousands that would
        take minutes.
        """
        batches = (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
        return [made for batch in batches for made in self.pool.map(function, batch)]

    def write_spec(self, spec: JobSpec) -> None:
        """Write what to run; once."""
        with storage_errors():
            self.store.put(JobKeys(spec.id).spec, spec.to_json(), create_only=True)

    def ids(self) -> list[str]:
        """Return all job ids, the newest first: ids begin with the time."""
        with storage_errors():
            names, _ = self.store.children(JOBS_PREFIX)
        return sorted(names, reverse=True)

    def spec(self, job_id: str) -> JobSpec:
        """Return what a job runs; raises `NotFound`."""
        return JobSpec.from_json(self.store.get(JobKeys(job_id).spec).data)

    def look(self, job_id: str, spec: JobSpec | None = None) -> Seen:
        """Return a job's state as the record has it; raises `NotFound` for an unknown job."""
        spec = spec or self.spec(job_id)
        attempt = self._newest_attempt(job_id)
        earlier: tuple[Status, ...] = ()
        queued_at = None
        if attempt > 1:
            plan = self._plan(job_id, attempt)
            spec, queued_at = plan.applied_to(spec), plan.created_at
            earlier = tuple(each for n in range(1, attempt) if (each := self._status(job_id, n)) is not None)
        try:
            stored = self.store.get(AttemptKeys(job_id, attempt).status)
        except NotFound:
            queued = Status(job_id, attempt, JobState.QUEUED, updated_at=queued_at or spec.created_at)
            return Seen(spec, attempt, queued, None, earlier, queued_at=queued_at)
        status = Status.from_json(stored.data)
        if status.got is not None:
            spec = status.got.applied_to(spec)
        seen = Seen(spec, attempt, status, stored.etag, earlier, stored.modified, queued_at)
        if status.state.ended:
            self._ended_jobs[job_id] = seen
        return seen

    def try_look(self, job_id: str) -> Seen | None:
        """Like `look`, but None for what is not (yet) a whole job."""
        try:
            return self.look(job_id)
        except NotFound:
            return None

    def look_at_all(self, job_ids: Sequence[str]) -> list[Seen]:
        """Return the states of those jobs that are there; what has ended is not read again until it is resumed."""
        known = {job_id: seen for job_id in job_ids if (seen := self._ended_jobs.get(job_id)) is not None}
        resumed = self._resumed() if known else {}
        for job_id, number in resumed.items():
            if job_id in known and known[job_id].attempt < number:
                del known[job_id]
        rest = [job_id for job_id in job_ids if job_id not in known]
        looked = dict(zip(rest, self.each(self.try_look, rest), strict=True))
        found = (known.get(job_id) or looked[job_id] for job_id in job_ids)
        return [seen for seen in found if seen is not None]

    def read_measures(self, job_id: str, attempt: int) -> Measures:
        """Return what an attempt has measured so far; nothing where it has not begun to."""
        try:
            with storage_errors():
                return Measures.from_json(self.store.get(AttemptKeys(job_id, attempt).measures).data)
        except ObjectMissing:
            return Measures()

    def update(self, seen: Seen, status: Status) -> bool:
        """Write `status` if nobody has written since `seen`; return whether it was written."""
        key = AttemptKeys(seen.spec.id, seen.attempt).status
        with suppress(PreconditionFailed), storage_errors():
            self.store.put(key, status.to_json(), create_only=seen.etag is None, if_etag=seen.etag)
            return True
        return False

    def end(self, seen: Seen, state: JobState, cause: Cause) -> bool:
        """Write an end from outside, if the job has none and nobody has written since `seen`."""
        if seen.status.state.ended:
            return False
        moment = now()
        begun = seen.status.claimed_at
        cost = (
            cost_between(seen.spec.price_per_hour, from_iso(begun), from_iso(seen.status.updated_at)) if begun else None
        )
        ended = replace(
            seen.status,
            state=state,
            cause=cause,
            phase="",
            ended_at=to_iso(moment),
            updated_at=to_iso(moment),
            cost_usd=cost,
        )
        return self.update(seen, ended)

    def write_plan(self, job_id: str, plan: AttemptPlan) -> bool:
        """Write where a next attempt runs; False when somebody else has made that attempt."""
        with suppress(PreconditionFailed), storage_errors():
            # Before the attempt itself: whoever knows the job as ended must not miss it, whatever happens to us now.
            self.store.put(f"{RESUMED_PREFIX}{job_id}/{plan.number}", b"")
            self.store.put(AttemptKeys(job_id, plan.number).plan, plan.to_json(), create_only=True)
            return True
        return False

    def _resumed(self) -> dict[str, int]:
        """Return the jobs that have ever been resumed, with the number of the newest attempt."""
        newest: dict[str, int] = {}
        for each in self.store.walk(RESUMED_PREFIX):
            job_id, _, number = each.key.removeprefix(RESUMED_PREFIX).partition("/")
            if number.isdigit():
                newest[job_id] = max(newest.get(job_id, 1), int(number))
        return newest

    def _plan(self, job_id: str, attempt: int) -> AttemptPlan:
        return AttemptPlan.from_json(self.store.get(AttemptKeys(job_id, attempt).plan).data)

    def _status(self, job_id: str, attempt: int) -> Status | None:
        """Return how an earlier attempt ended; it will not change any more."""
        known = self._ended.get((job_id, attempt))
        if known is None:
            with suppress(NotFound):
                known = Status.from_json(self.store.get(AttemptKeys(job_id, attempt).status).data)
                self._ended[job_id, attempt] = known
        return known

    def _newest_attempt(self, job_id: str) -> int:
        names, _ = self.store.children(JobKeys(job_id).attempts_prefix)
        return max((int(name) for name in names if name.isdigit()), default=1)
