"""Measures of a job: attempts merged, marks between them, and thinning that keeps spikes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_jupyter.orchestration.jobs.measures import JobMeasures
from runctl_jupyter.run_record import (
    AttemptKeys,
    AttemptPlan,
    Cause,
    JobState,
    MachineColumns,
    Measures,
    SeriesColumns,
    StoredObject,
    from_iso,
)
from tests.unit.orchestration.records import Records

ENDED = from_iso("2026-01-02T03:06:00Z").timestamp()


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path)


def series(name: str, *points: tuple[int | None, float, float | None], source: str = "log") -> SeriesColumns:
    steps, times, values = (list(column) for column in zip(*points, strict=True))
    return SeriesColumns(name, source, steps, times, values)


def two_attempts(records: Records, state: JobState = JobState.INTERRUPTED) -> None:
    records.spec("j")
    records.end("j", state=state, cause=Cause("spot", "the spot instance was taken away"))
    first = MachineColumns([1.0], [50.0], [5], 10, [None], [None], None)
    records.put(
        AttemptKeys("j", 1).measures,
        Measures([series("loss", (1, 1.0, 0.9), (7, 2.0, 0.8)), series("acc", (6, 2.0, 0.1))], first),
    )
    records.record.write_plan("j", AttemptPlan(2, "2026-01-02T03:07:00Z"))
    second = MachineColumns([9.0], [60.0], [6], 20, [90.0], [3], 4)
    records.put(
        AttemptKeys("j", 2).measures, Measures([series("loss", (6, 9.0, 0.7)), series("lr", (6, 9.0, 0.1))], second)
    )


def test_nothing_measured_is_nothing(records: Records) -> None:
    records.spec("j")
    assert records.job("j").measures().to_dict() == {"series": [], "machine": None, "marks": []}


def test_attempts_follow_one_another(records: Records) -> None:
    two_attempts(records)
    records.end("j", 2, started_at="2026-01-02T03:07:50Z", ended_at="2026-01-02T03:09:00Z")
    found = records.job("j").measures()
    assert found.to_dict()["series"] == [
        {"name": "loss", "source": "log", "steps": [1, 7, 6], "times": [1.0, 2.0, 9.0], "values": [0.9, 0.8, 0.7]},
        {"name": "acc", "source": "log", "steps": [6], "times": [2.0], "values": [0.1]},
        {"name": "lr", "source": "log", "steps": [6], "times": [9.0], "values": [0.1]},
    ]
    assert found.machine == MachineColumns([1.0, 9.0], [50.0, 60.0], [5, 6], 20, [None, 90.0], [None, 3], 4)
    text = "the spot instance was taken away, resumed after 1 m 50 s"
    assert found.to_dict()["marks"] == [{"time": ENDED, "step": 7, "kind": "interrupted", "text": text}]


def test_a_mark_before_the_resumption_and_one_that_was_wanted(records: Records) -> None:
    two_attempts(records, JobState.CAPPED)
    (mark,) = records.job("j").measures().marks
    assert (mark.kind, mark.text) == ("resumed", "the spot instance was taken away")


def test_one_of_two_sources_of_a_name(records: Records) -> None:
    records.spec("j")
    twice = [series("loss", (1, 1.0, 0.5)), series("loss", (1, 1.0, 0.5), source="tensorboard")]
    records.put(AttemptKeys("j", 1).measures, Measures(twice))
    assert [each.source for each in records.job("j").measures().series] == ["log"]


def test_what_has_ended_is_read_once(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    two_attempts(records)
    asked: list[str] = []
    get = records.store.get

    def counted(key: str) -> StoredObject:
        asked.append(key)
        return get(key)

    monkeypatch.setattr(records.store, "get", counted)
    for _ in range(3):
        records.job("j").measures()
    assert asked.count(AttemptKeys("j", 1).measures) == 1
    assert asked.count(AttemptKeys("j", 2).measures) == 3
    # It lives: what is new is seen.
    records.put(AttemptKeys("j", 2).measures, Measures([series("new", (1, 1.0, 1.0))]))
    assert "new" in [each.name for each in records.job("j").measures().series]


VALUES = st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1, max_size=400)


@given(VALUES, st.integers(4, 100))
def test_thinned(values: list[float | None], points: int) -> None:
    columns = SeriesColumns("loss", "log", list(range(len(values))), [float(i) for i in range(len(values))], values)
    (thin,) = JobMeasures([columns], None, []).thinned(points).series
    assert len(thin.steps) == len(thin.times) == len(thin.values) <= max(points, 4)
    assert [thin.steps[0], thin.steps[-1]] == [0, len(values) - 1]
    assert all(values[step] == value for step, value in zip(thin.steps, thin.values, strict=True) if step is not None)
    assert thin.times == sorted(set(thin.times))
    numbers = [value for value in values if value is not None]
    kept = [value for value in thin.values if value is not None]
    if numbers:
        assert (min(kept), max(kept)) == (min(numbers), max(numbers)), "a spike is lost"
    if len(values) <= points:
        assert thin is columns


def test_the_machines_columns_stay_together() -> None:
    count = 5000
    times = [float(i) for i in range(count)]
    gpu: list[float | None] = [10.0] * count
    gpu[1234] = 100.0
    memory: list[int | None] = [7] * count
    memory[4321] = 1
    machine = MachineColumns(times, [1.0] * count, memory, 10, gpu, [None] * count, None)
    thin = JobMeasures([], machine, []).thinned(100).machine
    assert thin is not None
    assert len(thin.times) <= 100
    for column in (thin.cpu_percent, thin.memory_used, thin.gpu_percent, thin.gpu_memory_used):
        assert len(column) == len(thin.times)
    assert thin.gpu_percent[thin.times.index(1234.0)] == 100.0
    assert thin.memory_used[thin.times.index(4321.0)] == 1
