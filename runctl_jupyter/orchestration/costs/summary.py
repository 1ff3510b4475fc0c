"""What runs now costs, and what the last days have cost: an estimate at list prices, never billing data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.costs.cost import Cost, total
from runctl_jupyter.orchestration.costs.spans import Span, job_spans, machine_span, once
from runctl_jupyter.run_record.documents import to_plain

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.job import Job
    from runctl_jupyter.orchestration.model import Instance

_WEEK = timedelta(days=7)
_DEAREST = 10


@dataclass(frozen=True)
class JobCost:
    """What a job has cost in the last seven days."""

    id: str
    name: str
    cost_usd: float
    ended: bool


@dataclass(frozen=True)
class Costs:
    """USD, at list prices."""

    price_per_hour: float | None
    """Of all running instances; None when one's price is unknown."""
    running_usd: float | None
    """What they have cost since their last start; None when one's price is unknown."""
    today_usd: float
    """Since midnight UTC."""
    week_usd: float
    """Of the last seven days."""
    jobs: Sequence[JobCost]
    """The dearest of the week."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready keys and values."""
        plain: dict[str, Any] = to_plain(self)
        return plain


def costs_of(jobs: Iterable[Job], instances: Sequence[Instance], now: datetime) -> Costs:
    """Return what `jobs` and `instances` cost; asks nobody.

    A running instance is counted from its last start, whoever has used it; a job where its machine is no more, or
    does not say what it costs. Time in which several jobs shared a machine is counted once.
    """
    week, today = now - _WEEK, now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    jobs = list(jobs)
    of_jobs = {job.id: list(job_spans(job, now)) for job in jobs}
    running = [each for each in instances if each.runs]
    machines = [span for each in running if (span := machine_span(each, now)) is not None]
    paid = list(once([span for spans in of_jobs.values() for span in spans], machines))
    paid += [span for each in instances if (span := _disk_span(each, now)) is not None]
    rows = [
        JobCost(job.id, job.name, round(cost, 6), job.state.ended)
        for job in jobs
        if (cost := _usd(of_jobs[job.id], week, now)) > 0
    ]
    rows.sort(key=lambda row: row.cost_usd, reverse=True)
    return Costs(
        price_per_hour=_sum(each.price_per_hour for each in running),
        running_usd=_sum(each.cost_usd for each in running),
        today_usd=round(_usd(paid, today, now), 6),
        week_usd=round(_usd(paid, week, now), 6),
        jobs=rows[:_DEAREST],
    )


def _disk_span(instance: Instance, now: datetime) -> Span | None:
    """Return what the disks of an instance cost since its last start, also if it is stopped."""
    usd = Cost.from_dict(instance.cost_parts).usd.get("disk")
    return None if usd is None else Span(instance.launched_at, now, Cost.of(disk=usd), instance.id)


def _usd(spans: Iterable[Span], begin: datetime, end: datetime) -> float:
    """Return what is known of the cost of `spans` between two moments."""
    return total(span.between(begin, end) for span in spans).total_usd or 0.0


def _sum(amounts: Iterable[float | None]) -> float | None:
    known: list[float] = []
    for amount in amounts:
        if amount is None:
            return None
        known.append(amount)
    return round(sum(known), 6)
