"""The life of an attempt, by its effects: bytes in the record, processes on the machine."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path

import psutil
import pytest

from runctl_jupyter.run_record import AttemptKeys, Cause, JobKeys, JobState, Limits, PreconditionFailed, Status
from tests.runner.machines import Machine, until

PIDS = "import os; open('pids', 'a').write(f'{os.getpid()}\\n')\n"
SLEEPER = PIDS + "import time; print('ready', flush=True); time.sleep(300)\n"


def work(machine: Machine) -> Path:
    return machine.root / "jobs" / "job-1" / "1" / "work"


def test_a_script_that_ends_well(machine: Machine) -> None:
    status = machine.run("print('hello')")
    assert (status.state, status.exit_code, status.cause) == (JobState.SUCCEEDED, 0, None)
    assert machine.output() == b"hello\n"
    assert status.log_bytes == len(machine.stream())
    assert status.started_at
    assert status.ended_at


@pytest.mark.parametrize("code", [1, 3, 194, 255])
def test_the_exit_code_is_the_truth(machine: Machine, code: int) -> None:
    status = machine.run(f"print('Training complete'); raise SystemExit({code})")
    assert (status.state, status.exit_code) == (JobState.FAILED, code)
    assert status.cause is not None
    assert status.cause.kind == "exit"


def test_a_signal_is_named(machine: Machine) -> None:
    status = machine.run("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert (status.state, status.exit_code) == (JobState.FAILED, 128 + signal.SIGSEGV)
    assert status.cause is not None
    assert (status.cause.kind, status.cause.signal) == ("signal", signal.SIGSEGV)


AWKWARD = (
    b"\x00\xff\xfe",
    b"bar 10%\rbar 20%\rbar 100%\n",
    b"\x1b[31mred\x1b[0m\n",
    b"x" * 1_000_000 + b"\n",
    b"\n" * 3000,
    b"no newline at the end",
)


def test_every_byte_in_order_whatever_it_is(machine: Machine, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"".join(AWKWARD) * 5)
    script = f"import sys, pathlib; sys.stdout.buffer.write(pathlib.Path({str(data)!r}).read_bytes())"
    machine.run(script)
    assert machine.stream() == data.read_bytes()


def test_stdout_and_stderr_keep_their_order(machine: Machine) -> None:
    machine.run("import sys\nfor i in range(500): print(i, file=(sys.stdout, sys.stderr)[i % 2], flush=True)")
    assert machine.output().split() == [b"%d" % i for i in range(500)]


def test_lines_are_seen_while_it_runs(machine: Machine) -> None:
    machine.spec(SLEEPER)
    machine.start()
    until(lambda: b"ready\n" in machine.stream())
    status = until(machine.maybe_status)
    assert status is not None
    assert status.state in (JobState.STARTING, JobState.RUNNING)


def test_what_a_script_sees(machine: Machine) -> None:
    script = """
import json, os, pathlib
seen = {k: v for k, v in os.environ.items() if k.startswith(("RUNCTL_", "AWS_", "MINE"))}
print(json.dumps({"env": seen, "cwd": os.getcwd(), "argv": __import__("sys").argv[1:]}))
pathlib.Path(os.environ["RUNCTL_OUTPUT_DIR"], "sub").mkdir()
pathlib.Path(os.environ["RUNCTL_OUTPUT_DIR"], "sub", "r.txt").write_text("result")
"""
    fields = {"arguments": ["--a b", "c'd"], "env": {"MINE": "1"}, "params": {"lr": "0.1", "Depth": "3"}}
    assert machine.run(script, **fields).state is JobState.SUCCEEDED
    seen = json.loads(machine.output())
    env = seen["env"]
    assert seen["argv"] == ["--a b", "c'd"]
    assert Path(seen["cwd"]) == work(machine)
    assert env["RUNCTL_JOB_ID"] == "job-1"
    assert env["RUNCTL_ATTEMPT"] == "1"
    assert (env["RUNCTL_PARAM_LR"], env["RUNCTL_PARAM_DEPTH"]) == ("0.1", "3")
    assert json.loads(env["RUNCTL_PARAMS"]) == {"lr": "0.1", "Depth": "3"}
    assert Path(env["RUNCTL_CHECKPOINT_DIR"]) == work(machine) / "checkpoints"
    assert env["MINE"] == "1"
    assert "RUNCTL_RESUME_FROM" not in env
    assert machine.store.get(JobKeys("job-1").outputs_prefix + "sub/r.txt").data == b"result"


def test_two_runners_one_claim(machine: Machine) -> None:
    machine.spec(PIDS + "print('once')")
    runners = [machine.start() for _ in range(3)]
    codes = sorted(runner.wait(60) for runner in runners)
    assert codes[0] == 0
    # 3: another has it; 4: it has ended already.
    assert set(codes[1:]) <= {3, 4}
    assert machine.output() == b"once\n"
    assert len((work(machine) / "pids").read_text().split()) == 1


def test_cancel_ends_grandchildren_in_sessions_of_their_own(machine: Machine) -> None:
    script = (
        f"""
import subprocess, sys
for flag in (False, True):
    subprocess.Popen([sys.executable, "-c", {PIDS + "import time; time.sleep(300)"!r}], start_new_session=flag)
"""
        + SLEEPER
    )
    machine.spec(script)
    runner = machine.start()
    pids = work(machine) / "pids"
    until(lambda: pids.exists() and len(pids.read_text().split()) == 3)
    machine.store.put(AttemptKeys("job-1", 1).cancel, b"{}", create_only=True)
    until(lambda: (machine.maybe_status() or machine.status()).state is JobState.CANCELLED)
    assert not [pid for pid in pids.read_text().split() if psutil.pid_exists(int(pid))]
    assert runner.wait(20) == 0
    cause = machine.status().cause
    assert cause is not None
    assert cause.kind == "user"


def test_sigterm_means_save_now(machine: Machine) -> None:
    script = """
import os, pathlib, signal, sys, time
def save(*_):
    time.sleep(0.3)
    pathlib.Path(os.environ["RUNCTL_CHECKPOINT_DIR"], "step_7.bin").write_bytes(b"saved")
    print("saved", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
time.sleep(300)
"""
    machine.spec(script)
    runner = machine.start()
    until(lambda: b"ready" in machine.stream())
    machine.store.put(AttemptKeys("job-1", 1).cancel, b"{}")
    assert runner.wait(30) == 0
    assert machine.status().state is JobState.CANCELLED
    assert machine.output().endswith(b"saved\n")
    assert [(m.name, m.step) for m in machine.manifests()] == [("step_7.bin", 7)]


def test_who_ignores_sigterm_is_killed_after_the_grace(machine: Machine) -> None:
    script = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPER
    machine.spec(script, limits=Limits(grace_s=0.5))
    runner = machine.start()
    until(lambda: b"ready" in machine.stream())
    machine.store.put(AttemptKeys("job-1", 1).cancel, b"{}")
    assert runner.wait(30) == 0
    assert not psutil.pid_exists(int((work(machine) / "pids").read_text()))


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        (Limits(timeout_s=0.5), "timeout"),
        (Limits(ttl_s=1.0), "ttl"),
    ],
)
def test_limits_cap_the_job(machine: Machine, limits: Limits, kind: str) -> None:
    status = machine.run(SLEEPER, limits=limits)
    assert status.state is JobState.CAPPED
    assert status.cause is not None
    assert status.cause.kind == kind
    assert not psutil.pid_exists(int((work(machine) / "pids").read_text()))


def test_money_that_is_not_enough_for_the_first_minute_starts_nothing(machine: Machine) -> None:
    """EC2 bills a minute at least: 0.60 USD here, more than the limit."""
    status = machine.run(SLEEPER, limits=Limits(max_cost_usd=0.01), price_per_hour=36.0)
    assert status.state is JobState.CAPPED
    assert status.cause is not None
    assert status.cause.kind == "max-cost"
    assert not (work(machine) / "pids").exists()


def test_an_end_written_by_somebody_else_stays(machine: Machine) -> None:
    machine.spec(SLEEPER)
    runner = machine.start()
    until(lambda: b"ready" in machine.stream())
    key = AttemptKeys("job-1", 1).status
    lost = Status("job-1", 1, JobState.LOST, "2026-01-01T00:00:00.000Z", cause=Cause("machine", "silent"))

    def declare() -> bool:
        try:
            machine.store.put(key, lost.to_json(), if_etag=machine.store.get(key).etag)
        except PreconditionFailed:
            return False
        return True

    until(declare)
    assert runner.wait(30) == 4
    assert machine.status() == lost
    assert not psutil.pid_exists(int((work(machine) / "pids").read_text()))


def test_a_machine_that_shuts_down_interrupts(machine: Machine) -> None:
    machine.spec(SLEEPER, limits=Limits(grace_s=1.0))
    runner = machine.start()
    until(lambda: b"ready" in machine.stream())
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(30) == 0
    assert machine.status().state is JobState.INTERRUPTED


def test_a_script_that_is_not_there_says_so(machine: Machine) -> None:
    status = machine.run("x", script="other.py")
    assert (status.state, status.exit_code) == (JobState.FAILED, None)
    assert status.cause is not None
    assert status.cause.kind == "code"


def test_background_children_do_not_hold_the_job_open(machine: Machine) -> None:
    script = PIDS + (
        "import subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', {PIDS + 'import time; time.sleep(300)'!r}], start_new_session=True)\n"
        "import time\nwhile len(open('pids').read().split()) < 2: time.sleep(0.01)\n"
    )
    assert machine.run(script).state is JobState.SUCCEEDED
    assert not [pid for pid in (work(machine) / "pids").read_text().split() if psutil.pid_exists(int(pid))]


def test_store_errors_for_a_while_lose_and_double_nothing(machine: Machine, tmp_path: Path) -> None:
    """The store's folder is made unwritable for a while: a file stands where the logs go."""
    script = "import time\nfor i in range(60): print(i, flush=True); time.sleep(0.03)\n"
    machine.spec(script)
    logs = machine.store.path(AttemptKeys("job-1", 1).chunk(0)).parent
    logs.parent.mkdir(parents=True)
    logs.write_text("in the way")
    healed = threading.Timer(1.0, logs.unlink)
    healed.start()
    assert machine.start().wait(60) == 0, machine.log.read_text()
    healed.join()
    assert machine.status().state is JobState.SUCCEEDED
    assert machine.output().split() == [b"%d" % i for i in range(60)]


def test_detached_it_survives_its_starter(machine: Machine) -> None:
    import subprocess

    machine.spec("import time; time.sleep(0.5); print('after')")
    command = [sys.executable, "-m", "runctl_jupyter.runner", "--record", str(machine.store.root), "--job", "job-1"]
    command += ["--attempt", "1", "--root", str(machine.root), "--detach"]
    done = subprocess.run(command, capture_output=True, timeout=20, check=True)
    pid = int(done.stdout)
    assert psutil.Process(pid).ppid() != psutil.Process().pid
    until(lambda: (found := machine.maybe_status()) and found.state is JobState.SUCCEEDED)
    assert machine.output() == b"after\n"
    until(lambda: not psutil.pid_exists(pid))
