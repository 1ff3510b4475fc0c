"""What runs now costs, and what the last days have cost: an estimate at list prices, never billing data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.costs.prices import cost_between
from runctl_jupyter.run_record import from_iso
from runctl_jupyter.run_record.documents import to_plain

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.job import Job
    from runctl_jupyter.orchestration.model import Instance
    from runctl_jupyter.run_record import Status

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


@dataclass(frozen=True)
class _Span:
    """Time that was paid for, on an instance if one is known."""

    begin: datetime
    end: datetime
    usd: float
    instance_id: str | None

    def between(self, begin: datetime, end: datetime) -> float:
        """Return what the part of it between two moments has cost."""
        seconds = (self.end - self.begin).total_seconds()
        if seconds <= 0:
            return self.usd if begin <= self.end <= end else 0.0
        overlap = (min(self.end, end) - max(self.begin, begin)).total_seconds()
        return self.usd * max(0.0, overlap) / seconds


def costs_of(jobs: Iterable[Job], instances: Sequence[Instance], now: datetime) -> Costs:
    """Return what `jobs` and `instances` cost; asks nobody.

    A running instance is counted from its last start, whoever has used it; a job where its machine is no more, or
    does not say what it costs. Time in which several jobs shared a machine is counted once.
    """
    week, today = now - _WEEK, now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    jobs = list(jobs)
    of_jobs = {job.id: list(_job_spans(job, now)) for job in jobs}
    paid = list(_once([span for spans in of_jobs.values() for span in spans], instances, now))
    running = [each for each in instances if each.state in ("pending", "running")]
    rows = [
        JobCost(job.id, job.name, round(cost, 6), job.state.ended)
        for job in jobs
        if (cost := sum(span.between(week, now) for span in of_jobs[job.id])) > 0
    ]
    rows.sort(key=lambda row: row.cost_usd, reverse=True)
    return Costs(
        price_per_hour=_sum(each.price_per_hour for each in running),
        running_usd=_sum(each.cost_usd for each in running),
        today_usd=round(sum(span.between(today, now) for span in paid), 6),
        week_usd=round(sum(span.between(week, now) for span in paid), 6),
        jobs=rows[:_DEAREST],
    )


def _job_spans(job: Job, now: datetime) -> Iterator[_Span]:
    """Yield the attempts of a job that have cost something that is known."""
    for status in (*job.earlier, job.status):
        if status.claimed_at is None:
            continue
        begin = from_iso(status.claimed_at)
        usd = status.cost_usd
        if not status.state.ended:
            usd = cost_between(job.price_per_hour, begin, now)
        if usd is not None:
            # A machine's clock may have been ahead of ours.
            yield _Span(begin, max(begin, _end_of(status, now)), usd, status.instance_id)


def _end_of(status: Status, now: datetime) -> datetime:
    return from_iso(status.ended_at) if status.ended_at else now


def _once(spans: Sequence[_Span], instances: Sequence[Instance], now: datetime) -> Iterator[_Span]:
    """Yield what was paid, each machine's time once."""
    paid_until: dict[str, datetime] = {}
    since: dict[str, datetime] = {}
    for each in instances:
        if each.cost_usd is not None:
            since[each.id] = each.launched_at
            yield _Span(each.launched_at, now, each.cost_usd, each.id)
    for span in sorted(spans, key=lambda span: span.begin):
        if span.instance_id is None:
            yield span
            continue
        begin, end = span.begin, span.end
        until = paid_until.get(span.instance_id)
        if until is not None:
            begin = max(begin, until)
        if span.instance_id in since:
            end = min(end, since[span.instance_id])
        if end > begin or (end == begin == span.begin):
            yield _Span(begin, end, span.between(begin, end), span.instance_id)
            paid_until[span.instance_id] = end


def _sum(amounts: Iterable[float | None]) -> float | None:
    known: list[float] = []
    for amount in amounts:
        if amount is None:
            return None
        known.append(amount)
    return round(sum(known), 6)
