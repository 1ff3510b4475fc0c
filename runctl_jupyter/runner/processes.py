"""The processes of this machine, as far as they come from this one."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

_PR_SET_NAME = 15  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")
_START_FIELD = 19  # of /proc/PID/stat, counted behind the name: proc(5), starttime
_LOOK_S = 0.02
_keeper: Optional[int] = None


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


def call_this(name: str) -> None:
    """Name this process for ``ps`` and ``top``; 15 characters at most, on Linux alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def kept_by(keeper: int) -> None:
    """Tell that `keeper` is this process's parent and takes over its children if it is killed."""
    global _keeper  # noqa: PLW0603 - a fact of the whole process, like its parent
    _keeper = keeper


def keeper_or_self() -> int:
    """Return the process that stands for the job: the keeper, as long as there is one."""
    return _keeper if _keeper is not None and os.getppid() == _keeper else os.getpid()


def descendants(root: Optional[int] = None) -> list[Process]:
    """Return all processes of the job, zombies too: what comes from this process or from one that was in its place.

    Parameters
    ----------
    root
        Look below this process instead; itself is not among them.
    """
    own = os.getpid()
    if root is None:
        # A keeper that is gone has left its orphans to this process, which is a subreaper itself.
        root = keeper_or_self()
    children: dict[int, list[Process]] = {}
    for process in _table():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += [process.pid for process in below]
    return [process for process in found if process.pid != own]


def start_time(pid: int) -> Optional[int]:
    """Return when a process was started, in clock ticks since boot: with the pid it names one process for ever.

    None when it is gone (a zombie is not), or where there is no ``/proc``.
    """
    try:
        with (_PROC / str(pid) / "stat").open("rb") as stream:
            return int(stream.read().rpartition(b")")[2].split()[_START_FIELD])
    except (OSError, ValueError, IndexError):
        return None


def with_variables(wanted: Mapping[str, str]) -> list[int]:
    """Return the processes, of this user, that were started with all these environment variables."""
    entries = {f"{name}={value}".encode() for name, value in wanted.items()}
    found = []
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if entries <= set((entry / "environ").read_bytes().split(b"\0")):
                    found.append(int(entry.name))
            except OSError:
                continue  # gone, or not ours to look into
    return found


def send(processes: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes, some of which may be gone by now."""
    for pid in processes:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue  # gone, or a set-uid program that only its owner may end


def send_and_wait(find: Callable[[], list[int]], grace_s: float) -> None:
    """End all processes that `find` finds: SIGTERM, time to end, SIGKILL; return when it finds none."""
    kill_at = time.monotonic() + grace_s
    found = find()
    send(found, signal.SIGTERM)
    while found:
        time.sleep(_LOOK_S)
        found = find()
        if time.monotonic() >= kill_at:
            send(found, signal.SIGKILL)


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
