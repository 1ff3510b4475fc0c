"""Whether the kernel has killed for lack of memory: its own counters, never a guess."""

from __future__ import annotations

import re
from pathlib import Path

_VMSTAT = Path("/proc/vmstat")
_OOM_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def kills_for_memory() -> int:
    """Return how many processes the kernel has killed for lack of memory since boot.

    0 where the kernel does not tell. Counts kills by a memory cgroup's limit as well (Linux ``vmstat``, ``oom_kill``).
    """
    try:
        found = _OOM_KILLS.search(_VMSTAT.read_text())
    except OSError:
        return 0
    return int(found.group(1)) if found else 0
