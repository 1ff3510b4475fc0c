"""The runner lets go of its starter, and is a unit of its own where there is systemd."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

from runctl_jupyter.run_record import JobState
from runctl_jupyter.runner.detach import unit_command, unit_name
from tests.runner.machines import Machine, until


def command(machine: Machine) -> list[str]:
    start = [sys.executable, "-m", "runctl_jupyter.runner", "--record", str(machine.store.root), "--job", "job-1"]
    return [*start, "--attempt", "1", "--root", str(machine.root), "--detach"]


def test_the_starters_pipes_close_and_its_group_can_die(machine: Machine) -> None:
    """As SSM's agent does it: waits for the pipes, kills the process group."""
    machine.spec("import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\nprint('after')")
    starter = subprocess.Popen(
        ["sh", "-c", '"$@"; echo started', "sh", *command(machine)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "RUNCTL_PYTHON": sys.executable},
    )
    out, err = starter.communicate(timeout=30)  # returns only when nobody holds the pipes any more
    pid = int(out.split()[0])
    assert (out.split()[1], err) == (b"started", b"")
    runner = psutil.Process(pid)
    assert os.getsid(pid) != starter.pid
    assert {file.name for file in (Path(f"/proc/{pid}/fd/{n}").readlink() for n in (0, 1, 2))} == {
        "null",
        "runner.log",
    }
    assert runner.is_running()
    (work,) = until(lambda: list(machine.root.glob("jobs/*/*/work")))
    until(lambda: (found := machine.maybe_status()) and found.state is JobState.RUNNING)
    (work / "go").touch()
    until(lambda: (found := machine.maybe_status()) and found.state is JobState.SUCCEEDED)
    assert machine.output() == b"after\n"
    until(lambda: not psutil.pid_exists(pid))


def test_the_starter_is_told_when_nothing_was_started(machine: Machine) -> None:
    machine.root.parent.mkdir(parents=True, exist_ok=True)
    machine.root.write_text("a file where the folder should be")
    done = subprocess.run(command(machine), capture_output=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stdout == b""
    assert len(done.stderr.splitlines()) == 2


def test_the_unit_is_the_agents_in_nothing(tmp_path: Path) -> None:
    environ = {
        "PATH": "/bin",
        "AWS_REGION": "eu-west-1",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SESSION_TOKEN": "t",
        "HTTPS_PROXY": "http://proxy",
        "RUNCTL_ROOT": "/r",
        "SSM_COMMAND_ID": "c",
    }
    log = tmp_path / "runner.log"
    argv = unit_command(
        "/usr/bin/systemd-run",
        "/usr/bin/python3",
        ["/opt/main.py"],
        ["--job", "j", "--detach", "--attempt", "2"],
        unit=unit_name("j", 2),
        log=log,
        folder=tmp_path,
        environ=environ,
    )
    assert argv[:2] == ["/usr/bin/systemd-run", "--unit=runctl-j-2.service"]
    assert argv[-6:] == ["/usr/bin/python3", "/opt/main.py", "--job", "j", "--attempt", "2"]
    properties = dict(a.removeprefix("--property=").split("=", 1) for a in argv if a.startswith("--property="))
    assert properties["KillMode"] == "mixed", "the runner alone gets SIGTERM, and ends the training with grace"
    assert properties["OOMPolicy"] == "continue", "the runner outlives a training that runs out of memory"
    assert float(properties["TimeoutStopSec"]) > 90
    assert properties["StandardOutput"] == f"append:{log}"
    passed = {a.removeprefix("--setenv=") for a in argv if a.startswith("--setenv=")}
    assert passed == {"PATH", "AWS_REGION", "HTTPS_PROXY", "RUNCTL_ROOT"}
    assert "--collect" in argv


def test_a_units_name_is_one_that_systemd_takes() -> None:
    assert unit_name("a/b c@d", 1) == "runctl-a-b-c-d-1.service"
