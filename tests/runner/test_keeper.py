"""A runner that is killed: the script goes on, nothing is lost or doubled, and the end is true."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from runctl_jupyter.run_record import ATTEMPT_IS_KEPT, AttemptKeys, JobState, Status
from tests.runner.machines import Machine, until

LINES = 400
PRINTER = (
    "import sys, time\n"
    f"for i in range({LINES}):\n    print('line', i, flush=True)\n    time.sleep(0.005)\n"
    "sys.exit(7)\n"
)
EXPECTED = b"".join(b"line %d\n" % i for i in range(LINES))


def runner_of(keeper: subprocess.Popen[bytes]) -> psutil.Process | None:
    for child in psutil.Process(keeper.pid).children():
        if child.name() == "runctl-runner" and child.status() != psutil.STATUS_ZOMBIE:
            return child
    return None


def end_of(machine: Machine, keeper: subprocess.Popen[bytes]) -> Status:
    keeper.wait(60)
    return machine.status()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_a_killed_runner_loses_and_doubles_nothing(machine: Machine) -> None:
    machine.spec(PRINTER)
    keeper = machine.start()
    for wanted in (b"line 20\n", b"line 200\n"):
        until(lambda wanted=wanted: wanted in machine.stream())
        kill(until(lambda: runner_of(keeper)).pid)
    status = end_of(machine, keeper)
    assert (status.state, status.exit_code) == (JobState.FAILED, 7)
    assert machine.output() == EXPECTED
    assert machine.stream().count(b"runctl: the runner was killed") == 2


def test_the_exit_code_is_known_though_no_runner_lived_to_see_it(machine: Machine, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = (
        f"import os, sys, time\nprint('ready', flush=True)\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
    )
    machine.spec(script + "print('over')\nsys.exit(5)\n")
    keeper = machine.start()
    until(lambda: b"ready\n" in machine.stream())
    runner = until(lambda: runner_of(keeper))
    script_pid = until(runner.children)[0].pid
    psutil.Process(keeper.pid).suspend()  # so that no runner follows
    kill(runner.pid)
    go.touch()
    until(lambda: psutil.Process(script_pid).status() == psutil.STATUS_ZOMBIE)
    psutil.Process(keeper.pid).resume()
    status = end_of(machine, keeper)
    assert (status.state, status.exit_code) == (JobState.FAILED, 5)
    assert machine.output() == b"ready\nover\n"


def test_killed_at_any_moment_the_script_runs_once(machine: Machine, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    chance = random.Random(7)
    for number in range(8):
        job = f"job-{number}"
        machine.spec(f"open({str(starts)!r}, 'a').write('{number}'); print('done')", job)
        keeper = machine.start(job)
        runner = until(lambda keeper=keeper: runner_of(keeper) or keeper.poll() is not None)
        try:
            keeper.wait(chance.random() * 0.3)
        except subprocess.TimeoutExpired:
            if isinstance(runner, psutil.Process) and runner.is_running():
                runner.kill()
        keeper.wait(60)
        assert machine.status(job).state is JobState.SUCCEEDED, machine.log.read_text()
        assert machine.output(job) == b"done\n"
    assert sorted(starts.read_text()) == sorted("01234567")


def test_checkpoints_are_stored_once(machine: Machine) -> None:
    machine.spec(
        "import os, pathlib, time\nd = pathlib.Path(os.environ['RUNCTL_CHECKPOINT_DIR'])\n"
        "for i in range(20):\n    (d / f'step_{i}.bin').write_bytes(b'%d' % i * 1000)\n    time.sleep(0.05)\n"
    )
    keeper = machine.start()
    for wanted in (3, 10):
        until(lambda wanted=wanted: len(machine.manifests()) >= wanted)
        kill(until(lambda: runner_of(keeper)).pid)
    assert end_of(machine, keeper).state is JobState.SUCCEEDED
    assert [m.name for m in machine.manifests()] == [f"step_{i}.bin" for i in range(20)]
    assert [m.seq for m in machine.manifests()] == list(range(20))


def test_keeper_and_runner_killed_then_the_next_saves_what_there_is(machine: Machine) -> None:
    machine.spec(
        "import os, pathlib, time\n"
        "pathlib.Path(os.environ['RUNCTL_CHECKPOINT_DIR'], 'step_1.bin').write_bytes(b'x' * 99)\n"
        "for i in range(100_000):\n    print('line', i, flush=True)\n    time.sleep(0.002)\n"
    )
    keeper = machine.start()
    until(lambda: b"line 50\n" in machine.stream())
    family = [psutil.Process(keeper.pid), *psutil.Process(keeper.pid).children(recursive=True)]
    runner = until(lambda: runner_of(keeper))
    for pid in (keeper.pid, runner.pid):
        kill(pid)
    keeper.wait(10)
    on_disk = (machine.root / "jobs/job-1/1/spool/stream.log").read_bytes()
    status = end_of(machine, machine.start())
    assert status.state is JobState.INTERRUPTED
    assert status.cause is not None
    assert machine.stream().startswith(on_disk)
    assert machine.output().splitlines()[:50] == EXPECTED.splitlines()[:50]
    assert [m.name for m in machine.manifests()] == ["step_1.bin"]
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)


def test_a_second_runner_on_the_machine_changes_nothing(machine: Machine) -> None:
    go = machine.root.with_name("go")
    machine.spec(
        f"import os, time\nprint('begun', flush=True)\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
    )
    first = machine.start()
    until(lambda: b"begun\n" in machine.stream())
    assert machine.start().wait(60) == ATTEMPT_IS_KEPT
    go.touch()
    assert end_of(machine, first).state is JobState.SUCCEEDED
    assert machine.output() == b"begun\n"


def test_whoever_starts_a_runner_learns_that_there_is_one(machine: Machine) -> None:
    machine.spec("import time\nprint('ready', flush=True)\ntime.sleep(300)")
    machine.start()
    until(lambda: b"ready\n" in machine.stream())
    assert machine.start(detach=True).wait(20) == ATTEMPT_IS_KEPT
    assert machine.output() == b"ready\n"


def test_a_runner_killed_again_and_again_gives_up_in_words(machine: Machine) -> None:
    machine.spec("import time\nprint('ready', flush=True)\ntime.sleep(300)")
    keeper = machine.start()
    until(lambda: b"ready\n" in machine.stream())
    for _ in range(6):
        runner = until(lambda: runner_of(keeper))
        kill(runner.pid)
        until(lambda runner=runner: not runner.is_running() or runner.status() == psutil.STATUS_ZOMBIE)
    status = end_of(machine, keeper)
    assert status.state is JobState.FAILED
    assert status.cause is not None
    assert (status.cause.kind, "6 times" in status.cause.message) == ("runner", True)


@pytest.mark.parametrize("name", [b"SIGKILL", b"SIGTERM"])
def test_a_killed_script_is_told_from_a_killed_runner(machine: Machine, name: bytes) -> None:
    machine.spec("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(300)")
    keeper = machine.start()
    pid = int(until(machine.output).split()[0])
    os.kill(pid, getattr(signal, name.decode()))
    status = end_of(machine, keeper)
    assert status.state is JobState.FAILED
    assert status.cause is not None
    assert name.decode() in status.cause.message


def test_the_claim_names_the_keeper(machine: Machine) -> None:
    machine.spec(PRINTER)
    keeper = machine.start()
    until(lambda: b"line 5\n" in machine.stream())
    claim = json.loads(machine.store.get("jobs/job-1/attempts/1/claim.json").data)
    assert claim["pid"] == keeper.pid
    keeper.wait(60)


def test_an_end_that_could_not_be_stored_is_told_by_the_next_runner(machine: Machine) -> None:
    machine.run("print('well done')")
    key = AttemptKeys("job-1", 1).status
    ended = machine.status()
    lost = replace(ended, state=JobState.RUNNING, ended_at=None, exit_code=None)
    machine.store.put(key, lost.to_json())
    assert machine.start().wait(60) == 0
    assert (machine.status().state, machine.status().exit_code) == (JobState.SUCCEEDED, 0)
    assert machine.output() == b"well done\n"
