"""What a runner must know that comes after one that was killed: written before it is needed, on the machine's disk."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from runctl_jupyter.runner.files import whole_file

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Identity:
    """Who runs the attempt, whichever process does it just now."""

    runner_id: str
    boot_id: str
    began: float
    """`time.monotonic` when it was made; means something as long as the machine has not booted again."""


@dataclass(frozen=True)
class StartedScript:
    """The script's process."""

    started_at: str
    """ISO 8601, for the status."""
    began: float
    """`time.monotonic` of the start."""
    pid: int
    start_time: Optional[int]
    """See `processes.start_time`."""
    memory_kills: int
    """The kernel's count of kills for memory before the start."""
    log_bytes: int = 0
    """Bytes of the log before the script's first."""


class Journal:
    """The journal of one attempt.

    Parameters
    ----------
    folder
        Where its files lie; must be there.
    """

    def __init__(self, folder: Path) -> None:
        self._identity = folder / "runner.json"
        self._script = folder / "script.json"
        self._exits = folder / "exits"
        self.begun = folder / "begun"
        """Exists once the script's first instruction may have been carried out."""

    def identity(self) -> tuple[Identity, bool]:
        """Return who runs the attempt, and whether another process has begun it before."""
        known = _read(self._identity)
        if known is not None:
            return Identity(**known), True
        made = Identity(os.urandom(16).hex(), boot_id(), time.monotonic())
        _write(self._identity, asdict(made))
        return made, False

    def note_script(self, script: StartedScript) -> None:
        """Write which process the script is going to be."""
        _write(self._script, asdict(script))

    def script(self) -> Optional[StartedScript]:
        """Return what is known of the script's process; None when there was none."""
        known = _read(self._script)
        return None if known is None else StartedScript(**known)

    def note_exit(self, pid: int, return_code: int) -> None:
        """Write how a process has ended, before anything is made of it."""
        try:
            with self._exits.open("ab", buffering=0) as stream:
                stream.write(b"%d %d\n" % (pid, return_code))
        except OSError as error:
            # Only needed if this process is killed within the next moments.
            sys.stderr.write(f"{self._exits}: {error}\n")

    def exit_of(self, pid: int) -> Optional[int]:
        """Return how a process has ended, as `subprocess.Popen.returncode`; None when that is not known (yet)."""
        try:
            lines = self._exits.read_text().splitlines()
        except FileNotFoundError:
            return None
        codes = [int(line.split()[1]) for line in lines if line.split()[:1] == [str(pid)]]
        return codes[-1] if codes else None


def boot_id() -> str:
    """Return what changes with each boot of the machine; empty where the system has no such thing."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _read(path: Path) -> Optional[dict[str, Any]]:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return found


def _write(path: Path, document: dict[str, Any]) -> None:
    with whole_file(path) as stream:
        stream.write(json.dumps(document).encode())
        stream.flush()
        os.fsync(stream.fileno())
