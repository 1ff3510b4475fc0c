"""Find and end every process of a plain machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import psutil

from runctl_jupyter.sandbox.hosts.base import HostError
from runctl_jupyter.sandbox.hosts.environment import TAG

KILL_TIMEOUT_S = 10.0


def _is_tagged(process: psutil.Process, instance_ids: frozenset[str]) -> bool:
    try:
        return process.environ().get(TAG) in instance_ids
    except (psutil.Error, OSError):  # ended meanwhile, or another user's
        return False


def _living(processes: Iterator[psutil.Process]) -> set[psutil.Process]:
    """Those that have not ended; a zombie whose parent never asks for it has."""
    found = set()
    for process in processes:
        try:
            if process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.add(process)
        except psutil.NoSuchProcess:
            continue
    return found


def machine_processes(instance_ids: frozenset[str], first_pid: int | None = None) -> set[psutil.Process]:
    """Find processes whose environment carries one of the ids, and every descendant of `first_pid`.

    The two complete each other: a program may clear its environment, and on Linux the first process adopts
    whatever is orphaned below it, so that nothing it started can leave its tree while it lives.
    """
    found = _living(p for p in psutil.process_iter() if _is_tagged(p, instance_ids))
    if first_pid is not None:
        try:
            first = psutil.Process(first_pid)
            found |= _living(iter([first, *first.children(recursive=True)]))
        except psutil.NoSuchProcess:
            return found
    return found


def kill_machine(instance_ids: frozenset[str], first_pid: int | None = None) -> None:
    """SIGKILL all `machine_processes`, the first process last, again and again until none is left.

    Raises
    ------
    HostError
        Some did not end within `KILL_TIMEOUT_S` (uninterruptible input or output).
    """
    deadline = time.monotonic() + KILL_TIMEOUT_S
    while left := machine_processes(instance_ids, first_pid):
        # The first process stays until it is alone: it keeps orphans findable and reaps them.
        victims = {p for p in left if p.pid != first_pid} or left
        for process in victims:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        if time.monotonic() > deadline:
            pids = sorted(process.pid for process in left)
            raise HostError(f"processes {pids} do not end after SIGKILL")
        psutil.wait_procs(victims, timeout=0.2)
