"""Jobs on this computer: the same runner, the record in a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import InvalidRequest, LaunchRefused
from runctl_jupyter.orchestration.targets.base import Place, Started
from runctl_jupyter.run_record import ATTEMPT_IS_KEPT, Cause, Claim, JobKeys, MachineAsked, NotFound

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.model import LaunchPlan
    from runctl_jupyter.orchestration.storage.store import Store
    from runctl_jupyter.run_record import JobSpec, Status

_START_S = 30.0


class LocalTarget:
    """The computer we are on, behind the `Target` protocol.

    Parameters
    ----------
    store
        The record, a folder.
    root
        Where the runner keeps what it would keep in ``/var/lib/runctl`` on a machine.
    """

    def __init__(self, store: Store, root: Path) -> None:
        self._store, self._root = store, root

    def check(self, on: str | None, asked: MachineAsked) -> Place:
        """Refuse what needs EC2; see `Target.check`."""
        if on is not None or not asked.says_nothing:
            flag = _flag(asked) if on is None else "--on"
            raise InvalidRequest(
                f"{flag} needs EC2, and the target is local.", "Leave it out, or choose a target: runctl use sandbox"
            )
        return Place()

    def plan(self, place: Place, name: str, ttl_s: float | None) -> LaunchPlan | None:
        """Nothing would be launched; see `Target.plan`."""
        return None

    def start(self, spec: JobSpec, attempt: int, place: Place) -> Started | None:
        """Start the runner as a detached process; see `Target.start`."""
        self._start(spec, attempt)
        return None

    def _start(self, spec: JobSpec, attempt: int) -> bool:
        """Start the runner; return whether one is there already."""
        command = [sys.executable, "-m", "runctl_jupyter.runner", "--record", self._store.uri]
        command += ["--job", spec.id, "--attempt", str(attempt), "--root", str(self._root), "--detach"]
        done = subprocess.run(command, env=_environ(), capture_output=True, text=True, timeout=_START_S, check=False)
        if done.returncode not in (0, ATTEMPT_IS_KEPT):
            said = done.stderr.strip().splitlines()
            raise LaunchRefused(
                f"The runner did not start: {said[-1] if said else f'exit code {done.returncode}'}.",
                f"See what lies in {self._root}.",
            )
        return done.returncode == ATTEMPT_IS_KEPT

    def revive(self, spec: JobSpec, status: Status) -> bool:
        """Start the runner once more; see `Target.revive`."""
        return self._start(spec, status.attempt)

    def probe(self, place: Place, script: str) -> str | None:
        """Run the script here; see `Target.probe`."""
        done = subprocess.run(
            ["sh", "-c", script], env=_environ(), capture_output=True, text=True, timeout=_START_S, check=False
        )
        return done.stdout

    def withdraw(self, job_id: str, attempt: int) -> None:
        """Nothing was launched; see `Target.withdraw`."""

    def verdict(self, job_id: str, status: Status) -> Cause | None:
        """Say nothing: this computer is there, we run on it; see `Target.verdict`."""
        return None

    def runner_is_gone(self, job_id: str, status: Status) -> bool:
        """Look whether the keeper's process lives; see `Target.runner_is_gone`."""
        try:
            claim = Claim.from_json(self._store.get(JobKeys(job_id).attempt(status.attempt).claim).data)
        except NotFound:
            return False
        if Path("/proc").is_dir():
            alive = Path(f"/proc/{claim.pid}/cmdline")
            return not (alive.exists() and job_id in alive.read_bytes().decode(errors="replace"))
        return not _runs(claim.pid)


def _flag(asked: MachineAsked) -> str:
    return "--instance-type" if asked.instance_types else "--gpu" if asked.gpu else "--spot"


def _environ() -> dict[str, str]:
    # On this computer the script's Python is the one we run in: it has the packages the user sees.
    return {"RUNCTL_PYTHON": sys.executable, **os.environ}


def _runs(pid: int) -> bool:
    return subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode == 0
