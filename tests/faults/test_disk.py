"""A machine whose disk is full in the middle of a training, and has room again later."""

from __future__ import annotations

import pytest

from runctl_jupyter.orchestration import Instance, Job, Runctl
from runctl_jupyter.run_record import JobState
from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.faults.conftest import Row
from tests.faults.training import Follower, LogCount, Watch, run_on, wait_for
from tests.faults.victims import is_cared_for, kill_runner
from tests.sandbox.conftest import Boto, sandbox_mode
from tests.sandbox.engine.conftest import Engine

pytestmark = pytest.mark.skipif(sandbox_mode() == "plain", reason="the disk of a plain machine is the user's own")

LINES = 300
PRINTER = """\
import os, pathlib, time
saved = pathlib.Path(os.environ["RUNCTL_CHECKPOINT_DIR"])
for i in range(1, LINES + 1):
    os.write(1 + i % 2, b"line %06d %s\\n" % (i, b"x" * 200))
    time.sleep(0.02)
    if i % 30 == 0:
        part = saved / f"step_{i}.tmp"
        try:
            part.write_bytes(b"%06d" % i * 10_000)
            part.rename(saved / f"step_{i}.bin")
        except OSError as error:
            print("FAILED", i, error.strerror, flush=True)
""".replace("LINES", str(LINES), 1)


def printed_lines(log: bytes) -> list[int]:
    """Return the numbers of the lines of a log."""
    return [int(line[5:11]) for line in log.splitlines() if line.startswith(b"line ")]


@pytest.mark.parametrize("killed", [False, True], ids=["", "and its runner is killed"])
def test_a_disk_that_is_full_for_a_while(
    sandbox: Connection, engine: Engine, machine: Instance, watcher: Runctl, row: Row, killed: bool
) -> None:
    job = engine({"printer.py": PRINTER}).jobs.train("printer.py", on=machine.id)
    assert isinstance(job, Job)
    with Watch(watcher, job.id) as watch:
        follower = Follower(job)
        follower.await_line(80)
        assert faults_client.fill_disk(sandbox, machine.id) > 0
        wait_for(lambda: b"FAILED" in follower.got, "a checkpoint that cannot be written")
        if killed:
            kill_runner(job)
        follower.await_line(200)
        faults_client.free_disk(sandbox, machine.id)
        log = follower.result()
        job.wait(60)
    assert watch.failures == []
    lines = printed_lines(log)
    missing = sorted(set(range(1, LINES + 1)) - set(lines))
    assert lines == sorted(set(lines))
    # What a runner has only in its memory dies with it: those lines were never on the disk. At most a second of them,
    # in one place.
    assert missing == ([*range(missing[0], missing[-1] + 1)] if killed and missing else [])
    assert len(missing) <= 60
    failed = {int(line.split()[1]) for line in log.splitlines() if line.startswith(b"FAILED")}
    assert failed
    steps = {each.step for each in job.checkpoints()}
    if missing:
        # What the script said of a checkpoint there is lost with the lines around it.
        failed |= {step for step in range(missing[0] - 1, missing[-1] + 2) if step not in steps}
    assert steps == set(range(30, LINES + 1, 30)) - failed
    assert all(each.size == 60_000 for each in job.checkpoints())
    assert b"runctl: the disk is full: the log goes on in memory" in job.logs().read()
    assert job.logs(script_only=True).read() == log
    assert (job.state, job.exit_code, job.cause) == (JobState.SUCCEEDED, 0, None)
    row(
        f"full disk{', runner killed' if killed else ''}",
        job,
        LogCount(LINES, len(lines), 0, len(missing)),
        hits=len(failed),
    )


def test_a_disk_that_stays_full(sandbox: Connection, engine: Engine, machine: Instance, row: Row) -> None:
    job = engine({"printer.py": PRINTER}).jobs.train("printer.py", on=machine.id)
    assert isinstance(job, Job)
    follower = Follower(job)
    follower.await_line(100)
    faults_client.fill_disk(sandbox, machine.id)
    log = follower.result()
    job.wait(60)
    assert printed_lines(log) == list(range(1, LINES + 1))
    assert (job.state, job.exit_code) == (JobState.SUCCEEDED, 0)
    assert {each.step for each in job.checkpoints()} >= {30, 60, 90}
    wait_for(lambda: not is_cared_for(job), "the end of its keeper")
    row("full disk to the end", job, LogCount(LINES, LINES, 0, 0), hits=1)
    faults_client.free_disk(sandbox, machine.id)


def test_a_job_that_begins_on_a_full_disk(sandbox: Connection, engine: Engine, machine: Instance, boto: Boto) -> None:
    """It ends in words, and the machine takes the next job when there is room again."""
    run_on(boto, machine.id, "true")
    faults_client.fill_disk(sandbox, machine.id)
    rc = engine({"printer.py": PRINTER, "short.py": "print('fine')\n"})
    job = rc.jobs.train("printer.py", on=machine.id)
    assert isinstance(job, Job)
    job.wait(60)
    assert job.state is JobState.FAILED
    assert job.cause is not None
    assert job.cause.kind in ("launch", "code", "runner"), job.cause
    faults_client.free_disk(sandbox, machine.id)
    again = rc.jobs.train("short.py", on=machine.id)
    assert isinstance(again, Job)
    assert again.wait(60).state is JobState.SUCCEEDED
    assert again.logs(script_only=True).read() == b"fine\n"
