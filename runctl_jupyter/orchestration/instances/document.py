"""Instances as documents of a panel: with the jobs that run on them and how busy they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.job import Job
    from runctl_jupyter.orchestration.model import Instance

_LEFT_OUT = ("tags", "private_ip", "beside_per_hour", "stopped_at", "spot_request_id", "state_reason_code")


def instance_documents(instances: Iterable[Instance], jobs: Iterable[Job]) -> list[dict[str, Any]]:
    """Return what a panel shows of each instance; asks nobody."""
    on: dict[str, list[Job]] = {}
    for job in jobs:
        if job.instance_id is not None and not job.state.ended:
            on.setdefault(job.instance_id, []).append(job)
    return [_document(each, on.get(each.id, [])) for each in instances]


def _document(instance: Instance, jobs: Sequence[Job]) -> dict[str, Any]:
    facts = {key: value for key, value in instance.to_dict().items() if key not in _LEFT_OUT}
    return {**facts, "jobs": [{"id": job.id, "name": job.name} for job in jobs], "gpu_percent": _gpu_percent(jobs)}


def _gpu_percent(jobs: Sequence[Job]) -> float | None:
    """Return how busy the GPUs are, as the newest sample of its jobs says."""
    samples = [job.status.machine for job in jobs if job.status.machine is not None]
    newest = max(samples, key=lambda sample: sample.time, default=None)
    return round(fmean(gpu.percent for gpu in newest.gpus), 1) if newest is not None and newest.gpus else None
