"""A job as a document: what every door and every view is told of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from runctl_jupyter.run_record import PhaseMark, Status, from_iso, to_iso
from runctl_jupyter.run_record.documents import to_plain

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.seen_job import SeenJob
    from runctl_jupyter.run_record import Cause


def job_document(job: SeenJob) -> dict[str, Any]:
    """Return the JSON keys of the contract; asks nobody."""
    spec, status = job.spec, job.status
    return {
        "id": job.id,
        "name": job.name,
        "state": job.state.value,
        "phase": job.phase,
        "attempt": job.attempt,
        "exit_code": job.exit_code,
        "cause": _cause(job.cause),
        "instance_id": job.instance_id,
        "instance_type": job.instance_type,
        "spot": spec.spot,
        "target": spec.target,
        "region": spec.region,
        "owner": spec.owner,
        "price_per_hour": job.price_per_hour,
        "price_source": spec.price_source,
        "cost_usd": job.cost_usd,
        "cost_parts": job.cost_parts.to_dict(),
        "max_cost_usd": spec.limits.max_cost_usd,
        "ends_at": _ends_at(job),
        "created_at": spec.created_at,
        "started_at": status.started_at,
        "ended_at": status.ended_at,
        "updated_at": status.updated_at,
        "log_bytes": job.log_bytes,
        "checkpoint_count": job.checkpoint_count,
        "output_count": status.output_count,
        "output_bytes": status.output_bytes,
        "script": spec.script,
        "arguments": spec.arguments,
        "phases": _phases(job),
        "progress": to_plain(status.progress),
        "metrics": status.metrics,
        "machine": to_plain(status.machine),
        "earlier": [_attempt(each) for each in job.earlier],
    }


def _cause(cause: Cause | None) -> dict[str, Any] | None:
    return None if cause is None else {"kind": cause.kind, "message": cause.message, "signal": cause.signal}


def _attempt(status: Status) -> dict[str, Any]:
    return {
        "number": status.attempt,
        "state": status.state.value,
        "started_at": status.started_at,
        "ended_at": status.ended_at,
        "cause": _cause(status.cause),
    }


def _ends_at(job: SeenJob) -> str | None:
    """Return when a limit of time ends the attempt at the latest; None without one."""
    limits, status = job.spec.limits, job.status
    # The runner counts from its claim; before that the moment it was asked for is the best that is known.
    begun = status.claimed_at or to_iso(job.queued_at)
    ends = [
        from_iso(since) + timedelta(seconds=seconds)
        for since, seconds in ((begun, limits.ttl_s), (status.started_at, limits.timeout_s))
        if since is not None and seconds is not None
    ]
    return to_iso(min(ends)) if ends else None


def _phases(job: SeenJob) -> list[dict[str, Any]]:
    marks = job.status.phases or _before_the_claim(job)
    if not marks:
        return []
    ends = [*(mark.began_at for mark in marks[1:]), job.status.ended_at]
    return [
        {"name": mark.name, "began_at": mark.began_at, "ended_at": end, "detail": mark.detail}
        for mark, end in zip(marks, ends, strict=True)
    ]


def _before_the_claim(job: SeenJob) -> list[PhaseMark]:
    """Return the phases that no runner has written yet: a machine is found and boots, or the code is sent to one."""
    spec, status = job.spec, job.status
    if status.claimed_at is not None:
        return []
    begun = to_iso(job.queued_at)
    if spec.instance_id is not None or spec.target == "local":
        return [PhaseMark("code", begun)]
    capacity = PhaseMark("capacity", begun)
    # The machine's id is written the moment it exists, and from then on only an end is.
    boots = status.instance_id is not None and status.ended_at is None
    return [capacity, PhaseMark("boot", status.updated_at)] if boots else [capacity]
