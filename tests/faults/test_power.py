"""A machine that loses its power without a word, and comes back."""

from __future__ import annotations

import hashlib
import time

import pytest

from runctl_jupyter.orchestration import Instance, Job, Runctl
from runctl_jupyter.orchestration.jobs.log import Log
from runctl_jupyter.run_record import JobState
from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.faults.conftest import Row
from tests.faults.script import expected_checkpoints
from tests.faults.training import (
    Follower,
    LogCount,
    Training,
    Watch,
    check_checkpoints,
    check_log,
    check_success,
    processes_of,
    run_on,
    wait_for,
)
from tests.faults.victims import is_cared_for, last_whole_line, on_disk, set_pacing, with_deadline
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine

TRAINING = Training(lines=200, rate=50.0)
DEADLINE_S = 120.0


def cut_off(sandbox: Connection, job: Job, watcher: Runctl, *, at_line: int) -> tuple[bytes, int]:
    """Let the job's machine lose its power; return the log that lies on its disk, and the last line noted there."""
    with Watch(watcher, job.id) as watch:
        follower = Follower(job)
        follower.await_line(at_line)
        job.refresh()
        assert job.instance_id is not None
        faults_client.power_off(sandbox, job.instance_id)
        began = time.monotonic()
        job.wait(60)
        assert time.monotonic() - began < DEADLINE_S / 2
        follower.result()
    assert watch.failures == []
    assert job.state is JobState.INTERRUPTED
    assert job.cause is not None
    assert (job.cause.kind, job.instance_id in job.cause.message) == ("machine", True)
    folder = f"jobs/{job.id}/1"
    stream = on_disk(sandbox, job.instance_id, f"{folder}/spool/stream.log")
    assert stream.startswith(job.logs().read())
    return stream, int(on_disk(sandbox, job.instance_id, f"{folder}/work/printed"))


def check_saved(job: Job, boto: Boto, stream: bytes, printed: int) -> LogCount:
    """Check that the record of attempt 1 has got all that lay on the disk when the power failed."""
    wait_for(lambda: not is_cared_for(job), "the end of the runner that saves")
    assert job.logs().read().startswith(stream)
    last = last_whole_line(stream)
    # The script notes a line when it is in the pipe; it takes the runner a moment to have it on the disk.
    assert printed - 25 <= last <= printed + 1  # a second of a machine that others load
    count = check_log(job, TRAINING, attempt=1, printed=last)
    check_checkpoints(job, boto, TRAINING, printed=printed)
    job.refresh()
    assert (job.state, job.attempt) == (JobState.INTERRUPTED, 1)
    return count


def test_of_a_machine_that_comes_back(
    sandbox: Connection,
    engine: Engine,
    machine: Instance,
    watcher: Runctl,
    boto: Boto,
    row: Row,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_pacing(monkeypatch, with_deadline(DEADLINE_S))
    job = TRAINING.start(engine, on=machine.id)
    stream, printed = cut_off(sandbox, job, watcher, at_line=100)
    assert processes_of(job.id) == []
    rc = engine({})
    assert rc.instances.start(machine.id).state == "running"
    count = check_saved(job, boto, stream, printed)
    row("power-off, start", job, count, hits=1, checkpoints=len(job.checkpoints()))

    (newest,) = [each for each in job.checkpoints() if each.latest]
    step = int("".join(filter(str.isdigit, newest.name)))
    first = job.logs(script_only=True).read()
    again = rc.jobs.resume(job.id)
    again.wait(60)
    count = check_success(again, boto, TRAINING, attempt=2, start=step + 1)
    assert again.logs(script_only=True).read() == first + Log(again, script_only=True, attempt=2).read()
    row("power-off, start, resume", again, count, hits=1)
    place = f'"${{RUNCTL_ROOT:-/var/lib/runctl}}/jobs/{job.id}/2/resume/{newest.name}"'
    told = run_on(
        boto, machine.id, f"cd {place} 2>/dev/null && find . -type f -exec sha256sum {{}} + || sha256sum {place}"
    )
    expected = expected_checkpoints(TRAINING.lines)[newest.name]
    assert sorted(line[:64] for line in told.splitlines()) == sorted(
        hashlib.sha256(data).hexdigest() for data in expected.values()
    )


def test_of_the_machine_of_a_job(
    sandbox: Connection,
    engine: Engine,
    watcher: Runctl,
    boto: Boto,
    row: Row,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its machine stays, stopped, with what was not saved yet; started, it saves that and ends itself."""
    set_pacing(monkeypatch, with_deadline(DEADLINE_S))
    job = TRAINING.start(engine, instance_type="m5.large")
    stream, printed = cut_off(sandbox, job, watcher, at_line=60)
    assert job.instance_id is not None
    rc = engine({})
    assert rc.instances.get(job.instance_id).state == "stopped"
    rc.instances.start(job.instance_id)
    count = check_saved(job, boto, stream, printed)
    rc.instances.wait(job.instance_id, until="terminated", timeout=60)
    row("power-off, own machine", job, count, hits=1, checkpoints=len(job.checkpoints()))
