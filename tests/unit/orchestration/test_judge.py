"""What a silent job is said to be: by the deadline and the machine's own word, never a guess."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from runctl_jupyter.orchestration.jobs.judge import judge
from runctl_jupyter.orchestration.jobs.record import JobRecord, Seen
from runctl_jupyter.orchestration.model import LaunchPlan
from runctl_jupyter.orchestration.storage.folder import ListableFolder
from runctl_jupyter.orchestration.targets.base import Place
from runctl_jupyter.run_record import AttemptKeys, Cause, JobSpec, JobState, MachineAsked, Status, now, to_iso


@dataclass
class Machine:
    """A target whose machine says `word`; counts how often it is asked."""

    word: Cause | None = None
    asked: list[str] = field(default_factory=list)
    revived: int = 0
    keeper_gone: bool = False
    kept: bool = False

    def check(self, on: str | None, asked: MachineAsked) -> Place:
        raise AssertionError

    def plan(self, place: Place, name: str, ttl_s: float | None) -> LaunchPlan | None:
        raise AssertionError

    def start(self, spec: JobSpec, attempt: int, place: Place) -> str | None:
        raise AssertionError

    def probe(self, place: Place, script: str) -> str | None:
        raise AssertionError

    def revive(self, spec: JobSpec, status: Status) -> bool:
        self.revived += 1
        return self.kept

    def runner_is_gone(self, job_id: str, status: Status) -> bool:
        return self.keeper_gone

    def withdraw(self, job_id: str, attempt: int) -> None:
        raise AssertionError

    def verdict(self, job_id: str, status: Status) -> Cause | None:
        self.asked.append(job_id)
        return self.word


GONE = Cause("machine", "instance i-1 is terminated")


@pytest.fixture
def record(tmp_path: Path) -> JobRecord:
    return JobRecord(ListableFolder(tmp_path))


def running(record: JobRecord, silent_s: float, *, claimed: bool = True, state: JobState = JobState.RUNNING) -> Seen:
    then = to_iso(now() - timedelta(seconds=silent_s))
    spec = JobSpec("j", "j", then, "me", "local", "t.py")
    if record.try_look("j") is None:
        record.write_spec(spec)
    status = Status("j", 1, state, updated_at=then, claimed_at=then if claimed else None)
    found = record.try_look("j")
    assert record.update(found or Seen(spec, 1, status, None), status)
    age(record, AttemptKeys("j", 1).status, silent_s)
    return record.look("j")


def age(record: JobRecord, key: str, seconds: float) -> None:
    """Let an object have been written `seconds` ago."""
    assert isinstance(record.store, ListableFolder)
    moment = time.time() - seconds
    os.utime(record.store.path(key), (moment, moment))


def test_a_fresh_heartbeat_is_believed(record: JobRecord) -> None:
    machine = Machine(GONE)
    assert not judge(record, machine, running(record, 2))
    assert machine.asked == []


def test_machine_gone_is_interrupted_without_waiting_for_the_deadline(record: JobRecord) -> None:
    assert judge(record, Machine(GONE), running(record, 20))
    ended = record.look("j").status
    assert (ended.state, ended.cause) == (JobState.INTERRUPTED, GONE)
    assert ended.ended_at


def test_silence_before_the_deadline_is_not_an_end(record: JobRecord) -> None:
    assert not judge(record, Machine(None), running(record, 20))


def test_silence_beyond_the_deadline_starts_a_runner_once_more_and_then_is_lost(record: JobRecord) -> None:
    machine = Machine(None)
    for _ in range(2):
        assert not judge(record, machine, running(record, 61))
        assert record.look("j").status.state is JobState.RUNNING
    assert machine.revived == 1
    age(record, AttemptKeys("j", 1).revival, 61)
    assert judge(record, machine, running(record, 122))
    assert record.look("j").status.state is JobState.LOST


def test_a_runner_that_is_there_and_cannot_be_heard_is_not_lost(record: JobRecord) -> None:
    machine = Machine(None, kept=True)
    for times in range(1, 4):
        assert not judge(record, machine, running(record, 61.0 * times))
        assert machine.revived == times
        age(record, AttemptKeys("j", 1).revival, 61)
    machine.kept = False
    assert judge(record, machine, running(record, 300))
    assert record.look("j").status.state is JobState.LOST


def test_a_runner_known_to_be_gone_is_replaced_before_the_deadline(record: JobRecord) -> None:
    machine = Machine(None, keeper_gone=True)
    assert not judge(record, machine, running(record, 20))
    assert machine.revived == 1


def test_a_machine_whose_clock_is_an_hour_slow_is_not_silent(record: JobRecord) -> None:
    seen = running(record, 3600)
    age(record, AttemptKeys("j", 1).status, 1)
    machine = Machine(GONE)
    assert seen.status.updated_at == record.look("j").status.updated_at
    assert not judge(record, machine, record.look("j"))
    assert machine.asked == []


def test_a_machine_that_went_before_the_job_began_is_lost(record: JobRecord) -> None:
    assert judge(record, Machine(GONE), running(record, 20, claimed=False, state=JobState.QUEUED))
    assert record.look("j").status.state is JobState.LOST


def test_a_boot_may_take_minutes(record: JobRecord) -> None:
    assert not judge(record, Machine(None), running(record, 300, claimed=False, state=JobState.QUEUED))


def test_an_end_is_never_overwritten(record: JobRecord) -> None:
    seen = running(record, 100, state=JobState.SUCCEEDED)
    assert not judge(record, Machine(GONE), seen)
    assert not record.end(seen, JobState.LOST, GONE)
    assert record.look("j").status.state is JobState.SUCCEEDED


def test_a_runner_that_came_back_wins_over_the_judge(record: JobRecord) -> None:
    stale = running(record, 100)
    alive = replace(stale.status, updated_at=to_iso(now()))
    assert record.update(stale, alive)
    assert not judge(record, Machine(None), stale)
    assert record.look("j").status.state is JobState.RUNNING
