"""Memory and process limits of isolated machines, by control groups of either version."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

CGROUP_ROOT = Path("/sys/fs/cgroup")
REMOVE_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Limits:
    """Limits of one machine."""

    memory_mib: int
    processes: int


class LimitGroups:
    """Control groups of one sandbox: one parent per hierarchy, one child in each per machine."""

    def __init__(self, tag: str, root: Path = CGROUP_ROOT) -> None:
        """`tag` names this sandbox among others on the same machine; `root` is where cgroups are mounted."""
        controllers = root / "cgroup.controllers"
        self._unified = controllers.exists() and "memory" in controllers.read_text().split()
        hierarchies = [root] if self._unified else [root / "memory", root / "pids"]
        self._root = root
        self._tag = tag
        # The process id says to any later sandbox whether this one is still there.
        self._parents = [hierarchy / f"sbx-{tag}-{os.getpid()}" for hierarchy in hierarchies]

    def prepare(self) -> None:
        """Make the parents.

        Raises
        ------
        OSError
            No writable control groups here, or (version 2) the controllers cannot be delegated.
        """
        for parent in self._parents:
            if not parent.parent.is_dir():
                raise FileNotFoundError(errno.ENOENT, "no such control group hierarchy", str(parent.parent))
            if self._unified:
                (self._root / "cgroup.subtree_control").write_text("+memory +pids")
            parent.mkdir(exist_ok=True)
            if self._unified:
                (parent / "cgroup.subtree_control").write_text("+memory +pids")

    def create(self, name: str, limits: Limits) -> list[Path]:
        """Make the groups of machine `name`; a process joins by writing its pid to each of the returned files."""
        for parent in self._parents:
            group = parent / name
            group.mkdir(exist_ok=True)
            for file, value in self._settings(parent, limits).items():
                # Swap accounting is a kernel option: where it is off the file does not exist.
                if (group / file).exists() or "sw" not in file:
                    (group / file).write_text(str(value))
        return [parent / name / "cgroup.procs" for parent in self._parents]

    def _settings(self, parent: Path, limits: Limits) -> Mapping[str, int]:
        size = limits.memory_mib << 20
        if self._unified:
            return {"memory.max": size, "memory.swap.max": 0, "pids.max": limits.processes}
        if parent.parent.name == "memory":
            return {"memory.limit_in_bytes": size, "memory.memsw.limit_in_bytes": size}
        return {"pids.max": limits.processes}

    def _groups(self, name: str) -> Iterator[Path]:
        return (parent / name for parent in self._parents if (parent / name).is_dir())

    def remove(self, name: str) -> None:
        """Kill whatever is still in the groups of machine `name`, and remove them.

        Raises
        ------
        OSError
            A process does not end.
        """
        for group in self._groups(name):
            _empty_and_remove(group)

    def sweep(self) -> None:
        """Remove what crashed sandboxes left: this one's with its processes, other's where no process is left."""
        for hierarchy in {parent.parent for parent in self._parents}:
            for parent in hierarchy.glob("sbx-*-*"):
                _, tag, pid = parent.name.split("-")
                if tag == self._tag:
                    _remove_tree(parent)
                elif not psutil.pid_exists(int(pid)):
                    with contextlib.suppress(OSError):  # in use after all, or another sandbox sweeps as well
                        for group in filter(Path.is_dir, parent.iterdir()):
                            group.rmdir()
                        parent.rmdir()

    def close(self) -> None:
        """Remove the groups of every machine, and their parents."""
        for parent in self._parents:
            if parent.is_dir():
                _remove_tree(parent)


def _remove_tree(parent: Path) -> None:
    for group in [entry for entry in parent.iterdir() if entry.is_dir()]:
        _empty_and_remove(group)
    parent.rmdir()


def _empty_and_remove(group: Path) -> None:
    """SIGKILL what is in `group` until it can be removed: the kernel calls it busy until the last process is gone."""
    deadline = time.monotonic() + REMOVE_TIMEOUT_S
    while True:
        for pid in map(int, (group / "cgroup.procs").read_text().split()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            group.rmdir()
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)
