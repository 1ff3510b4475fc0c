"""A record with many jobs: what has ended is read once, and still seen when it is resumed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runctl_jupyter.orchestration.jobs.jobs import Jobs
from runctl_jupyter.orchestration.jobs.record import JobRecord
from runctl_jupyter.run_record import AttemptPlan, JobState, now, to_iso
from tests.unit.orchestration.records import Records, catalogue_of
from tests.unit.orchestration.test_log import TroubledStore

COUNT = 60


class Silent:
    """A target of which nothing is heard."""

    def verdict(self, job_id: str, status: object) -> None:
        return None


class World:
    """Jobs, all of which have ended; two computers look at them."""

    def __init__(self, tmp_path: Path) -> None:
        self.records = Records(tmp_path)
        self.store = TroubledStore(tmp_path / "store")
        self.records.store, self.records.record = self.store, JobRecord(self.store)
        for n in range(COUNT):
            self.records.spec(f"j-{n:02d}")
            self.records.end(f"j-{n:02d}", cost_usd=0.5)
        self.here, self.there = self.jobs(), self.jobs()

    def jobs(self) -> Jobs:
        record = JobRecord(self.store)
        catalogue = catalogue_of(record)

        class Submitter:
            resume = None

        return Jobs(record, Silent(), catalogue, Submitter())  # type: ignore[arg-type]  # nothing is submitted

    def requests(self, limit: int | None = None) -> int:
        self.store.asked.clear()
        assert len(self.here.list(limit=limit)) == COUNT
        return len(self.store.asked)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_what_has_ended_is_read_once(world: World) -> None:
    assert world.requests() >= 2 * COUNT
    assert world.requests() == 1, "one listing of the jobs"
    world.records.spec("j-60")
    world.records.end("j-60", state=JobState.FAILED)
    world.store.asked.clear()
    jobs = world.here.list(limit=None)
    assert [job.id for job in jobs][:2] == ["j-60", "j-59"]
    assert not [key for key in world.store.asked if "j-5" in key]


def test_a_job_resumed_elsewhere_is_seen(world: World) -> None:
    world.here.list(limit=None)
    assert world.there.record.write_plan("j-07", AttemptPlan(2, to_iso(now())))
    job = next(job for job in world.here.list(limit=None) if job.id == "j-07")
    assert (job.attempt, job.state) == (2, JobState.QUEUED)
    world.records.end("j-07", 2, state=JobState.FAILED)
    job = next(job for job in world.here.list(limit=None) if job.id == "j-07")
    assert (job.attempt, job.state) == (2, JobState.FAILED)
    assert world.requests() == 1


def test_a_crash_between_the_mark_and_the_attempt_hides_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.here.list(limit=None)
    put = world.store.put

    def dies(key: str, *arguments: object, **options: object) -> str:
        if key.endswith("attempt.json"):
            raise KeyboardInterrupt
        return put(key, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(world.store, "put", dies)
    with pytest.raises(KeyboardInterrupt):
        world.there.record.write_plan("j-07", AttemptPlan(2, to_iso(now())))
    monkeypatch.undo()
    jobs = {job.id: job for job in world.here.list(limit=None)}
    assert (len(jobs), jobs["j-07"].state) == (COUNT, JobState.SUCCEEDED)
    assert world.there.record.write_plan("j-07", AttemptPlan(2, to_iso(now())))
    assert {job.id: job.attempt for job in world.here.list(limit=None)}["j-07"] == 2


def test_a_job_that_is_deleted_is_gone(world: World) -> None:
    import shutil

    world.here.list(limit=None)
    shutil.rmtree(world.store.path("jobs/j-07"))
    assert "j-07" not in [job.id for job in world.here.list(limit=None)]


LEAVING = """\
import threading, time
from runctl_jupyter.orchestration.jobs.record import JobRecord
begun = threading.Event()
def look(number):
    begun.set()
    time.sleep(0.1)
record = JobRecord(None)
threading.Thread(target=record.each, args=(look, range(100_000)), daemon=True).start()
begun.wait()
"""


def test_a_program_ends_though_thousands_are_still_to_be_read() -> None:
    subprocess.run([sys.executable, "-c", LEAVING], check=True, timeout=60)
