"""A job's document: what the views are told, before, during and after a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runctl_jupyter.orchestration.jobs.job import Job
from runctl_jupyter.run_record import (
    AttemptKeys,
    AttemptPlan,
    Cause,
    GpuSample,
    JobState,
    Limits,
    MachineSample,
    PhaseMark,
    Progress,
    Status,
)
from tests.unit.orchestration.records import Records

CREATED = "2026-01-02T03:04:05.000Z"


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path)


def status(records: Records, state: JobState, attempt: int = 1, **facts: object) -> Job:
    facts = {"updated_at": "2026-01-02T03:06:00.000Z", **facts}
    records.put(AttemptKeys("j", attempt).status, Status("j", attempt, state, **facts))  # type: ignore[arg-type]
    return records.job("j")


def test_everything_a_running_job_says(records: Records) -> None:
    limits = Limits(ttl_s=3600, timeout_s=600, max_cost_usd=1.5)
    records.spec("j", instance_type="m5.large", region="us-east-1", spot=True, limits=limits, price_per_hour=0.1)
    phases = [
        PhaseMark("code", "2026-01-02T03:04:10.000Z"),
        PhaseMark("training", "2026-01-02T03:05:00.000Z", "epoch 3"),
    ]
    job = status(
        records,
        JobState.RUNNING,
        claimed_at="2026-01-02T03:04:10.000Z",
        started_at="2026-01-02T03:05:00.000Z",
        phases=phases,
        progress=Progress(610, 1000, 39.0),
        metrics={"loss": 0.25},
        machine=MachineSample("2026-01-02T03:05:59.000Z", 180.0, 5, 10, [GpuSample(97.0, 3, 4)]),
    )
    said = job.to_dict()
    assert said["ends_at"] == "2026-01-02T03:15:00.000Z", "the script's limit comes first"
    assert (said["spot"], said["target"], said["region"], said["owner"]) == (True, "local", "us-east-1", "me")
    assert (said["max_cost_usd"], said["updated_at"]) == (1.5, "2026-01-02T03:06:00.000Z")
    assert said["phases"] == [
        {"name": "code", "began_at": phases[0].began_at, "ended_at": phases[1].began_at, "detail": ""},
        {"name": "training", "began_at": phases[1].began_at, "ended_at": None, "detail": "epoch 3"},
    ]
    assert said["progress"] == {"step": 610, "total": 1000, "left_s": 39.0}
    assert said["metrics"] == {"loss": 0.25}
    assert said["machine"]["gpus"] == [{"percent": 97.0, "memory_used": 3, "memory_total": 4}]
    assert said["earlier"] == []
    assert json.loads(json.dumps(said)) == said


def test_the_keys_are_those_of_the_views(records: Records) -> None:
    records.spec("j")
    contract = Path(__file__).parents[3] / "labextension/src/api/documents.ts"
    body = contract.read_text().split("export interface JobDocument {")[1].split("\n}")[0]
    keys = [line.split(":")[0].strip().rstrip("?") for line in body.splitlines() if ":" in line and "/**" not in line]
    assert sorted(records.job("j").to_dict()) == sorted(keys)


@pytest.mark.parametrize(
    ("spec", "facts", "expected"),
    [
        ({"target": "aws"}, {}, ["capacity"]),
        ({"target": "aws"}, {"instance_id": "i-1", "phase": "boot"}, ["capacity", "boot"]),
        ({"target": "aws", "instance_id": "i-1"}, {"instance_id": "i-1"}, ["code"]),
        ({"target": "local"}, {}, ["code"]),
    ],
)
def test_before_the_claim(records: Records, spec: dict[str, str], facts: dict[str, str], expected: list[str]) -> None:
    from dataclasses import replace

    made = replace(records.spec("x"), id="j", **spec)  # type: ignore[arg-type]
    records.record.write_spec(made)
    said = status(records, JobState.QUEUED, **facts).to_dict()
    assert [phase["name"] for phase in said["phases"]] == expected
    assert said["phases"][0]["began_at"] == CREATED
    assert said["phases"][-1]["ended_at"] is None
    ended = status(records, JobState.CANCELLED, ended_at="2026-01-02T03:07:00.000Z", **facts).to_dict()
    assert ended["phases"][-1]["ended_at"] == "2026-01-02T03:07:00.000Z"


def test_a_next_attempt_has_its_own_beginning_and_tells_of_the_first(records: Records) -> None:
    records.spec("j", limits=Limits(ttl_s=60))
    records.end("j", state=JobState.INTERRUPTED, cause=Cause("spot", "taken away"), claimed_at="2026-01-02T03:04:30Z")
    records.record.write_plan("j", AttemptPlan(2, "2026-01-05T00:00:00.000Z", instance_type="m5.large"))
    said = records.job("j").to_dict()
    assert said["state"] == "queued"
    assert said["updated_at"] == "2026-01-05T00:00:00.000Z", "or it would be judged by the first attempt's time"
    assert said["ends_at"] == "2026-01-05T00:01:00.000Z"
    assert said["phases"][0]["began_at"] == "2026-01-05T00:00:00.000Z"
    assert said["earlier"] == [
        {
            "number": 1,
            "state": "interrupted",
            "started_at": "2026-01-02T03:05:00Z",
            "ended_at": "2026-01-02T03:06:00Z",
            "cause": {"kind": "spot", "message": "taken away", "signal": None},
        }
    ]
    said = status(records, JobState.STARTING, 2, claimed_at="2026-01-05T00:02:00.000Z").to_dict()
    assert said["ends_at"] == "2026-01-05T00:03:00.000Z", "the runner counts from its claim"


def test_without_limits_nothing_ends_it(records: Records) -> None:
    records.spec("j")
    said = records.job("j").to_dict()
    assert (said["ends_at"], said["max_cost_usd"]) == (None, None)
