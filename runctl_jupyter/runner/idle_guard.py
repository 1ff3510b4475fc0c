"""Powers the machine off when nothing has used it for so long: ``create --idle-stop``.

A program of its own, started at each boot. It travels inside the machine's user data, with `activity` and `power`,
and needs no network: a machine that nobody can reach any more must end all the same.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Callable, Optional

from runctl_jupyter.runner.activity import PROC, QUIET_MACHINE, GpuGauge, Process, QuietSpell, below, processes, usage
from runctl_jupyter.runner.power import power_off

_RUNNER = re.compile(r"(?:\brunctl_jupyter\.runner|/runner/[0-9a-f]{64}/main\.py)\0(?:.*\0)?--job\0", re.DOTALL)
"""A runner's command line: the installed package, or the bundle that lies under the hash of its bytes."""
_SSH_SESSION = re.compile(r"sshd(?:-session)?: [^\s@\[]+@")
"""``sshd: ubuntu@pts/0``; not the listener, and not a stranger who tries passwords."""
_AGENT_WORKERS = frozenset({"ssm-session-worker", "ssm-document-worker"})
"""Of Systems Manager: a session somebody has open, a command that runs."""
_WHO_PID = re.compile(r"\s(?:\.|\?|old|\d\d:\d\d)\s+(\d+)(?=\s|$)", re.MULTILINE)
"""The column after the idle time of ``who -u``."""
_WHO_ANSWER_S = 10.0


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Watch until the machine is idle, then power it off."""
    parser = argparse.ArgumentParser(prog="runctl-idle-guard", description="Power off a machine that is not used.")
    parser.add_argument("--idle-stop", required=True, type=float, metavar="SECONDS", help="how long it may be idle")
    options = parser.parse_args(arguments)
    if not (PROC / "self" / "stat").exists():
        sys.stderr.write("This system has no /proc, so nobody can tell whether it is idle.\nIt stays until its TTL.\n")
        return 1
    watch = MachineWatch(options.idle_stop)
    while True:
        if watch.idle():
            moment = datetime.now(timezone.utc).isoformat(timespec="seconds")
            sys.stdout.write(f"{moment} nothing has used this machine for {options.idle_stop:g} s\n")
            sys.stdout.flush()
            power_off()  # again at the next look, should it be refused
        time.sleep(watch.look_every_s)


class MachineWatch:
    """Tells whether nobody and nothing has used the machine for `idle_stop_s` seconds.

    The machine is everything below the process that has adopted this one: init, or what stands for it in a
    machine that is itself only a part of one. Kernel threads work for others and do not count.
    """

    def __init__(
        self,
        idle_stop_s: float,
        *,
        proc: Path = PROC,
        clock: Callable[[], float] = time.monotonic,
        gpu: Optional[GpuGauge] = None,
        first_process: Callable[[], int] = os.getppid,
        logins: Optional[Callable[[], set[int]]] = None,
    ) -> None:
        self._proc = proc
        self._clock = clock
        self._first_process = first_process
        self._logins = logins or logged_in
        self._spell = QuietSpell(QUIET_MACHINE, idle_stop_s, gpu or GpuGauge())

    @property
    def look_every_s(self) -> float:
        """How often `idle` is to be asked."""
        return self._spell.look_every_s

    def idle(self) -> bool:
        """Look once; return whether the machine has been idle for so long."""
        seen = below(self._first_process(), processes(self._proc))
        seen = [each for each in seen if each.pid != os.getpid()]
        return self._spell.look(usage(seen, self._clock(), self._proc), lambda: self._visitor(seen))

    def _visitor(self, seen: list[Process]) -> Optional[str]:
        """Return who is there although all is quiet: a job of ours, or a person."""
        for each in seen:
            what = visitor_by_command(self._command(each.pid))
            if what is not None:
                return what
        return "login" if self._logins() & {each.pid for each in seen} else None

    def _command(self, pid: int) -> str:
        try:
            return (self._proc / str(pid) / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            return ""  # gone meanwhile


def visitor_by_command(command: str) -> Optional[str]:
    """Return ``job``, ``session`` or None, by a command line as ``/proc`` has it."""
    if _RUNNER.search(command):
        return "job"
    program = command.partition("\0")[0].rpartition("/")[2]
    return "session" if program in _AGENT_WORKERS or _SSH_SESSION.match(command) else None


def logged_in() -> set[int]:
    """Return the processes of logins, as the system's own record of them (utmp) has it."""
    try:
        said = subprocess.run(
            ["who", "-u"],
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_WHO_ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return set()  # no such record: sessions are still seen by their processes
    return {int(pid) for pid in _WHO_PID.findall(said.stdout.decode(errors="replace"))}


if __name__ == "__main__":
    sys.exit(main())
