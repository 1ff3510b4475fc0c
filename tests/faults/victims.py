"""The processes that look after a job on its machine, for tests that kill them; and what lies on the machine's disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from runctl_jupyter.orchestration import Job
from runctl_jupyter.orchestration.jobs import submit
from runctl_jupyter.run_record import JobSpec, Limits, Pacing
from runctl_jupyter.sandbox.connection import Connection
from tests.faults.training import processes_of, wait_for
from tests.sandbox.doors.conftest import ROOT, Terminal

QUICK = Pacing(heartbeat_s=0.5, deadline_s=3.0, control_s=0.2)
"""The times after which a reader grows suspicious, so short that a test can wait for them."""


def set_pacing(monkeypatch: pytest.MonkeyPatch, pacing: Pacing = QUICK, grace_s: float = 90.0) -> None:
    """Let jobs that this process submits have another pacing, and another time between SIGTERM and SIGKILL."""
    monkeypatch.setattr(submit, "JobSpec", partial(JobSpec, pacing=pacing))
    monkeypatch.setattr(submit, "Limits", partial(Limits, grace_s=grace_s))


def with_deadline(seconds: float) -> Pacing:
    """Return the quick pacing with another deadline."""
    return replace(QUICK, deadline_s=seconds)


def _caring_for(job_id: str, name: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.name() == name and job_id in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it has ended, or belongs to somebody else


def caretaker(job: Job, name: str) -> psutil.Process:
    """Return the living ``runctl-keeper`` or ``runctl-runner`` of a job, on whatever machine of the sandbox it is."""
    found: list[psutil.Process] = []

    def look() -> bool:
        found[:] = _caring_for(job.id, name)
        return len(found) == 1

    wait_for(look, f"one {name} of {job.id}")
    return found[0]


def is_cared_for(job: Job) -> bool:
    """Tell whether a keeper or runner of the job lives."""
    return any(any(_caring_for(job.id, name)) for name in ("runctl-keeper", "runctl-runner"))


def kill_runner(job: Job) -> None:
    """SIGKILL the job's runner and wait until its keeper has another."""
    runner = caretaker(job, "runctl-runner")
    runner.kill()
    wait_for(lambda: not runner.is_running() or caretaker(job, "runctl-runner") != runner, "the next runner")


def kill_caretakers(job: Job) -> None:
    """SIGKILL the job's keeper and runner, at once."""
    both = [caretaker(job, "runctl-keeper"), caretaker(job, "runctl-runner")]
    for process in both:
        process.kill()
    wait_for(lambda: not any(process.is_running() for process in both), "the end of keeper and runner")


def script_of(job: Job) -> psutil.Process:
    """Return the process of the job's script: the oldest of its processes."""
    return min(processes_of(job.id), key=lambda process: process.create_time())


def on_disk(sandbox: Connection, instance_id: str, path: str) -> bytes:
    """Return a file of a machine's ``/var/lib/runctl``, from the disk of a machine that is off."""
    folder = Path(sandbox.home) / "hosts" / instance_id
    if sandbox.mode == "plain":
        return (folder / "root/var/lib/runctl" / path).read_bytes()
    # What the machine has changed lies in the upper layer of its overlay.
    command = ["debugfs", "-R", f"cat /upper/var/lib/runctl/{path}", str(folder / "root.img")]
    return subprocess.run(command, check=True, capture_output=True).stdout


def last_whole_line(log: bytes) -> int:
    """Return the number of the last line that a log holds to its end.

    What is longer than a pipe takes at once has no line feed but at its end.
    """
    last = max(int(line[5:11]) for line in log.split(b"\n") if line.startswith(b"line "))
    return last if log.endswith(b"\n") else last - 1


def terminal_of(sandbox: Connection, folder: Path) -> Terminal:
    """Return a terminal in a folder, whose lines go to the session's sandbox."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNCTL_", "AWS_"))}
    env = {"RUNCTL_SANDBOX_HOME": sandbox.home, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return Terminal(folder, {**kept, **env})
