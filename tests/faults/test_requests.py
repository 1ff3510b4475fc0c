"""Requests that fail in the middle of a training: what S3, the API, credentials and the network can do to it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from runctl_jupyter.orchestration import Instance, Job, Runctl
from runctl_jupyter.orchestration.instances.describe import TAG_JOB
from runctl_jupyter.run_record import JobKeys, JobState, from_iso
from tests.faults.conftest import Row
from tests.faults.script import TERM_EXIT_CODE, expected_log
from tests.faults.training import (
    BUCKET,
    PREFIX,
    FaultBox,
    Follower,
    Training,
    Watch,
    check_checkpoints,
    check_log,
    check_success,
    processes_of,
    wait_for,
)
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine

BEGIN = 50
"""Line of the script that has been printed, and followed, when a fault begins."""
RATE = 25.0
TO_THE_END = 6.0
"""How long a training goes on with a fault that stays until it has ended."""
AFTER_S = 2.0
"""How long it goes on after a fault that ends by itself."""


@dataclass(frozen=True)
class Case:
    """A fault in the middle of a training."""

    name: str
    rules: Sequence[Mapping[str, Any]]
    for_s: float | None = None
    """Seconds it lasts; None until the job has ended."""
    machine: bool = True
    """Whether only the job's machine meets it; else the rules say who."""
    said: str = ""
    """What the follower is told meanwhile, where it is the one who is hit."""
    rate: float = RATE
    marks: Sequence[pytest.MarkDecorator] = field(default_factory=tuple)

    @property
    def training(self) -> Training:
        lasts = TO_THE_END if self.for_s is None else self.for_s + AFTER_S
        return Training(lines=BEGIN + int(self.rate * lasts), rate=self.rate)


def s3(kind: str, **rule: Any) -> Mapping[str, Any]:
    return {"kind": kind, "service": "s3", **rule}


SLOW_DOWN = s3("error", status=503)
CASES = (
    Case("S3 503 for 60 s", [SLOW_DOWN], 60, rate=12.0, marks=[pytest.mark.timeout(300)]),
    Case("S3 500 for everybody", [s3("error", status=500)], 8, machine=False),
    Case("S3 silent", [s3("timeout")], 15),
    Case("S3 slow", [s3("latency", latency_s=1.5)], 10),
    Case("S3 connections cut", [s3("cut", rate=0.3)]),
    Case("S3 answers lost", [s3("lost-answer", rate=0.3)]),
    Case("S3 answers half", [s3("half-answer", rate=0.5, origin="client")], machine=False),
    Case("S3 throttles", [s3("error", status=503, rate=0.5)]),
    Case("S3 denies", [s3("error", code="AccessDenied", status=403)], 8),
    Case("the machine is offline", [{"kind": "offline"}], 15),
    Case(
        "the client's credentials expire",
        [s3("expired-credentials", origin="client")],
        8,
        machine=False,
        said="credentials have expired",
    ),
    Case("the client is offline", [{"kind": "offline", "origin": "client"}], 8, machine=False, said="S3"),
)


def test_without_a_fault(engine: Engine, machine: Instance, watcher: Runctl, boto: Boto, row: Row) -> None:
    training = Training()
    job = training.start(engine, on=machine.id)
    with Watch(watcher, job.id) as watch:
        follower = Follower(job)
        assert follower.result() == expected_log(training.lines)
        job.wait(60)
        count = check_success(job, boto, training)
    assert watch.failures == []
    row("none", job, count)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name, marks=case.marks) for case in CASES])
def test_in_the_middle(
    case: Case, engine: Engine, machine: Instance, faults: FaultBox, watcher: Runctl, boto: Boto, row: Row
) -> None:
    job = case.training.start(engine, on=machine.id)
    with Watch(watcher, job.id) as watch:
        follower = Follower(job)
        follower.await_line(BEGIN)
        began = time.monotonic()
        place = {"machine": machine.id} if case.machine else {}
        ids = [faults.put(for_s=case.for_s, **place, **rule) for rule in case.rules]
        recovery_s = 0.0
        if case.for_s is not None:
            for each in ids:
                faults.await_over(each)
            recovery_s = seconds_until_news(follower)
        followed = follower.result(150)
        lasted, hits = case.for_s or round(time.monotonic() - began, 1), faults.hits()
        faults.clear()
        assert followed == expected_log(case.training.lines)
        count = check_success(job.wait(60), boto, case.training)
    assert hits > 0
    if case.machine:
        assert (watch.failures, follower.troubles) == ([], [])
    assert case.said in " ".join(follower.troubles)
    row(case.name, job, count, hits=hits, fault_s=lasted, recovery_s=recovery_s)


def seconds_until_news(follower: Follower) -> float:
    """Return how long it takes until a follower has something new."""
    began, size = time.monotonic(), len(follower.got)
    wait_for(lambda: len(follower.got) > size, "anything new in the log")
    return round(time.monotonic() - began, 1)


def test_the_machines_credentials_expire_twice(
    engine: Engine, machine: Instance, faults: FaultBox, watcher: Runctl, boto: Boto, row: Row
) -> None:
    training = Training(lines=250, rate=RATE)
    job = training.start(engine, on=machine.id)
    with Watch(watcher, job.id) as watch:
        follower = Follower(job)
        for line in (BEGIN, 2 * BEGIN):
            follower.await_line(line)
            # Those that are issued from now on are good.
            faults.await_hit(faults.put("expired-credentials", machine=machine.id))
        assert follower.result() == expected_log(training.lines)
        count = check_success(job.wait(60), boto, training)
    assert (watch.failures, follower.troubles) == ([], [])
    row("the machine's credentials expire twice", job, count, hits=faults.hits())


def test_s3_fails_when_the_last_uploads_begin(
    engine: Engine, machine: Instance, faults: FaultBox, watcher: Runctl, boto: Boto, row: Row
) -> None:
    training, for_s = Training(lines=100, rate=RATE), 10.0
    job = training.start(engine, on=machine.id)
    with Watch(watcher, job.id) as watch:
        follower = Follower(job)
        follower.await_line(training.lines - 2)
        fault = faults.put("error", service="s3", status=503, machine=machine.id, for_s=for_s)
        wait_for(lambda: processes_of(job.id) == [], "the end of the script")
        assert not job.refresh().state.ended
        faults.await_over(fault)
        assert not job.refresh().state.ended
        over = time.monotonic()
        assert follower.result() == expected_log(training.lines)
        count = check_success(job.wait(60), boto, training)
        recovery_s = round(time.monotonic() - over, 1)
    assert watch.failures == []
    row("S3 503 while saving", job, count, hits=faults.hits(), fault_s=for_s, recovery_s=recovery_s)


def told(boto: Boto, job: Job) -> Mapping[str, Any]:
    """Return the note of a script that was told to end: when, and what it had printed."""
    key = f"{PREFIX}{JobKeys(job.id).outputs_prefix}told.json"
    note: Mapping[str, Any] = json.loads(boto("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read())
    return note


@pytest.mark.parametrize("everybody", [False, True], ids=["machine", "everybody"])
def test_cancel_while_s3_fails(
    everybody: bool, engine: Engine, machine: Instance, faults: FaultBox, watcher: Runctl, boto: Boto, row: Row
) -> None:
    training, for_s = Training(lines=2000, rate=RATE, on_term="exit"), 8.0
    job = training.start(engine, on=machine.id)
    with Watch(watcher, job.id):
        follower = Follower(job)
        follower.await_line(BEGIN)
        place = {} if everybody else {"machine": machine.id}
        fault = faults.put("error", service="s3", status=503, for_s=for_s, **place)
        asked = time.monotonic()
        job.cancel(timeout=90)
        assert processes_of(job.id) == []
        recovery_s = round(time.monotonic() - asked - for_s, 1)
        assert not faults.state(fault).active
        assert (job.state, job.exit_code) == (JobState.CANCELLED, TERM_EXIT_CODE)
        printed = told(boto, job)["printed"]
        count = check_log(job, training, printed=printed)
        check_checkpoints(job, boto, training, printed=printed)
        assert follower.result() == expected_log(training.lines, upto=printed)
    who = "for everybody" if everybody else "for the machine"
    row(f"cancel during S3 503 {who}", job, count, hits=faults.hits(), fault_s=for_s, recovery_s=recovery_s)


@pytest.mark.parametrize("limit", ["timeout", "ttl"])
def test_a_limit_is_kept_while_s3_is_silent(
    limit: str, engine: Engine, faults: FaultBox, watcher: Runctl, boto: Boto, row: Row
) -> None:
    training, limit_s, for_s = Training(lines=2000, rate=RATE, on_term="exit"), 12.0, 20.0
    job = training.start(engine, instance_type="m5.large", **{limit: limit_s}).launched(60)
    with Watch(watcher, job.id):
        follower = Follower(job)
        follower.await_line(BEGIN)
        fault = faults.put("timeout", service="s3", machine=job.instance_id, for_s=for_s)
        wait_for(lambda: processes_of(job.id) == [], "the end of the script")
        assert faults.state(fault).active, "the script ended only after S3 was back"
        assert not job.refresh().state.ended
        faults.await_over(fault)
        over = time.monotonic()
        job.wait(60)
        recovery_s = round(time.monotonic() - over, 1)
        assert (job.state, job.exit_code) == (JobState.CAPPED, TERM_EXIT_CODE)
        assert job.cause is not None
        assert job.cause.kind == limit
        note = told(boto, job)
        began = job.status.started_at if limit == "timeout" else job.status.claimed_at
        assert began is not None
        late_s = note["at"] - from_iso(began).timestamp() - limit_s
        assert -0.5 < late_s < 5, late_s
        count = check_log(job, training, printed=note["printed"])
        check_checkpoints(job, boto, training, printed=note["printed"])
        assert follower.result() == expected_log(training.lines, upto=note["printed"])
    assert job.instance_id is not None
    watcher.instances.wait(job.instance_id, until="terminated", timeout=60)
    row(f"--{limit} while S3 is silent", job, count, hits=faults.hits(), fault_s=for_s, recovery_s=recovery_s)


def machines_of(boto: Boto, job: Job) -> Sequence[str]:
    """Return the ids of all machines that were launched for a job."""
    found = boto("ec2").describe_instances(Filters=[{"Name": f"tag:{TAG_JOB}", "Values": [job.id]}])
    return [each["InstanceId"] for group in found["Reservations"] for each in group["Instances"]]


THROTTLED = {"status": 503, "code": "RequestLimitExceeded"}
LAUNCH_FAULTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "throttled": (
        {"kind": "error", "service": "ec2", "operation": "CreateLaunchTemplate", "count": 2, **THROTTLED},
        {"kind": "error", "service": "ec2", "operation": "CreateFleet", "count": 2, **THROTTLED},
        {"kind": "error", "service": "ec2", "operation": "DeleteLaunchTemplate", "count": 2, **THROTTLED},
        {"kind": "error", "service": "ec2", "operation": "DescribeImages", "count": 2, **THROTTLED},
        {"kind": "error", "service": "ec2", "operation": "DescribeInstances", "count": 2, **THROTTLED},
        {"kind": "error", "service": "ssm", "operation": "GetParameters", "count": 2, "code": "ThrottlingException"},
    ),
    "answers lost": (
        {"kind": "lost-answer", "service": "ec2", "operation": "CreateLaunchTemplate", "count": 1},
        {"kind": "lost-answer", "service": "ec2", "operation": "CreateFleet", "count": 1},
        *(
            {"kind": "lost-answer", "service": "s3", "operation": "PutObject", "key": f"*/{name}.json", "count": 1}
            for name in ("spec", "provenance", "status")
        ),
        {"kind": "lost-answer", "service": "s3", "origin": "client", "rate": 0.2},
    ),
}


@pytest.mark.parametrize("name", LAUNCH_FAULTS)
def test_a_launch(name: str, engine: Engine, faults: FaultBox, watcher: Runctl, boto: Boto, row: Row) -> None:
    training = Training(lines=100, rate=RATE)
    for rule in LAUNCH_FAULTS[name]:
        faults.put(**rule)
    job = training.start(engine, instance_type="m5.large").launched(120)
    with Watch(watcher, job.id):
        assert Follower(job).result(120) == expected_log(training.lines)
        assert str(job.instance_id) in {instance.id for instance in watcher.instances.list(all=True)}
        hits = {faults.state(each).describe(): faults.state(each).hits for each in faults.ids}
        faults.clear()
        count = check_success(job.wait(60), boto, training)
    assert all(hits.values()), hits
    assert machines_of(boto, job) == [job.instance_id]
    assert boto("ec2").describe_launch_templates()["LaunchTemplates"] == []
    assert job.instance_id is not None
    watcher.instances.wait(job.instance_id, until="terminated", timeout=60)
    row(f"launch, {name}", job, count, hits=sum(hits.values()))


SEND_FAULTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "throttled": (
        {"kind": "error", "service": "ssm", "operation": "SendCommand", "count": 2, "code": "ThrottlingException"},
        {
            "kind": "error",
            "service": "ssm",
            "operation": "GetCommandInvocation",
            "count": 2,
            "code": "ThrottlingException",
        },
    ),
    "answer lost": ({"kind": "lost-answer", "service": "ssm", "operation": "SendCommand", "count": 1},),
}


@pytest.mark.parametrize("name", SEND_FAULTS)
def test_a_job_is_sent(
    name: str, engine: Engine, machine: Instance, faults: FaultBox, watcher: Runctl, boto: Boto, row: Row
) -> None:
    training = Training(lines=100, rate=RATE)
    for rule in SEND_FAULTS[name]:
        faults.put(**rule)
    job = training.start(engine, on=machine.id).launched(60)
    with Watch(watcher, job.id):
        assert Follower(job).result() == expected_log(training.lines)
        count = check_success(job.wait(60), boto, training)
    assert all(faults.state(each).hits for each in faults.ids)
    row(f"a command, {name}", job, count, hits=faults.hits())
