"""Which checkpoints a job needs that has not ended: its own, what it goes on from, what it reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runctl_jupyter.run_record import JobKeys, ResumeFrom

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.checkpoints.shelf import Shelved
    from runctl_jupyter.orchestration.jobs.record import JobRecord, Seen


class Busy:
    """What the jobs of some records need at this moment.

    Parameters
    ----------
    records
        Their jobs are asked for their states.
    """

    def __init__(self, records: Sequence[JobRecord]) -> None:
        self._places: list[tuple[str, str]] = []
        self._whole_jobs: list[tuple[str, str]] = []
        for record in records:
            for job_id, seen in _states(record).items():
                self._note(record, job_id, seen)

    def reason(self, shelved: Shelved) -> str:
        """Return why a checkpoint is needed; empty when it is not."""
        at = shelved.checkpoint.uri
        for chain, why in self._whole_jobs:
            if shelved.chain == chain:
                return why
        for place, why in self._places:
            if _meet(at, place):
                return why
        return ""

    def _note(self, record: JobRecord, job_id: str, seen: Seen | None) -> None:
        store, keys = record.store, JobKeys(job_id)
        if seen is not None and seen.status.state.ended:
            return
        state = "cannot be read" if seen is None else f"is {seen.status.state}"
        self._whole_jobs.append((store.uri_of(keys.prefix), f"its job {state}"))
        if seen is None:
            return
        self._places.append((seen.spec.output_uri or store.uri_of(keys.outputs_prefix), f"job {job_id} {state}"))
        if seen.spec.data_uri is not None:
            self._places.append((seen.spec.data_uri, f"job {job_id} has it as data"))
        if seen.spec.resume_from is not None:
            why = f"job {job_id} goes on from it"
            self._places += [(place, why) for place in _starts(record, seen.spec.resume_from)]


def _states(record: JobRecord) -> dict[str, Seen | None]:
    """Return the states of a record's jobs; None for one that cannot be read: it may well be running."""
    ids = record.ids()
    try:
        known = {seen.spec.id: seen for seen in record.look_at_all(ids)}
    except ValueError:
        known = {job_id: seen for job_id in ids if (seen := _seen(record, job_id)) is not None}
    return {job_id: known.get(job_id) for job_id in ids}


def _seen(record: JobRecord, job_id: str) -> Seen | None:
    try:
        return record.try_look(job_id)
    except ValueError:
        return None


def _starts(record: JobRecord, start: ResumeFrom) -> list[str]:
    """Return where what a job goes on from lies; without a number it is looked for among all of that job."""
    if start.uri is not None:
        return [start.uri]
    if start.job_id is None:
        return []
    keys = JobKeys(start.job_id)
    if start.attempt is None or start.seq is None:
        return [record.store.uri_of(keys.checkpoints_prefix)]
    return [record.store.uri_of(keys.checkpoint_data(start.attempt, start.seq))]


def _meet(one: str, other: str) -> bool:
    """Return whether one of two addresses lies in the other, or is it."""
    a, b = f"{one.rstrip('/')}/", f"{other.rstrip('/')}/"
    return a.startswith(b) or b.startswith(a)
