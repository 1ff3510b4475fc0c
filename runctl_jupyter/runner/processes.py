"""The processes of this machine, as far as they come from this one."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A row of the process table."""

    pid: int
    parent: int
    group: int
    zombie: bool


def become_subreaper() -> bool:
    """Let orphaned descendants become children of this process, so that none can slip away.

    Returns
    -------
    bool
        False where the system has no such thing (macOS).
    """
    if sys.platform != "linux":
        return False
    done: int = ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    return done == 0


def descendants(root: Optional[int] = None) -> list[Process]:
    """Return all descendants of `root` (this process), zombies too, without `root` itself."""
    children: dict[int, list[Process]] = {}
    for process in _table():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    waiting = [os.getpid() if root is None else root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += [process.pid for process in below]
    return found


def send(processes: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes, some of which may be gone by now."""
    for pid in processes:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue  # gone, or a set-uid program that only its owner may end


def reap(zombies: Iterable[int]) -> None:
    """Take the exit status of children that this process has inherited."""
    for pid in zombies:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue  # a grandchild: its own parent will


def written_files(processes: Iterable[int]) -> set[tuple[int, int]]:
    """Return device and inode of each file that one of `processes` has open for writing.

    Empty where there is no ``/proc``.
    """
    found: set[tuple[int, int]] = set()
    for pid in processes:
        try:
            handles = [entry.name for entry in (_PROC / str(pid) / "fd").iterdir()]
        except OSError:
            continue  # gone, or not ours to look into
        for handle in handles:
            try:
                flags = (_PROC / str(pid) / "fdinfo" / handle).read_text().partition("flags:")[2].split()[0]
                if int(flags, 8) & os.O_ACCMODE != os.O_RDONLY:
                    status = (_PROC / str(pid) / "fd" / handle).stat()
                    found.add((status.st_dev, status.st_ino))
            except (OSError, IndexError):
                continue  # closed meanwhile
    return found


def _table() -> list[Process]:
    if sys.platform != "linux":
        return _table_by_ps()
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                with (entry / "stat").open("rb") as stream:
                    # The name stands in brackets and may itself hold brackets and spaces.
                    state, parent, group = stream.read().rpartition(b")")[2].split()[:3]
            except (OSError, ValueError):
                continue  # gone meanwhile
            found.append(Process(int(entry.name), int(parent), int(group), state in (b"Z", b"X")))
    return found


def _table_by_ps() -> list[Process]:
    text = subprocess.run(["ps", "-axo", "pid=,ppid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in text.splitlines())
    return [Process(int(row[0]), int(row[1]), int(row[2]), row[3].startswith("Z")) for row in rows if len(row) >= 4]
