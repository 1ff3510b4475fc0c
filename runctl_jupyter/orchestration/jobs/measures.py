"""What was measured over a job's life: metrics and machine of all its attempts, and what happened to it meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeVar

from runctl_jupyter.orchestration.model import Value
from runctl_jupyter.orchestration.units import duration_text
from runctl_jupyter.run_record import JobState, MachineColumns, Measures, SeriesColumns, Status, from_iso

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.job import Job

_UNASKED = (JobState.INTERRUPTED, JobState.LOST, JobState.FAILED)
"""Ends that nobody wanted."""
T = TypeVar("T")


@dataclass(frozen=True)
class Mark(Value):
    """Something that happened to the job."""

    time: float
    """Seconds since 1970."""
    step: int | None
    """The last step before it, if known."""
    kind: Literal["interrupted", "resumed"]
    text: str


@dataclass(frozen=True)
class JobMeasures(Value):
    """Metrics and machine over a job's life, one attempt after the other."""

    series: Sequence[SeriesColumns]
    machine: MachineColumns | None
    marks: Sequence[Mark]

    def thinned(self, points: int) -> JobMeasures:
        """Return this with at most `points` points in each series.

        The first, the last, the lowest and the highest of neighbouring points stay: a spike is seen at any scale.
        """
        machine = None if self.machine is None else _thinned_machine(self.machine, points)
        return replace(self, series=[_thinned_series(each, points) for each in self.series], machine=machine)


def measures_of(job: Job) -> JobMeasures:
    """Read what was measured, one object an attempt; see `Job.measures`."""
    record = job.record
    attempts = [*job.earlier, job.status]
    read = [
        (record.ended_measures if each.state.ended else record.read_measures)(job.id, each.attempt) for each in attempts
    ]
    return JobMeasures(_merged_series(read), _merged_machine(read), _marks(attempts, read))


def _merged_series(read: Sequence[Measures]) -> list[SeriesColumns]:
    merged: dict[str, SeriesColumns] = {}
    for measures in read:
        # The same name twice in one attempt, printed and written for TensorBoard: one of them says it all.
        of_attempt = {each.name: each for each in reversed(measures.series)}
        for each in measures.series:
            if of_attempt[each.name] is not each:
                continue
            before = merged.get(each.name)
            merged[each.name] = each if before is None else _joined(before, each)
    return list(merged.values())


def _joined(before: SeriesColumns, after: SeriesColumns) -> SeriesColumns:
    return replace(
        after,
        steps=before.steps + after.steps,
        times=before.times + after.times,
        values=before.values + after.values,
    )


def _merged_machine(read: Sequence[Measures]) -> MachineColumns | None:
    found = [each.machine for each in read if each.machine is not None]
    if not found:
        return None
    return MachineColumns(
        times=_chained(each.times for each in found),
        cpu_percent=_chained(each.cpu_percent for each in found),
        memory_used=_chained(each.memory_used for each in found),
        memory_total=_newest(each.memory_total for each in found),
        gpu_percent=_chained(each.gpu_percent for each in found),
        gpu_memory_used=_chained(each.gpu_memory_used for each in found),
        gpu_memory_total=_newest(each.gpu_memory_total for each in found),
    )


def _chained(lists: Iterable[list[T]]) -> list[T]:
    return [value for each in lists for value in each]


def _newest(values: Iterable[T | None]) -> T | None:
    return next((value for value in reversed(list(values)) if value is not None), None)


def _marks(attempts: Sequence[Status], read: Sequence[Measures]) -> list[Mark]:
    """Return a mark for each attempt that was followed by another."""
    marks = []
    for (ended, following), measures in zip(pairwise(attempts), read, strict=False):
        if ended.ended_at is None:
            continue
        moment = from_iso(ended.ended_at)
        text = ended.cause.message if ended.cause else ended.state.value
        begun = following.started_at or following.claimed_at
        if begun is not None:
            # Two machines' clocks: what began before the other's end began at once.
            pause_s = max(0.0, (from_iso(begun) - moment).total_seconds())
            text = f"{text}, resumed after {duration_text(pause_s)}"
        kind: Literal["interrupted", "resumed"] = "interrupted" if ended.state in _UNASKED else "resumed"
        marks.append(Mark(moment.timestamp(), _last_step(measures), kind, text))
    return marks


def _last_step(measures: Measures) -> int | None:
    steps = (_newest(each.steps) for each in measures.series)
    return max((step for step in steps if step is not None), default=None)


def _thinned_series(series: SeriesColumns, points: int) -> SeriesColumns:
    kept = _kept([series.values], points)
    if kept is None:
        return series
    return replace(
        series,
        steps=[series.steps[i] for i in kept],
        times=[series.times[i] for i in kept],
        values=[series.values[i] for i in kept],
    )


def _thinned_machine(machine: MachineColumns, points: int) -> MachineColumns:
    columns = (machine.cpu_percent, machine.memory_used, machine.gpu_percent, machine.gpu_memory_used)
    kept = _kept(columns, points)
    if kept is None:
        return machine
    return replace(
        machine,
        times=[machine.times[i] for i in kept],
        cpu_percent=[machine.cpu_percent[i] for i in kept],
        memory_used=[machine.memory_used[i] for i in kept],
        gpu_percent=[machine.gpu_percent[i] for i in kept],
        gpu_memory_used=[machine.gpu_memory_used[i] for i in kept],
    )


def _kept(columns: Sequence[Sequence[float | None]], points: int) -> list[int] | None:
    """Return which points to keep of columns that belong together; None for all."""
    count = len(columns[0])
    if count <= points:
        return None
    buckets = max(1, points // (2 + 2 * len(columns)))
    kept: list[int] = []
    for bucket in range(buckets):
        begin, end = bucket * count // buckets, (bucket + 1) * count // buckets
        wanted = {begin, end - 1}
        for column in columns:
            there = [(value, i) for i in range(begin, end) if (value := column[i]) is not None]
            if there:
                wanted.add(min(there)[1])
                wanted.add(max(there)[1])
        kept += sorted(wanted)
    return kept
