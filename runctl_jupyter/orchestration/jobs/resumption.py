"""Which checkpoint a job goes on from, as a person says it: a job, a checkpoint's name, an address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.storage.storage import storage_errors
from runctl_jupyter.orchestration.storage.uris import S3Uri
from runctl_jupyter.run_record import JobKeys, ResumeFrom
from runctl_jupyter.run_record.layout import checkpoint_in

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.checkpoints.catalogue import Checkpoints
    from runctl_jupyter.orchestration.jobs.record import JobRecord


def resume_point(said: str, record: JobRecord, catalogue: Checkpoints, own: str | None = None) -> ResumeFrom | None:
    """Return what `said` means; None for ``latest`` and ``none``, which the machine itself looks up.

    Parameters
    ----------
    said
        ``latest``, ``none``, a job, an ``s3://`` address, or, with `own`, the name of a checkpoint of that job.

    Raises
    ------
    InvalidRequest, JobNotFound
        There is no such checkpoint.
    """
    if said in ("latest", "none"):
        return None
    known = checkpoint_in(said) if said.startswith((f"{record.store.uri}/", "jobs/")) else None
    if known is not None:
        # One of ours: then its manifest says what its bytes must be.
        return _recorded(said, *known, record)
    if "://" in said:
        S3Uri.parse(said)
        if not record.store.uri.startswith("s3://"):
            raise InvalidRequest(
                f"Target local has no S3, so its jobs cannot go on from {said}.",
                "Name a job of this computer, or choose a target: runctl use sandbox",
            )
        return ResumeFrom(uri=said)
    saved = list(catalogue.of_job(own or catalogue.find_job(said)))
    fitting = [each for each in saved if each.name == said] if own else saved
    if not fitting:
        lacks = f"Job {own} has no checkpoint {said!r}." if own else f"Job {said} has no complete checkpoint."
        raise InvalidRequest(lacks, f"See what there is: runctl checkpoints list {own or said}")
    if own is None:
        return ResumeFrom(job_id=fitting[-1].job_id)  # its newest, or an older one if that is damaged
    newest = next((each for each in fitting if each.latest), fitting[-1])
    return ResumeFrom(newest.job_id, newest.attempt, newest.seq)


def _recorded(said: str, job_id: str, attempt: int, seq: int, record: JobRecord) -> ResumeFrom:
    with storage_errors():
        if not record.store.exists(JobKeys(job_id).checkpoint_manifest(attempt, seq)):
            raise InvalidRequest(
                f"There is no complete checkpoint at {said}.", f"See what there is: runctl checkpoints list {job_id}"
            )
    return ResumeFrom(job_id, attempt, seq)
