"""What runs now costs, and the last days: each machine's time once, each day its part."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration.costs.prices import known_types, type_facts
from runctl_jupyter.orchestration.costs.summary import costs_of
from runctl_jupyter.orchestration.instances.document import instance_documents
from runctl_jupyter.orchestration.jobs.job import Job
from runctl_jupyter.orchestration.model import Instance
from runctl_jupyter.run_record import AttemptKeys, AttemptPlan, GpuSample, JobState, MachineSample, Status, to_iso
from tests.unit.orchestration.records import Records

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Week:
    """Jobs of a week, at a dollar an hour."""

    def __init__(self, tmp_path: Path) -> None:
        self.records = Records(tmp_path)

    def job(
        self,
        job_id: str,
        began_h: float,
        ended_h: float | None,
        on: str | None = None,
        price: float | None = 1.0,
        **facts: Any,
    ) -> Job:
        """Write a job; hours are counted back from now."""
        self.records.spec(job_id, price_per_hour=price)
        return self.attempt(job_id, 1, began_h, ended_h, on, price, **facts)

    def attempt(
        self,
        job_id: str,
        number: int,
        began_h: float,
        ended_h: float | None,
        on: str | None = None,
        price: float | None = 1.0,
        **facts: Any,
    ) -> Job:
        if number > 1:
            plan = AttemptPlan(number, to_iso(NOW - began_h * HOUR), price_per_hour=price)
            self.records.record.write_plan(job_id, plan)
        status = Status(
            job_id,
            number,
            JobState.RUNNING if ended_h is None else JobState.SUCCEEDED,
            to_iso(NOW),
            claimed_at=to_iso(NOW - began_h * HOUR),
            ended_at=None if ended_h is None else to_iso(NOW - ended_h * HOUR),
            cost_usd=None if ended_h is None or price is None else price * (began_h - ended_h),
            instance_id=on,
            **facts,
        )
        self.records.put(AttemptKeys(job_id, number).status, status)
        return self.records.job(job_id)


@pytest.fixture
def week(tmp_path: Path) -> Week:
    return Week(tmp_path)


def machine(instance_id: str, launched_h: float, price: float | None = 1.0, state: str = "running") -> Instance:
    cost = price * launched_h if price is not None and state in ("pending", "running") else None
    launched = NOW - launched_h * HOUR
    return Instance(
        instance_id, "dev", state, "m5.large", False, "us-east-1a", launched, price, cost, {"a": "b"}, "10.0.0.1"
    )


def test_nothing_costs_nothing() -> None:
    assert costs_of([], [], NOW).to_dict() == {
        "price_per_hour": 0,
        "running_usd": 0,
        "today_usd": 0,
        "week_usd": 0,
        "jobs": [],
    }


def test_a_day_has_its_part_of_a_job(week: Week) -> None:
    # Noon now: 15 hours ago was yesterday at nine in the evening.
    jobs = [week.job("a", 15, 6, "i-gone"), week.job("b", 24 * 8, 24 * 6.5, "i-old"), week.job("c", 999, 998, "i-x")]
    costs = costs_of(jobs, [], NOW)
    assert costs.today_usd == pytest.approx(6)
    assert costs.week_usd == pytest.approx(9 + 12)
    assert [(each.id, each.cost_usd) for each in costs.jobs] == [("b", 12.0), ("a", 9.0)]


def test_a_machine_counts_from_its_start_whoever_used_it(week: Week) -> None:
    jobs = [
        week.job("a", 5, 4, "i-1"),
        week.job("b", 5, 4, "i-1"),  # at the same time on the same machine
        week.job("before", 9, 8, "i-1"),  # before it was stopped and started again
        week.job("gone", 3, 1, "i-2"),
    ]
    costs = costs_of(jobs, [machine("i-1", 6), machine("i-3", 2), machine("i-4", 7, state="stopped")], NOW)
    assert costs.today_usd == costs.week_usd == pytest.approx(6 + 2 + 1 + 2)
    assert (costs.price_per_hour, costs.running_usd) == (2.0, 8.0)


def test_jobs_that_shared_a_machine_that_is_gone(week: Week) -> None:
    jobs = [week.job("a", 5, 2, "i-1"), week.job("b", 4, 1, "i-1"), week.job("c", 3, 2.5, "i-1")]
    costs = costs_of(jobs, [], NOW)
    assert costs.week_usd == pytest.approx(4)
    assert [each.cost_usd for each in costs.jobs] == [3.0, 3.0, 0.5]


def test_what_is_unknown_is_not_nothing(week: Week) -> None:
    spot = machine("i-spot", 2, price=None)
    jobs = [week.job("a", 2, 1, "i-spot"), week.job("free", 2, 1, None, price=None)]
    costs = costs_of(jobs, [spot, machine("i-1", 1)], NOW)
    assert (costs.price_per_hour, costs.running_usd) == (None, None)
    assert costs.week_usd == pytest.approx(1 + 1), "what the job on it says is known"
    assert [each.id for each in costs.jobs] == ["a"]


def test_a_job_that_goes_on_and_its_attempts(week: Week) -> None:
    week.job("a", 10, 9, "i-1")
    job = week.attempt("a", 2, 2, None, "i-2")
    costs = costs_of([job], [machine("i-2", 2)], NOW)
    assert costs.week_usd == pytest.approx(1 + 2)
    assert [(each.cost_usd, each.ended) for each in costs.jobs] == [(3.0, False)]


def test_the_ten_dearest(week: Week) -> None:
    jobs = [week.job(f"j{n}", 5, 5 - 0.1 * (n + 1), f"i-{n}") for n in range(12)]
    assert [each.id for each in costs_of(jobs, [], NOW).jobs] == [f"j{n}" for n in range(11, 1, -1)]


def test_every_type_says_what_it_is() -> None:
    facts = type_facts("m5.large")
    assert facts is not None
    assert (facts.vcpus, facts.memory_gib, facts.accelerator_count) == (2, 8.0, 0)
    assert all((known := type_facts(name)) and known.vcpus and known.memory_gib for name in known_types())


def test_instances_with_what_runs_on_them(week: Week) -> None:
    def sample(minute: int, *percents: float) -> MachineSample:
        return MachineSample(f"2026-11-24T11:{minute}:00.000Z", gpus=[GpuSample(each, 1, 2) for each in percents])

    jobs = [
        week.job("a", 2, None, "i-1", machine=sample(50, 10, 20)),
        week.job("b", 1, None, "i-1", machine=sample(59, 90, 95)),
        week.job("ended", 5, 4, "i-1", machine=sample(10, 1)),
        week.job("elsewhere", 5, None, "i-9"),
    ]
    first, second = instance_documents([machine("i-1", 6), machine("i-2", 1)], jobs)
    assert first["jobs"] == [{"id": "a", "name": "digits"}, {"id": "b", "name": "digits"}]
    assert (first["gpu_percent"], second["gpu_percent"], second["jobs"]) == (92.5, None, [])
    contract = Path(__file__).parents[3] / "labextension/src/api/documents.ts"
    body = contract.read_text().split("export interface InstanceDocument {")[1].split("\n}")[0]
    keys = [line.split(":")[0].strip().rstrip("?") for line in body.splitlines() if ":" in line and "/**" not in line]
    assert sorted(first) == sorted(keys)
