"""What runs on the machine and what that takes: one look, as one line of JSON.

A program of its own: it travels inside a command to any machine, with `activity`, and needs no network. Systems
Manager shows the first 24,000 characters of an output, so the least interesting processes are left out, and counted.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from runctl_jupyter.runner.activity import PROC, NvidiaSmi, Process, below, processes

MOST_CHARACTERS = 23_000
_LOOK_S = 0.6
"""Between two looks at the CPU time of processes, which the kernel counts in ticks of 10 ms."""
_GPU_ANSWER_S = 8.0
_MOST_COMMAND = 300
_MIB = 1 << 20
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_GPU_FIELDS = ("index", "name", "utilization.gpu", "memory.used", "memory.total", "temperature.gpu")
_JOB = re.compile(r"\0--job\0([^\0]+)\0")
_NOT_DISKS = frozenset({"squashfs", "iso9660", "tmpfs", "devtmpfs"})

Row = dict[str, Any]


def main() -> int:
    """Print what was seen."""
    sys.stdout.write(fitting(look(Machine())) + "\n")
    return 0


class Machine:
    """Reads the kernel's files.

    Parameters
    ----------
    root
        Process below which everything is the machine's; None finds it.
    """

    def __init__(self, proc: Path = PROC, root: Optional[int] = None) -> None:
        self._proc = proc
        self._root = adopter() if root is None else root

    def processes(self) -> list[Process]:
        """Return the machine's processes, but for this look itself; kernel threads, which work for others, are none."""
        mine = os.getpgrp()
        return [each for each in below(self._root, processes(self._proc)) if _group(each.pid) != mine]

    def row(self, process: Process) -> Row:
        """Return what is known of a process that does not change from look to look."""
        folder = self._proc / str(process.pid)
        command = _text(folder / "cmdline")
        name = " ".join(command.replace("\0", " ").split()) or f"[{_text(folder / 'comm').strip()}]"
        return {
            "pid": process.pid,
            "parent": process.parent,
            "user": _user(folder),
            "memory_bytes": int((_text(folder / "statm").split() or ["0", "0"])[1]) * _PAGE,
            "command": name if len(name) <= _MOST_COMMAND else name[:_MOST_COMMAND] + "…",
            "job": _job(command, _text(folder / "environ")),
        }

    def busy_s(self) -> Optional[float]:
        """Return the seconds that all cores have worked since the boot (proc_stat(5))."""
        try:
            ticks = [int(text) for text in _text(self._proc / "stat").splitlines()[0].split()[1:]]
        except (IndexError, ValueError):
            return None
        return (sum(ticks[:3]) + sum(ticks[5:7])) / _TICKS_PER_S

    def memory(self) -> tuple[Optional[int], Optional[int]]:
        """Return the bytes that are in use, and those that there are."""
        found = dict(row.split(":", 1) for row in _text(self._proc / "meminfo").splitlines() if ":" in row)
        try:
            total, free = (int(found[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
        except (KeyError, ValueError, IndexError):
            return None, None
        return total - free, total

    def disks(self) -> list[Row]:
        """Return the file systems on disks, each once, where it is mounted first."""
        found: dict[int, Row] = {}
        for line in _text(self._proc / "self" / "mounts").splitlines():
            device, mount, kind, *_ = (*line.split(), "", "", "")
            if kind in _NOT_DISKS or not (device.startswith("/dev/") or mount == "/"):
                continue
            mount = mount.replace("\\040", " ")
            try:
                number, size = Path(mount).stat().st_dev, os.statvfs(mount)
            except OSError:
                continue
            if size.f_blocks and number not in found and Path(mount).is_dir():
                total = size.f_blocks * size.f_frsize
                used = total - size.f_bfree * size.f_frsize
                found[number] = {"device": device, "mount": mount, "size_bytes": total, "used_bytes": used}
        return list(found.values())


def look(machine: Machine, *, gpu: Optional[NvidiaSmi] = None, wait_s: float = _LOOK_S) -> Row:
    """Return one look at the machine, with the use of the CPU over a short time."""
    gpus = _Gpus(gpu or NvidiaSmi(_GPU_ANSWER_S))
    began, busy = time.monotonic(), machine.busy_s()
    before = {(each.pid, each.started): each.own_s for each in machine.processes()}
    time.sleep(wait_s)
    took, busy_after = time.monotonic() - began, machine.busy_s()
    seen = machine.processes()
    rows = []
    for each in seen:
        used_s = each.own_s - before.get((each.pid, each.started), each.own_s)
        rows.append({**machine.row(each), "cpu_percent": round(100 * used_s / took, 1)})
    _inherit_jobs(rows)
    used, total = machine.memory()
    cards, by_process, trouble = gpus.result()
    for row in rows:
        row["gpu_memory_bytes"] = by_process.get(row["pid"])
    cpu = None if busy is None or busy_after is None else round(100 * max(0.0, busy_after - busy) / took, 1)
    return {
        "cpus": os.cpu_count(),
        "cpu_percent": cpu,
        "load": [round(each, 2) for each in os.getloadavg()],
        "memory_used": used,
        "memory_total": total,
        "disks": machine.disks(),
        "gpus": cards,
        "notes": trouble,
        "processes": [{key: value for key, value in row.items() if key != "parent"} for row in rows],
        "left_out": 0,
    }


def fitting(seen: Row, most: int = MOST_CHARACTERS) -> str:
    """Return it as JSON of at most so many characters: the processes that take most come first and stay."""
    rows = sorted(seen["processes"], key=_weight, reverse=True)
    few, many = 0, len(rows)
    while few < many:  # the most rows that fit
        middle = (few + many + 1) // 2
        few, many = (middle, many) if len(_json(seen, rows, middle)) <= most else (few, middle - 1)
    return _json(seen, rows, few)


def adopter() -> int:
    """Return the process that takes in orphans: init, or what stands for it in a machine that is part of another."""
    reading, writing = os.pipe()
    first = os.fork()
    if first == 0:
        parent = os.getpid()
        if os.fork() == 0:
            while os.getppid() == parent:
                time.sleep(0.001)
            os.write(writing, str(os.getppid()).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(first, 0)
    with os.fdopen(reading, "rb") as pipe:
        return int(pipe.read() or b"1")


class _Gpus:
    """Asks NVIDIA's tool in the background: it may take seconds, or hang."""

    def __init__(self, nvidia: NvidiaSmi) -> None:
        self._nvidia = nvidia
        self._cards: list[Row] = []
        self._by_process: dict[int, int] = {}
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def result(self) -> tuple[list[Row], Mapping[int, int], list[str]]:
        """Return the GPUs, the GPU memory of processes, and what could not be had."""
        self._thread.join(2 * _GPU_ANSWER_S)  # what waits for a driver may not even be killed
        trouble = "did not answer and cannot be ended" if self._thread.is_alive() else self._nvidia.trouble
        return self._cards, self._by_process, [] if trouble is None else [f"nvidia-smi {trouble}"]

    def _ask(self) -> None:
        for line in self._nvidia.ask(",".join(_GPU_FIELDS)).splitlines():
            fields = [field.strip() for field in line.split(",")]
            if len(fields) == len(_GPU_FIELDS):
                index, name, *numbers = fields
                percent, used, total, celsius = (_number(each) for each in numbers)
                self._cards.append({
                    "index": int(_number(index) or 0), "name": name, "percent": percent,
                    "memory_used": _bytes(used), "memory_total": _bytes(total), "celsius": celsius,
                })  # fmt: skip
        if self._cards:
            for line in self._nvidia.ask("pid,used_memory", of="compute-apps").splitlines():
                pid, _, mebibytes = line.partition(",")
                bytes_used = _bytes(_number(mebibytes))
                if pid.strip().isdigit() and bytes_used is not None:
                    self._by_process[int(pid)] = self._by_process.get(int(pid), 0) + bytes_used


def _inherit_jobs(rows: Sequence[Row]) -> None:
    """Give each process the job of its nearest forebear that names one."""
    by_pid = {row["pid"]: row for row in rows}
    for row in rows:
        found: Optional[Row] = row
        while found is not None and found["job"] is None:
            found = by_pid.get(found["parent"])
        row["job"] = None if found is None else found["job"]


def _job(command: str, environ: str) -> Optional[str]:
    for variable in environ.split("\0"):
        if variable.startswith("RUNCTL_JOB_ID="):
            return variable.partition("=")[2]
    named = _JOB.search(command)
    return named[1] if named else None


def _weight(row: Row) -> tuple[float, float, int]:
    return (float(row["gpu_memory_bytes"] or 0), row["cpu_percent"], row["memory_bytes"])


def _json(seen: Row, rows: Sequence[Row], kept: int) -> str:
    return json.dumps({**seen, "processes": rows[:kept], "left_out": len(rows) - kept}, separators=(",", ":"))


def _group(pid: int) -> Optional[int]:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _user(folder: Path) -> str:
    try:
        number = folder.stat().st_uid
    except OSError:
        return ""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:  # it has ended, or is not ours to look into
        return ""


def _number(text: str) -> Optional[float]:
    try:
        return float(text)
    except ValueError:
        return None  # "[N/A]"


def _bytes(mebibytes: Optional[float]) -> Optional[int]:
    return None if mebibytes is None else int(mebibytes * _MIB)


if __name__ == "__main__":
    sys.exit(main())
