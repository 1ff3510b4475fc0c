"""How busy the machine is, now and over time: the kernel's own counters, and NVIDIA's for GPUs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple, Optional

from runctl_jupyter.run_record import GpuSample, MachineColumns, MachineSample, now, to_iso
from runctl_jupyter.runner.activity import GPU_EVERY_S, PROC, NvidiaSmi
from runctl_jupyter.runner.series import MOST_POINTS, Thinned

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_GPU_FIELDS = "utilization.gpu,memory.used,memory.total"
_MIB = 1 << 20
_MOST_GPUS = 16


class MachineGauge:
    """Samples the machine; the CPU's use is that since the sample before."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._gpu = _NvidiaGauge()
        self._before = self._busy()

    def sample(self) -> Optional[MachineSample]:
        """Return a sample; None where the system tells nothing."""
        before, self._before = self._before, self._busy()
        used, total = self._memory()
        gpus = self._gpu.samples()
        cpu = None
        if before is not None and self._before is not None:
            (began, busy_before), (ended, busy) = before, self._before
            cpu = round(100 * max(0.0, busy - busy_before) / max(ended - began, 1e-3), 1)
        if cpu is None and used is None and not gpus:
            return None
        return MachineSample(to_iso(now()), cpu, used, total, gpus)

    def _busy(self) -> Optional[tuple[float, float]]:
        """Return a moment, and the seconds all cores have worked up to it."""
        try:
            with (self._proc / "stat").open() as stream:
                ticks = [int(text) for text in stream.readline().split()[1:]]
        except (OSError, ValueError):
            return None
        # proc_stat(5): user nice system idle iowait irq softirq steal; what guests take is in user already.
        busy = sum(ticks[:3]) + sum(ticks[5:7])
        return time.monotonic(), busy / _TICKS_PER_S

    def _memory(self) -> tuple[Optional[int], Optional[int]]:
        try:
            rows = (self._proc / "meminfo").read_text().splitlines()
            sizes = {row.partition(":")[0]: int(row.split()[1]) * 1024 for row in rows if row.startswith("Mem")}
            return sizes["MemTotal"] - sizes["MemAvailable"], sizes["MemTotal"]
        except (OSError, ValueError, KeyError, IndexError):
            return None, None


class _NvidiaGauge:
    """All GPUs by ``nvidia-smi``, which is asked rarely: a sample between two answers has those of the last one."""

    def __init__(self) -> None:
        self._nvidia = NvidiaSmi()
        self._asked_at = float("-inf")
        self._last: list[GpuSample] = []

    def samples(self) -> list[GpuSample]:
        if time.monotonic() - self._asked_at >= GPU_EVERY_S:
            self._last = gpus_of(self._nvidia.ask(_GPU_FIELDS))
            self._asked_at = time.monotonic()
        return self._last


def gpus_of(text: str) -> list[GpuSample]:
    """Read what ``nvidia-smi`` says; a GPU that does not tell (``[N/A]``, as with MIG) is left out."""
    found: list[GpuSample] = []
    for row in text.splitlines():
        try:
            percent, used, total = (float(field) for field in row.split(","))
        except ValueError:
            continue
        found.append(GpuSample(percent, int(used * _MIB), int(total * _MIB)))
    return found[:_MOST_GPUS]


class _Row(NamedTuple):
    time: float
    cpu_percent: Optional[float]
    memory_used: Optional[int]
    gpu_percent: Optional[float]
    gpu_memory_used: Optional[int]


class MachineRows:
    """Samples over time in bounded memory."""

    def __init__(self, stored: Optional[MachineColumns] = None) -> None:
        columns = stored or MachineColumns()
        rows = zip(
            columns.times,
            columns.cpu_percent,
            columns.memory_used,
            columns.gpu_percent,
            columns.gpu_memory_used,
        )
        self._rows = Thinned(_Row(*row) for row in rows)
        self._memory_total, self._gpu_memory_total = columns.memory_total, columns.gpu_memory_total

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, sample: MachineSample, at: float) -> None:
        """Add a sample, taken at `at` seconds since 1970."""
        gpus = sample.gpus
        percent = round(sum(gpu.percent for gpu in gpus) / len(gpus), 1) if gpus else None
        used = sum(gpu.memory_used for gpu in gpus) if gpus else None
        self._memory_total = sample.memory_total
        if gpus:
            self._gpu_memory_total = sum(gpu.memory_total for gpu in gpus)
        self._rows.add(_Row(round(at, 3), sample.cpu_percent, sample.memory_used, percent, used), MOST_POINTS)

    def columns(self) -> Optional[MachineColumns]:
        """Return them as the record has them; None when there are none."""
        rows = self._rows.rows
        if not rows:
            return None
        return MachineColumns(
            [row.time for row in rows],
            [row.cpu_percent for row in rows],
            [row.memory_used for row in rows],
            self._memory_total,
            [row.gpu_percent for row in rows],
            [row.gpu_memory_used for row in rows],
            self._gpu_memory_total,
        )
