"""What was spent, by job, cell, notebook, project, instance or day: an estimate at list prices, never billing data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.costs.cost import Cost, total
from runctl_jupyter.orchestration.costs.machine import disks_cost
from runctl_jupyter.orchestration.costs.rates import RATES_SOURCE
from runctl_jupyter.orchestration.costs.report import COLUMNS, WAYS, By, CostReport, CostRow
from runctl_jupyter.orchestration.costs.spans import Span, job_spans, machine_span, once
from runctl_jupyter.orchestration.costs.stored import Kept, requests_cost, storage_cost
from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.listing import Listing

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.costs.rates import Disk
    from runctl_jupyter.orchestration.jobs.job import Job
    from runctl_jupyter.orchestration.model import Instance


ESTIMATE = (
    "An estimate at list prices, without taxes, discounts and data transfer; "
    "the bill is in Cost Explorer, which lags 24 hours."
)
_SHARED = "Jobs that shared a machine show its time each; the total counts it once."
_AT_LEAST = "What is not known is left out of the sums: {parts}."


@dataclass(frozen=True)
class Account:
    """What a report is made of, as read a moment ago."""

    jobs: Sequence[Job]
    instances: Sequence[Instance]
    """Also those that have just ended."""
    disks: Sequence[Disk] | None
    """Volumes of ours; None when they cannot be listed."""
    kept: Mapping[str, Sequence[Kept]]
    """Objects by job."""
    region: str | None


def checked_since(by: str, since: float | timedelta | datetime, until: datetime) -> datetime:
    """Return the moment from which on to sum up.

    Raises
    ------
    InvalidRequest
        There is no such way to sum up, or the time has not begun.
    """
    if by not in WAYS:
        raise InvalidRequest(f"Costs cannot be seen by {by!r}.", f"Choose one: {', '.join(WAYS)}.")
    if isinstance(since, datetime):
        begin = since if since.tzinfo else since.astimezone()
    else:
        begin = until - (since if isinstance(since, timedelta) else timedelta(seconds=since))
    if begin >= until:
        raise InvalidRequest("The time to sum up has not begun yet.", "Say how long ago: --since 7d")
    return begin


class Spending:
    """Adds up what an account has cost in a time; asks nobody."""

    def __init__(self, account: Account, since: datetime, until: datetime) -> None:
        self._account, self._since, self._until = account, since, until
        machines = [span for each in account.instances if (span := machine_span(each, until)) is not None]
        self._machines = {span.instance_id: span for span in machines}
        self._with_disks = {disk.instance_id for disk in account.disks or ()}
        self._spans = {job.id: [self._beside_machine(s) for s in job_spans(job, until)] for job in account.jobs}
        self._on: dict[str | None, list[Span]] = {}
        for spans in self._spans.values():
            for span in spans:
                self._on.setdefault(span.instance_id, []).append(span)
        self._paid = list(once([span for spans in self._spans.values() for span in spans], machines))
        self._unpriced = {
            each.id: each.launched_at
            for each in account.instances
            # Of one that is gone, what its job says is all that there is to know.
            if each.id not in self._machines and (each.runs or each.id not in self._on)
        }
        """Machines that have cost something that nobody can say, and since when."""

    def _beside_machine(self, span: Span) -> Span:
        """Return a job's time without those parts that are told of its machine itself, which is still there."""
        machine = self._machines.get(span.instance_id)
        told = {"disk"} if span.instance_id in self._with_disks else set()
        if machine is not None and span.begin >= machine.begin:
            told |= machine.cost.usd.keys() - {"machine"}
        left = {name: usd for name, usd in span.cost.usd.items() if name not in told}
        return replace(span, cost=Cost(left, span.cost.unknown - told))

    def report(self, by: By) -> CostReport:
        """Return the report by one thing."""
        if by == "day":
            rows = list(filter(_costs, self._days()))
        else:
            told = self._instances() if by == "instance" else self._jobs(by)
            told = chain(told, self._disks(attached=by == "instance"))
            rows = sorted(filter(_costs, told), key=lambda row: row.cost_usd or 0.0, reverse=True)
        everything = self._total(self._since, self._until)
        notes = [ESTIMATE, *self._sources(everything)]
        if by not in ("day", "instance") and (total(row.cost for row in rows).total_usd or 0.0) > (
            (everything.total_usd or 0.0) + 1e-6
        ):
            notes.append(_SHARED)
        if everything.unknown:
            notes.append(_AT_LEAST.format(parts=", ".join(p for p in everything.parts if p in everything.unknown)))
        running = [each for each in self._account.instances if each.runs]
        prices = [each.price_per_hour for each in running]
        known = [price for price in prices if price is not None]
        return CostReport(
            by,
            self._since,
            self._until,
            Listing(rows, COLUMNS, "Nothing has been spent in this time that is known here."),
            everything,
            round(sum(known), 6) if len(known) == len(prices) else None,
            notes,
        )

    def _sources(self, cost: Cost) -> Iterator[str]:
        """Yield where the prices are from that a cost is made of."""
        told = [each.price_source for each in self._account.instances if each.id in self._machines]
        told += [job.spec.price_source or "" for job in self._account.jobs if self._spans[job.id]]
        # Without zone and age, which differ from one to the next.
        machines = list(dict.fromkeys(source.partition(",")[0] for source in told if source))
        if machines:
            yield f"Prices of instances: {', '.join(machines)}."
        if cost.usd.keys() - {"machine"}:
            yield f"Prices of disks, addresses and S3: {RATES_SOURCE}."

    def _total(self, begin: datetime, end: datetime) -> Cost:
        """Return what everything has cost between two moments, each machine's time once."""
        return (
            total(span.between(begin, end) for span in self._paid)
            + self._disks_between(self._account.disks, begin, end)
            + total(self._stored(job, begin, end) for job in self._account.jobs)
            + total(self._unknown(end, each) for each in self._unpriced)
        )

    def _unknown(self, end: datetime, instance_id: str) -> Cost:
        """Return that a machine has cost something until then, if it is one of which nobody can say what."""
        since = self._unpriced.get(instance_id)
        return Cost.of(machine=None) if since is not None and since < end else Cost()

    def _stored(self, job: Job, begin: datetime, end: datetime) -> Cost:
        kept, region = self._account.kept.get(job.id, ()), self._account.region
        return storage_cost(kept, begin, end, region) + requests_cost(job, kept, begin, end, region)

    def _disks_between(self, disks: Sequence[Disk] | None, begin: datetime, end: datetime) -> Cost:
        return Cost.of(disk=None) if disks is None else disks_cost(disks, begin, end, self._account.region)

    def _jobs(self, by: By) -> Iterator[CostRow]:
        """Yield what each job, or group of jobs, has cost, and what of the machines no job has used."""
        groups: dict[str, list[Job]] = {}
        names: dict[str, str] = {}
        for job in self._account.jobs:
            key, name = _group(job, by)
            groups.setdefault(key, []).append(job)
            names.setdefault(key, name)  # the newest job's
        for key, jobs in groups.items():
            live = any(not job.state.ended for job in jobs)
            yield _row(key, names[key], by, total(map(self._of_job, jobs)), jobs=len(jobs), live=live)
        for each in self._account.instances:
            if (span := self._machines.get(each.id)) is not None:
                used = total(_once_between(self._on.get(each.id, ()), span, self._since, self._until))
                rest = _less(span.between(self._since, self._until), used)
                yield _row(each.id, each.name or each.id, "machine", rest, live=each.runs)
            elif each.id in self._unpriced:
                unknown = self._unknown(self._until, each.id)
                yield _row(each.id, each.name or each.id, "machine", unknown, live=each.runs)

    def _of_job(self, job: Job) -> Cost:
        """Return what one job has cost: its time on machines, and what it keeps in S3."""
        machines = total(span.between(self._since, self._until) for span in self._spans[job.id])
        return machines + self._stored(job, self._since, self._until)

    def _instances(self) -> Iterator[CostRow]:
        """Yield what each instance has cost, also those that are gone, and what jobs keep in S3."""
        known = {each.id: each for each in self._account.instances}
        on: dict[str, list[Span]] = {}
        for span in self._paid:
            on.setdefault(span.instance_id or "", []).append(span)
        disks: dict[str, list[Disk]] = {}
        for disk in self._account.disks or ():
            if disk.instance_id is not None:
                disks.setdefault(disk.instance_id, []).append(disk)
        for instance_id in {**on, **disks, **self._unpriced}:
            cost = total(span.between(self._since, self._until) for span in on.get(instance_id, ()))
            cost += self._disks_between(disks.get(instance_id, ()), self._since, self._until)
            cost += self._unknown(self._until, instance_id)
            instance = known.get(instance_id)
            name = (instance.name if instance else "") or instance_id or "no instance"
            live = instance is not None and instance.runs
            users = {span.job_id for span in self._on.get(instance_id or None, ())}
            yield _row(instance_id, name, "instance", cost, jobs=len(users), live=live)
        stored = total(self._stored(job, self._since, self._until) for job in self._account.jobs)
        yield _row(
            "s3", "S3: objects of jobs", "storage", stored, jobs=len(self._account.kept), live=bool(stored.parts)
        )

    def _disks(self, *, attached: bool) -> Iterator[CostRow]:
        """Yield what disks cost that no row of an instance has: each machine's, and those that are left over.

        Parameters
        ----------
        attached
            Whether those that are attached have been told with their instance.
        """
        if self._account.disks is None:
            yield _row("", "disks: they could not be listed", "disk", Cost.of(disk=None), live=True)
            return
        states = {each.id: (each.name or each.id, each.state) for each in self._account.instances}
        for disk in self._account.disks:
            cost = self._disks_between([disk], self._since, self._until)
            if disk.instance_id is None:
                yield _row(disk.id, f"{disk.name or disk.id}: attached to nothing", "disk", cost, live=True)
            elif not attached:
                name, state = states.get(disk.instance_id, (disk.instance_id, ""))
                yield _row(disk.id, f"{name}{f' ({state})' if state else ''}", "disk", cost, live=True)

    def _days(self) -> Iterator[CostRow]:
        """Yield what each day has cost, the last first."""
        end = self._until
        while end > self._since:
            midnight = end.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            if midnight == end:
                midnight -= timedelta(days=1)
            begin = max(midnight, self._since)
            jobs = sum(any(s.begin < end and s.end >= begin for s in spans) for spans in self._spans.values())
            day = f"{begin.astimezone(UTC):%Y-%m-%d}"
            yield _row(day, day, "day", self._total(begin, end), jobs=jobs, live=end == self._until)
            end = begin


def _once_between(jobs: Iterable[Span], machine: Span, begin: datetime, end: datetime) -> Iterator[Cost]:
    """Yield what jobs on a machine have cost between two moments, each moment of it once."""
    until, end = max(machine.begin, begin), min(machine.end, end)
    for span in sorted(jobs, key=lambda span: span.begin):
        since, until_then = max(span.begin, until), min(span.end, end)
        if until_then > since:
            yield span.between(since, until_then)
            until = until_then


def _group(job: Job, by: By) -> tuple[str, str]:
    """Return key and name of the group that a job belongs to."""
    spec = job.spec
    where = spec.notebook or ("a notebook" if spec.cell_id or spec.cell else "no notebook")
    if by == "cell":
        if spec.cell_id is None:
            what = "a cell" if spec.cell else spec.script
            return f"{where}#{what}", f"{where}: {what}"
        return f"{where}#{spec.cell_id}", f"{where}: cell {spec.cell_id[:8]} ({job.name})"
    if by == "notebook":
        return where, where
    if by == "project":
        return spec.project or "", spec.project or "not noted"
    return job.id, job.name


def _row(key: str, name: str, kind: str, cost: Cost, *, jobs: int = 0, live: bool = False) -> CostRow:
    parts = cost.to_dict()
    return CostRow(key, name, kind, jobs, live, parts["total"], parts)


def _less(cost: Cost, other: Cost) -> Cost:
    """Return what is left of a cost, never less than nothing."""
    left = {name: max(0.0, usd - other.usd.get(name, 0.0)) for name, usd in cost.usd.items()}
    return Cost({name: usd for name, usd in left.items() if usd > 1e-9}, cost.unknown)


def _costs(row: CostRow) -> bool:
    """Return whether a row has cost anything, as far as that is known."""
    return bool(row.cost.unknown) or any(row.cost.usd.values())
