"""What it costs to keep and to write the objects of jobs in S3: an estimate from what lies there now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.costs.cost import Cost
from runctl_jupyter.orchestration.costs.rates import HOURS_PER_MONTH, requests_usd
from runctl_jupyter.orchestration.costs.storage_prices import usd_per_month
from runctl_jupyter.run_record import from_iso
from runctl_jupyter.run_record.layout import JOBS_PREFIX

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.job import Job
    from runctl_jupyter.orchestration.storage.listed import ListedObject


@dataclass(frozen=True)
class Kept:
    """An object: its bytes, since when."""

    size: int
    since: datetime


def kept_by_job(objects: Iterable[ListedObject]) -> Mapping[str, Sequence[Kept]]:
    """Return the objects of each job of a record."""
    found: dict[str, list[Kept]] = {}
    for each in objects:
        job_id, slash, _ = each.key.removeprefix(JOBS_PREFIX).partition("/")
        if slash:
            found.setdefault(job_id, []).append(Kept(each.size, each.last_modified))
    return found


def storage_cost(kept: Sequence[Kept], begin: datetime, end: datetime, region: str | None) -> Cost:
    """Return what keeping objects costs between two moments, S3 Standard."""
    byte_hours = sum(
        each.size * (end - max(each.since, begin)).total_seconds() / 3600 for each in kept if each.since < end
    )
    if not byte_hours:
        return Cost()
    month = usd_per_month(1 << 40, region)
    return Cost.of(storage=None if month is None else byte_hours / (1 << 40) * month / HOURS_PER_MONTH)


def requests_cost(job: Job, kept: Sequence[Kept], begin: datetime, end: datetime, region: str | None) -> Cost:
    """Return what a job's requests have cost between two moments: one for each object, and those of its pacing."""
    pacing = job.spec.pacing
    puts, gets = float(sum(begin <= each.since < end for each in kept)), 0.0
    for status in (*job.earlier, job.status):
        if status.claimed_at is None:
            continue
        seconds = (
            min(end, from_iso(status.ended_at) if status.ended_at else end) - max(begin, from_iso(status.claimed_at))
        ).total_seconds()
        puts += max(0.0, seconds) / pacing.heartbeat_s
        gets += max(0.0, seconds) / pacing.control_s
    return Cost.of(requests=requests_usd(puts, gets, region)) if puts or gets else Cost()
