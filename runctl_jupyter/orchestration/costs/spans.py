"""Time that was paid for: of jobs, of machines, and each machine's time once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from runctl_jupyter.orchestration.costs.cost import Cost
from runctl_jupyter.orchestration.costs.prices import billed_seconds, cost_between
from runctl_jupyter.run_record import from_iso

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.model import Instance
    from runctl_jupyter.run_record import JobSpec, Status

BESIDE = ("disk", "address")
"""What of a machine is billed by the hour beside the instance."""


@dataclass(frozen=True)
class Span:
    """Time that was paid for, on an instance if one is known, for a job if it was for one."""

    begin: datetime
    end: datetime
    cost: Cost
    instance_id: str | None = None
    job_id: str | None = None

    def between(self, begin: datetime, end: datetime) -> Cost:
        """Return what the part of it between two moments has cost."""
        seconds = (self.end - self.begin).total_seconds()
        if seconds <= 0:
            return self.cost if begin <= self.end <= end else Cost()
        overlap = (min(self.end, end) - max(self.begin, begin)).total_seconds()
        return self.cost.scaled(min(1.0, max(0.0, overlap) / seconds))

    def cut(self, begin: datetime, end: datetime) -> Span:
        """Return the part of it between two moments that lie in it."""
        return replace(self, begin=begin, end=end, cost=self.between(begin, end))


class PaidJob(Protocol):
    """What of a job says what was paid for."""

    @property
    def id(self) -> str:
        """Of the job."""

    @property
    def spec(self) -> JobSpec:
        """As it was asked for."""

    @property
    def status(self) -> Status:
        """Of its newest attempt."""

    @property
    def earlier(self) -> Sequence[Status]:
        """Of the attempts before."""

    @property
    def price_per_hour(self) -> float | None:
        """USD of its machine; None when unknown."""


def job_spans(job: PaidJob, now: datetime) -> Iterator[Span]:
    """Yield the attempts of a job that have cost something: machine, disks and address from its start to the end.

    A machine that was launched for the job counts from the moment in which it began to boot.
    """
    newest = job.status
    for status in (*job.earlier, newest):
        if status.claimed_at is None:
            continue
        begin = from_iso(status.claimed_at)
        # A machine's clock may have been ahead of ours.
        end = max(begin, from_iso(status.ended_at) if status.ended_at else now)
        machine = status.cost_usd if status.state.ended else cost_between(job.price_per_hour, begin, now)
        rate = job.price_per_hour if status is newest else _rate(status, machine, end - begin)
        booted = _boot_began(status)
        if booted is not None and booted < begin:
            begin = booted
            since_boot = cost_between(rate, begin, end)
            machine = None if machine is None or since_boot is None else max(machine, since_boot)
        cost = _cost(job.spec, machine, begin, end)
        if cost is not None:
            yield Span(begin, end, cost, status.instance_id, job.id)


def machine_span(instance: Instance, now: datetime) -> Span | None:
    """Return the last start of an instance, without its disks; None where its price or its end is not known."""
    running = instance.runs
    end = now if running else instance.stopped_at
    parts = Cost.from_dict(instance.cost_parts) if instance.cost_parts else Cost.of(machine=instance.cost_usd)
    if end is None or "machine" not in parts.usd:
        return None
    cost = Cost({name: usd for name, usd in parts.usd.items() if name != "disk"}, parts.unknown - {"disk"})
    return Span(instance.launched_at, end, cost, instance.id)


def once(jobs: Sequence[Span], machines: Sequence[Span]) -> Iterator[Span]:
    """Yield what was paid, each machine's time once.

    A machine that is there is counted from its start, whoever has used it; a job where its machine is no more, or does
    not say what it costs.
    """
    paid_until: dict[str, datetime] = {}
    since = {span.instance_id: span.begin for span in machines if span.instance_id is not None}
    yield from machines
    for span in sorted(jobs, key=lambda span: span.begin):
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
            yield span.cut(begin, end)
            paid_until[span.instance_id] = end


def _cost(spec: JobSpec, machine: float | None, begin: datetime, end: datetime) -> Cost | None:
    """Return what an attempt has cost, None for one that costs nothing that we know of."""
    if machine is None and spec.instance_type is None:
        return None  # this computer
    hours = billed_seconds(begin, end) / 3600
    beside = {name: spec.beside_per_hour.get(name) for name in BESIDE if name in spec.beside_per_hour}
    if spec.instance_type is not None:
        beside.setdefault("disk", None)  # each machine has one
    parts = {name: None if rate is None else rate * hours for name, rate in beside.items()}
    return Cost.of(machine=machine, **parts)


def _rate(status: Status, machine: float | None, claimed: timedelta) -> float | None:
    """Return USD an hour of the machine of an earlier attempt: the next one may have got another, or paid otherwise."""
    if status.got is not None:
        return status.got.price_per_hour
    seconds = claimed.total_seconds()
    return None if machine is None or seconds <= 0 else machine / seconds * 3600


def _boot_began(status: Status) -> datetime | None:
    """Return when the machine that was launched for an attempt began to boot, as EC2 has told it."""
    return next((from_iso(mark.began_at) for mark in status.phases if mark.name == "boot"), None)
