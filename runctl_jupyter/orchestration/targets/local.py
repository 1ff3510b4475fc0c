"""Jobs on this computer: the same runner, the record in a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import InvalidRequest, LaunchRefused
from runctl_jupyter.orchestration.targets.base import Place
from runctl_jupyter.run_record import Cause, Claim, JobKeys, NotFound

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

    def check(self, on: str | None, instance_type: str | None) -> Place:
        """Refuse what needs EC2; see `Target.check`."""
        if on is not None or instance_type is not None:
            flag = "--on" if on is not None else "--instance-type"
            raise InvalidRequest(
                f"{flag} needs EC2, and the target is local.", "Leave it out, or choose a target: runctl use sandbox"
            )
        return Place()

    def plan(self, place: Place, name: str, ttl_s: float | None) -> LaunchPlan | None:
        """Nothing would be launched; see `Target.plan`."""
        return None

    def start(self, spec: JobSpec, place: Place) -> str | None:
        """Start the runner as a detached process; see `Target.start`."""
        command = [sys.executable, "-m", "runctl_jupyter.runner", "--record", self._store.uri]
        command += ["--job", spec.id, "--attempt", "1", "--root", str(self._root), "--detach"]
        # On this computer the script's Python is the one we run in: it has the packages the user sees.
        env = {"RUNCTL_PYTHON": sys.executable, **os.environ}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=_START_S, check=False)
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()
            raise LaunchRefused(
                f"The runner did not start: {said[-1] if said else f'exit code {done.returncode}'}.",
                f"See what lies in {self._root}.",
            )
        return None

    def withdraw(self, job_id: str) -> None:
        """Nothing was launched; see `Target.withdraw`."""

    def verdict(self, job_id: str, status: Status) -> Cause | None:
        """Look whether the runner's process lives; see `Target.verdict`."""
        try:
            claim = Claim.from_json(self._store.get(JobKeys(job_id).attempt(status.attempt).claim).data)
        except NotFound:
            return None
        if Path("/proc").is_dir():
            alive = Path(f"/proc/{claim.pid}/cmdline")
            if alive.exists() and job_id in alive.read_bytes().decode(errors="replace"):
                return None
        elif _runs(claim.pid):
            return None
        return Cause("machine", f"the runner (process {claim.pid}) is gone; it was killed or the computer restarted")


def _runs(pid: int) -> bool:
    return subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode == 0
