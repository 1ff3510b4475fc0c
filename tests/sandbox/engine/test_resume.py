"""A next attempt goes on from what an earlier one has saved, byte for byte; what cannot be launches nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from runctl_jupyter.orchestration import Instance, Job, Runctl
from runctl_jupyter.orchestration.errors import InvalidRequest, JobNotFound, RunctlError
from runctl_jupyter.run_record import JobState
from tests.sandbox.conftest import Boto
from tests.sandbox.doors.conftest import Terminal
from tests.sandbox.engine.conftest import Engine
from tests.sandbox.engine.running import BUCKET, end_of, failed, printed, said, stored, succeeded, terminal
from tests.sandbox.engine.test_jobs import first_line, job_of, machines, nothing_happens

__all__ = ["terminal"]

SCRIPT = """\
import hashlib, os, pathlib, sys, time
folder = pathlib.Path(os.environ["RUNCTL_CHECKPOINT_DIR"])
source = os.environ.get("RUNCTL_RESUME_FROM")
path = pathlib.Path(source) if source else None
found = path and hashlib.sha256(path.read_bytes()).hexdigest()
for step in () if path else (1, 2, 3):
    (folder / f"step_{step}.bin").write_bytes(bytes([step]) * 5000)
# Only now: who cancels when it has read this line cancels a script that has saved everything.
print("attempt", os.environ["RUNCTL_ATTEMPT"], path and path.name, found)
if path:
    (folder / "step_4.bin").write_bytes(b"more")
    sys.exit(0)
if "--stay" in sys.argv:
    time.sleep(300)
sys.exit(3)
"""


LOOK = """\
import os, pathlib
path = pathlib.Path(os.environ["RUNCTL_RESUME_FROM"])
print(path.name, (path / "deep" / "a b.bin").stat().st_size, (path / "config.json").read_text())
"""


def line(attempt: int, step: int | None) -> str:
    """Return what an attempt prints that goes on from this checkpoint."""
    if step is None:
        return f"attempt {attempt} None None"
    return f"attempt {attempt} step_{step}.bin {hashlib.sha256(bytes([step]) * 5000).hexdigest()}"


def with_checkpoints(rc: Runctl, dev: Instance, name: str) -> Job:
    """Return a job that has failed after it had saved three checkpoints."""
    job = end_of(rc.jobs.train("t.py", on=dev.id, name=name))
    assert (job.state, job.exit_code, job.checkpoint_count) == (JobState.FAILED, 3, 3)
    return job


def test_a_next_attempt_goes_on(engine: Engine, dev: Instance, terminal: Terminal) -> None:
    rc = engine({"t.py": SCRIPT})
    first = with_checkpoints(rc, dev, "goes-on")
    job = succeeded(rc.jobs.resume(first.id))
    assert (job.id, job.attempt, job.checkpoint_count) == (first.id, 2, 4)
    assert first.cost_usd is not None
    assert job.status.cost_usd is not None
    assert job.cost_usd == pytest.approx(first.cost_usd + job.status.cost_usd)
    assert [each.name for each in job.checkpoints()] == [f"step_{n}.bin" for n in (1, 2, 3, 4)]
    named = terminal.json("resume", "goes-on", "--from", "step_1.bin", "--wait")
    assert (named["state"], named["attempt"], named["checkpoint_count"]) == ("succeeded", 3, 5)
    anew = end_of(rc.jobs.resume(first.id, checkpoint="none"))
    assert (anew.state, anew.exit_code, anew.attempt) == (JobState.FAILED, 3, 4)
    assert printed(rc.jobs.get("goes-on")) == [line(1, None), line(2, 3), line(3, 1), line(4, None)]
    raw, _ = terminal.run("logs", "goes-on", "--raw", "--attempt", "3")
    assert raw.decode() == line(3, 1) + "\n"


def test_a_pruned_job_goes_on_from_what_is_left(engine: Engine, dev: Instance) -> None:
    rc = engine({"t.py": SCRIPT})
    job = with_checkpoints(rc, dev, "pruned")
    report = rc.checkpoints.prune(job.id, keep_last=1, dry_run=False)
    assert [each.name for each in report.remove] == ["step_1.bin", "step_2.bin"]
    assert report.bytes == 10_000
    going = succeeded(rc.jobs.resume(job.id))
    assert printed(going) == [line(1, None), line(2, 3)]
    assert [(each.attempt, each.seq, each.name) for each in going.checkpoints()] == [
        (1, 2, "step_3.bin"), (2, 0, "step_4.bin"),
    ]  # fmt: skip
    with pytest.raises(InvalidRequest, match="no checkpoint 'step_1"):
        rc.jobs.resume(job.id, checkpoint="step_1.bin")


def test_a_new_job_begins_with_what_is_on_this_computer(engine: Engine, dev: Instance, tmp_path: Path) -> None:
    rc = engine({"t.py": SCRIPT, "step_2.pt": "two"})
    job = succeeded(rc.jobs.train("t.py", on=dev.id, resume="step_2.pt"))
    assert printed(job) == [f"attempt 1 step_2.pt {hashlib.sha256(b'two').hexdigest()}"]
    assert [(each.name, each.attempt) for each in job.checkpoints()] == [("step_2.pt", 0), ("step_4.bin", 1)]
    folder = tmp_path / "mine"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a b.bin").write_bytes(b"x" * 1000)
    (folder / "config.json").write_text("{}")
    (rc.cwd / "look.py").write_text(LOOK)
    assert printed(succeeded(rc.jobs.train("look.py", on=dev.id, resume=str(folder)))) == ["mine 1000 {}"]
    with pytest.raises(InvalidRequest, match=r"There is no checkpoint .*/gone"):
        rc.jobs.train("t.py", on=dev.id, resume="./gone")


def test_a_cancelled_job_goes_on(engine: Engine, dev: Instance) -> None:
    rc = engine({"t.py": SCRIPT})
    job = job_of(rc.jobs.train("t.py", on=dev.id, arguments=["--stay"]))
    first_line(job)
    with pytest.raises(InvalidRequest, match="has not ended") as raised:
        rc.jobs.resume(job.id)
    assert len(str(raised.value).splitlines()) == 2
    assert rc.jobs.get(job.id).attempt == 1
    job.cancel()
    going = succeeded(rc.jobs.resume(job.id))
    assert printed(going) == [line(1, None), line(2, 3)]


def test_a_new_job_goes_on_from_another(engine: Engine, dev: Instance, terminal: Terminal, boto: Boto) -> None:
    rc = engine({"t.py": SCRIPT})
    old = with_checkpoints(rc, dev, "old")
    boto("s3").put_object(Bucket=BUCKET, Key="elsewhere/weights/step_2.bin", Body=bytes([2]) * 5000)
    ways = {
        "old": 3,
        f"s3://{BUCKET}/runctl/jobs/{old.id}/checkpoints/1-00001/": 2,
        old.checkpoints()[0].uri: 1,
        f"s3://{BUCKET}/elsewhere/weights/step_2.bin": 2,
    }
    jobs = {way: rc.jobs.train("t.py", on=dev.id, resume=way) for way in ways}
    assert {way: printed(succeeded(job)) for way, job in jobs.items()} == {way: [line(1, n)] for way, n in ways.items()}
    new = terminal.json("train", "t.py", "--on", dev.id, "--resume", "old", "--wait")
    assert (new["state"], new["attempt"], new["checkpoint_count"]) == ("succeeded", 1, 1)
    assert new["id"] != old.id


def test_a_damaged_checkpoint_is_not_gone_on_from(engine: Engine, dev: Instance, boto: Boto) -> None:
    rc = engine({"t.py": SCRIPT})
    first = with_checkpoints(rc, dev, "damaged")
    key = f"runctl/jobs/{first.id}/checkpoints/1-00002/step_3.bin"
    boto("s3").put_object(Bucket=BUCKET, Key=key, Body=b"\0" * 5000)
    what, advice = failed(rc.jobs.resume(first.id, checkpoint="step_3.bin"), "resume")
    assert "step_3.bin" in what
    assert "runctl checkpoints list" in advice
    job = succeeded(rc.jobs.resume(first.id))
    assert printed(job) == [line(1, None), line(3, 2)]
    assert any("step_3.bin" in each and "Trying an older one" in each for each in said(job)), said(job)


def test_a_job_with_its_own_machine_gets_another_one(engine: Engine) -> None:
    rc = engine({"t.py": SCRIPT})
    first = end_of(rc.jobs.train("t.py", instance_type="m5.large"))
    job = succeeded(rc.jobs.resume(first.id))
    assert printed(job) == [line(1, None), line(2, 3)]
    assert job.instance_id is not None
    assert first.instance_id is not None
    assert job.instance_id != first.instance_id
    for attempt, instance_id in enumerate((first.instance_id, job.instance_id), 1):
        gone = rc.instances.wait(instance_id, until="terminated", timeout=60)
        assert (gone.tags["runctl:job"], gone.tags["runctl:attempt"]) == (job.id, str(attempt))


def test_what_cannot_be_gone_on_from_launches_nothing(engine: Engine, dev: Instance, boto: Boto) -> None:
    rc = engine({"t.py": SCRIPT, "quick.py": "pass"})
    first = with_checkpoints(rc, dev, "refuses")
    bare = succeeded(rc.jobs.train("quick.py", on=dev.id, name="bare"))
    record = f"s3://{BUCKET}/runctl/jobs/{first.id}/checkpoints"

    def refused(act: Callable[[], object], error: type[RunctlError], words: str) -> None:
        nothing_happens(rc, act, error, words)
        for job in (first, bare):
            assert list(stored(boto, f"runctl/jobs/{job.id}/attempts/2/")) == []

    refused(lambda: rc.jobs.resume(first.id, checkpoint="step_9.bin"), InvalidRequest, "no checkpoint 'step_9.bin'")
    refused(lambda: rc.jobs.resume(first.id, checkpoint=f"{record}/1-00007/"), InvalidRequest, "1-00007")
    refused(lambda: rc.jobs.train("t.py", on=dev.id, resume=f"{record}/1-00007/"), InvalidRequest, "1-00007")
    refused(lambda: rc.jobs.train("t.py", on=dev.id, resume="bare"), InvalidRequest, "no complete checkpoint")
    refused(lambda: rc.jobs.train("t.py", on=dev.id, resume="nobody"), JobNotFound, "nobody")
    refused(lambda: rc.jobs.train("t.py", on=dev.id, resume="s3:/x"), RunctlError, "s3:/x")
    refused(lambda: rc.jobs.resume("nobody"), JobNotFound, "nobody")
    refused(lambda: rc.jobs.resume(first.id, on="nobody"), RunctlError, "nobody")
    refused(lambda: rc.jobs.resume(first.id, instance_type="m5.lrge"), InvalidRequest, "m5.lrge")
    assert dev.id in machines(rc)
