"""SIGKILL for whoever has a part in a training: nobody's death may cost a byte, a checkpoint, or the truth."""

from __future__ import annotations

import hashlib
import json
import signal
import uuid
from pathlib import Path

import psutil
import pytest

from runctl_jupyter.orchestration import Instance, Job, Runctl
from runctl_jupyter.run_record import JobState
from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.faults import script
from tests.faults.conftest import Row
from tests.faults.training import (
    Follower,
    Training,
    Watch,
    check_checkpoints,
    check_log,
    check_success,
    expected_log,
    objects_under,
    printed_on,
    processes_of,
    run_on,
    wait_for,
)
from tests.faults.victims import (
    Terminal,
    caretaker,
    is_cared_for,
    kill_caretakers,
    kill_runner,
    last_whole_line,
    script_of,
    set_pacing,
    terminal_of,
    with_deadline,
)
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine

TRAINING = Training(lines=150, rate=50.0)
ENDLESS = Training(lines=5000, rate=50.0)
FOLDER, SPOOL = '"${{RUNCTL_ROOT:-/var/lib/runctl}}/jobs/{}/1"', "spool/stream.log"


@pytest.fixture
def terminal(sandbox: Connection, engine: Engine, tmp_path: Path) -> Terminal:
    """A terminal in the project of `engine`."""
    engine({"train.py": Path(script.__file__).read_text("utf-8")})
    return terminal_of(sandbox, tmp_path / "project")


def words_of(training: Training) -> list[str]:
    """Return what a line says after ``train``, but for the machine."""
    arguments = ["--lines", training.lines, "--rate", training.rate, "--on-term", training.on_term]
    return ["train.py", "--", *map(str, arguments)]


@pytest.mark.parametrize("lines", [(60,), (30, 70, 110)], ids=["once", "three times"])
def test_the_runner(
    engine: Engine, machine: Instance, watcher: Runctl, boto: Boto, row: Row, lines: tuple[int, ...]
) -> None:
    job = TRAINING.start(engine, on=machine.id)
    with Watch(watcher, job.id) as watch:
        follower = Follower(job)
        for line in lines:
            follower.await_line(line)
            kill_runner(job)
        assert follower.result() == expected_log(TRAINING.lines)
        job.wait(60)
        count = check_success(job, boto, TRAINING)
    assert watch.failures == []
    # A runner that is killed while it waits for the end of a line has not said it yet.
    assert 1 <= job.logs().read().count(b"runctl: the runner was killed; another one goes on") <= len(lines)
    row(f"kill -9 runner, {len(lines)}x", job, count, hits=len(lines))


def test_the_runner_of_a_job_with_its_own_machine(engine: Engine, boto: Boto, row: Row) -> None:
    job = TRAINING.start(engine, instance_type="m5.large")
    follower = Follower(job)
    follower.await_line(40)
    kill_runner(job)
    assert follower.result() == expected_log(TRAINING.lines)
    job.wait(60)
    count = check_success(job, boto, TRAINING)
    assert job.instance_id is not None
    engine({}).instances.wait(job.instance_id, until="terminated", timeout=60)
    row("kill -9 runner, own machine", job, count, hits=1)


@pytest.mark.parametrize("own", [False, True], ids=["on a machine", "own machine"])
def test_keeper_and_runner(
    engine: Engine, boto: Boto, row: Row, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, own: bool
) -> None:
    """Nobody is left who could say anything: a reader finds that out and starts a runner that saves what there is."""
    set_pacing(monkeypatch, with_deadline(5.0))
    where = {"instance_type": "m5.large"} if own else {"on": request.getfixturevalue("machine").id}
    job = ENDLESS.start(engine, **where)
    with Watch(engine({}), job.id) as watch:
        follower = Follower(job)
        follower.await_line(80)
        kill_caretakers(job)
        job.refresh()
        assert job.instance_id is not None
        told = run_on(boto, job.instance_id, f"cd {FOLDER.format(job.id)} && wc -c < {SPOOL} && sha256sum < {SPOOL}")
        printed = printed_on(boto, job)
        job.wait(60)
    assert watch.failures == []
    assert job.state is JobState.INTERRUPTED
    assert job.cause is not None
    assert (job.cause.kind, "killed" in job.cause.message) == ("machine", True)
    size, digest, _ = told.split()
    spooled = job.logs().read()[: int(size)]
    assert hashlib.sha256(spooled).hexdigest() == digest
    follower.result()
    # What waited in the pipe, which nobody held open any more, was never on the disk.
    count = check_log(job, ENDLESS, printed=last_whole_line(spooled))
    assert follower.got == job.logs(script_only=True).read()
    check_checkpoints(job, boto, ENDLESS, printed=printed)
    assert processes_of(job.id) == []
    wait_for(lambda: not is_cared_for(job), "the end of the last runner")
    if own:
        engine({}).instances.wait(job.instance_id, until="terminated", timeout=60)
    row(f"kill -9 keeper and runner{', own machine' if own else ''}", job, count, hits=2)


def test_the_keeper(engine: Engine, machine: Instance, watcher: Runctl, boto: Boto, row: Row) -> None:
    job = TRAINING.start(engine, on=machine.id)
    with Watch(watcher, job.id) as watch:
        follower = Follower(job)
        follower.await_line(40)
        caretaker(job, "runctl-keeper").kill()
        assert follower.result() == expected_log(TRAINING.lines)
        job.wait(60)
        count = check_success(job, boto, TRAINING)
    assert watch.failures == []
    row("kill -9 keeper", job, count, hits=1)


def test_the_training(engine: Engine, machine: Instance, watcher: Runctl, boto: Boto, row: Row) -> None:
    job = ENDLESS.start(engine, on=machine.id)
    with Watch(watcher, job.id) as watch:
        follower = Follower(job)
        follower.await_line(70)
        script_of(job).kill()
        log = follower.result()
        job.wait(60)
        printed = printed_on(boto, job)
        count = check_log(job, ENDLESS, printed=printed)
        check_checkpoints(job, boto, ENDLESS, printed=printed)
    assert watch.failures == []
    assert log == job.logs(script_only=True).read()
    assert job.state is JobState.FAILED
    assert job.cause is not None
    assert (job.cause.kind, job.cause.signal) == ("signal", signal.SIGKILL)
    assert "SIGKILL" in job.cause.message
    assert job.exit_code == 128 + signal.SIGKILL
    row("kill -9 the training", job, count, hits=1)


def test_the_training_on_its_own_machine(engine: Engine, boto: Boto, row: Row) -> None:
    job = ENDLESS.start(engine, instance_type="m5.large")
    follower = Follower(job)
    follower.await_line(30)
    script_of(job).kill()
    log = follower.result()
    job.wait(60)
    assert (job.state, job.exit_code) == (JobState.FAILED, 128 + signal.SIGKILL)
    count = check_log(job, ENDLESS, printed=last_whole_line(log))
    assert job.instance_id is not None
    engine({}).instances.wait(job.instance_id, until="terminated", timeout=60)
    row("kill -9 the training, own machine", job, count, hits=1)


WORKERS = """\
import multiprocessing, os, pathlib, signal, time

def work():
    while True:
        time.sleep(1)

if __name__ == "__main__":
    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    for i in range(20):
        print("before", i, flush=True)
    print("WORKER", flush=True)
    worker.join()
    print("the worker ended with", worker.exitcode, flush=True)
    for i in range(20):
        print("after", i, flush=True)
"""


def test_a_worker_of_the_training(engine: Engine, machine: Instance) -> None:
    job = engine({"workers.py": WORKERS}).jobs.train("workers.py", on=machine.id)
    assert isinstance(job, Job)
    wait_for(lambda: b"WORKER" in job.logs(script_only=True).read(), "the worker")
    (worker,) = script_of(job).children()
    worker.kill()
    job.wait(60)
    told = [
        *(f"before {i}" for i in range(20)),
        "WORKER",
        "the worker ended with -9",
        *(f"after {i}" for i in range(20)),
    ]
    assert job.logs(script_only=True).text().splitlines() == told
    assert (job.state, job.exit_code) == (JobState.SUCCEEDED, 0)


def test_the_agent(
    sandbox: Connection, engine: Engine, machine: Instance, watcher: Runctl, boto: Boto, row: Row
) -> None:
    job = TRAINING.start(engine, on=machine.id)
    with Watch(watcher, job.id) as watch:
        follower = Follower(job)
        follower.await_line(40)
        faults_client.kill_agent(sandbox, machine.id)
        assert follower.result() == expected_log(TRAINING.lines)
        job.wait(60)
        count = check_success(job, boto, TRAINING)
    assert watch.failures == []
    row("kill -9 the SSM agent", job, count, hits=1)
    rc = engine({})
    rc.instances.wait(machine.id, timeout=60)
    assert run_on(boto, machine.id, "echo back") == "back\n"


def test_the_client_that_has_just_launched(
    terminal: Terminal, engine: Engine, machine: Instance, boto: Boto, row: Row
) -> None:
    line = terminal.start("train", "--json", "--on", machine.id, *words_of(TRAINING))
    assert line.stdout is not None
    shown = json.loads(line.stdout.readline())
    line.kill()
    line.communicate(timeout=30)
    job = engine({}).jobs.get(shown["id"]).wait(60)
    row("kill -9 the client after train", job, check_success(job, boto, TRAINING), hits=1)


def test_one_of_two_followers(terminal: Terminal, engine: Engine, machine: Instance, boto: Boto, row: Row) -> None:
    job = TRAINING.start(engine, on=machine.id).launched(60)
    lines = [terminal.start("logs", job.id, "--follow", "--raw") for _ in range(2)]
    for line in lines:
        assert line.stdout is not None
        assert line.stdout.read(100) == expected_log(TRAINING.lines)[:100]
    lines[0].kill()
    lines[0].communicate(timeout=30)
    assert lines[1].stdout is not None
    assert lines[1].stdout.read() == expected_log(TRAINING.lines)[100:]
    lines[1].communicate(timeout=30)
    assert lines[1].returncode == 0
    job.wait(60)
    row("kill -9 one of two followers", job, check_success(job, boto, TRAINING), hits=1)


def test_two_clients_resume_the_same_job(
    terminal: Terminal, engine: Engine, machine: Instance, boto: Boto, row: Row
) -> None:
    job = ENDLESS.start(engine, on=machine.id)
    follower = Follower(job)
    follower.await_line(35)
    script_of(job).kill()
    job.wait(60)
    lines = [terminal.start("resume", job.id, "--json") for _ in range(2)]
    told = [line.communicate(timeout=60) for line in lines]
    won, lost = sorted(range(2), key=lambda i: lines[i].returncode)
    assert [lines[won].returncode, lines[lost].returncode] == [0, 2], told
    assert json.loads(told[won][0])["attempt"] == 2
    what, advice = told[lost][1].decode().splitlines()
    assert job.id in what
    assert "attach" in advice
    attempts = {key.split("/")[3] for key in objects_under(boto, f"jobs/{job.id}/attempts/")}
    assert attempts == {"1", "2"}
    wait_for(lambda: job.refresh().state is JobState.RUNNING, "attempt 2")
    assert len([p for p in processes_of(job.id) if "train.py" in " ".join(p.cmdline())]) == 1
    assert job.cancel().state is JobState.CANCELLED
    row("two clients resume one job", job, check_log(job, ENDLESS, attempt=1, printed=printed_on(boto, job)), hits=2)


DAEMONS = """\
import os, subprocess, sys, time
token = sys.argv[1]
ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)  # "
subprocess.Popen(["setsid", "sleep", "600." + token])
subprocess.Popen(["sh", "-c", "setsid sh -c 'exec sleep 601." + token + "' & exit 0"]).wait()
subprocess.Popen(["env", "-i", "setsid", sys.executable, "-c", ignore + "602." + token], stdout=subprocess.DEVNULL)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("how", ["cancelled", "its runner was killed before", "it ended by itself"])
def test_nothing_of_a_job_outlives_it(
    engine: Engine, machine: Instance, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Grandchildren in sessions of their own, with an empty environment, deaf to SIGTERM."""
    set_pacing(monkeypatch, grace_s=1.0)
    token = str(uuid.uuid4().int)[:12]
    source = DAEMONS.replace("time.sleep(600)\n", "") if how == "it ended by itself" else DAEMONS
    job = engine({"daemons.py": source}).jobs.train("daemons.py", arguments=[token], on=machine.id)
    assert isinstance(job, Job)

    def daemons() -> list[str]:
        lines = (" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"]))
        return sorted(line for line in lines if f".{token}" in line and "setsid" not in line)

    if how == "it ended by itself":
        job.wait(60)
        assert job.logs(script_only=True).read() == b"ready\n"
    else:
        wait_for(lambda: job.logs(script_only=True).read() == b"ready\n" and len(daemons()) == 3, "three daemons")
        if how == "its runner was killed before":
            kill_runner(job)
        job.cancel()
    assert daemons() == []
    assert processes_of(job.id) == []
    assert job.state is (JobState.SUCCEEDED if how == "it ended by itself" else JobState.CANCELLED)
