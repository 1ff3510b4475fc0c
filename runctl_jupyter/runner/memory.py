"""Whether the kernel has killed for lack of memory: its own counters, never a guess."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Optional

_PROC = Path("/proc")
_OOM_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def kills_for_memory(proc: Path = _PROC) -> int:
    """Return how many processes the kernel has killed for lack of memory; only the difference of two calls counts.

    Those of this process's own control group where it has one that counts, since they can only be ours; else
    those of the whole machine since boot. 0 where the kernel does not tell.
    """
    counters = [*_own_groups(proc), proc / "vmstat"]
    return next((count for count in map(_count, counters) if count is not None), 0)


def _count(path: Path) -> Optional[int]:
    try:
        found = _OOM_KILLS.search(path.read_text())
    except OSError:
        return None
    return int(found.group(1)) if found else None


def _own_groups(proc: Path) -> list[Path]:
    """Return files with the counter of the own memory group (cgroups(7)): version 2, else version 1."""
    try:
        rows = (proc / "self" / "cgroup").read_text().splitlines()
        mounts = (proc / "self" / "mountinfo").read_text().splitlines()
    except OSError:
        return []
    found = []
    for row in sorted(rows, key=lambda row: not row.startswith("0::")):
        number, controllers, path = row.split(":", 2)
        if number == "0":
            folder, name = _mounted(mounts, "cgroup2", None, path), "memory.events"
        elif "memory" in controllers.split(","):
            folder, name = _mounted(mounts, "cgroup", "memory", path), "memory.oom_control"
        else:
            continue
        if folder is not None:
            found.append(folder / name)
    return found


def _mounted(mounts: list[str], kind: str, option: Optional[str], path: str) -> Optional[Path]:
    """Return where the group `path` is to be seen: proc_pid_mountinfo(5), fields 4 and 5, and what follows the dash."""
    for mount in mounts:
        own, _, rest = mount.partition(" - ")
        root, point = own.split()[3:5]
        kind_found, _, options = rest.split(" ", 2)
        inside = root in ("/", path) or path.startswith(f"{root}/")
        if kind_found == kind and inside and (option is None or option in options.split(",")):
            return Path(point) / (path if root == "/" else path[len(root) :]).lstrip("/")
    return None
