"""What processes and their machine are doing, by the kernel's own counters.

Imports nothing of ours: `idle_guard` travels to a machine inside its user data, with little more than this module.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, TypeVar

PROC = Path("/proc")
GPU_EVERY_S = 10.0
"""`nvidia-smi` takes up to a second of CPU time where the driver is not kept loaded, so it is asked rarely."""
LOOK_EVERY_S = 10.0
"""Longest time between two looks: short beside any sensible limit, and cheap."""

_LOOK_AT_MOST_EVERY_S = 0.5  # the kernel counts CPU time in ticks of 10 ms; shorter looks would see single ticks
_LOOKS = 20
_GPU_ANSWER_S = 15.0
_DRM = Path("/sys/class/drm")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")

_Key = TypeVar("_Key")
ProcessKey = tuple[int, int]
"""Process id and start time: ids are used again."""


@dataclass(frozen=True)
class Quiet:
    """Rates up to which something counts as not in use."""

    cpu_cores: float
    """CPU seconds a second."""
    disk_bytes_s: float
    network_bytes_s: float
    gpu_percent: float


QUIET_JOB = Quiet(
    # A Python process that waits takes under 0.01, with background threads that poll up to 0.03; work takes 1 and more.
    cpu_cores=0.05,
    # Log files grow by a few pages a second; data and checkpoints by megabytes.
    disk_bytes_s=64 * 1024,
    # The runner's own heartbeat and its look for a cancel take 5 kB/s. A download this slow takes 9 hours a gigabyte.
    network_bytes_s=32 * 1024,
    # An idle GPU says 0, one that also draws a console up to 2.
    gpu_percent=3.0,
)
QUIET_MACHINE = Quiet(
    # An Ubuntu image with its agents takes 0.01 to 0.03 of a core.
    cpu_cores=0.1,
    # The journal and the agents' logs.
    disk_bytes_s=64 * 1024,
    # Agents, time and name service.
    network_bytes_s=32 * 1024,
    gpu_percent=3.0,
)


@dataclass(frozen=True)
class Process:
    """A row of ``/proc``."""

    pid: int
    parent: int
    started: int
    """In ticks since boot."""
    cpu_s: float
    """Its own time and that of its children that have ended."""
    own_s: float = 0.0
    """Its own time alone."""


@dataclass(frozen=True)
class Usage:
    """Counters at a moment; only differences mean something."""

    at: float
    cpu_s: Mapping[ProcessKey, float]
    disk_bytes: Mapping[ProcessKey, int]
    network_bytes: Mapping[str, int]


def process(pid: int, proc: Path = PROC) -> Optional[Process]:
    """Return the process with this id, None when it has ended."""
    try:
        # The name stands in brackets and may itself hold brackets and spaces.
        fields = (proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        times = [int(field) / _TICKS_PER_S for field in fields[11:15]]  # proc_pid_stat(5): utime, stime, cutime, cstime
        return Process(pid, int(fields[1]), int(fields[19]), sum(times), sum(times[:2]))
    except (OSError, ValueError, IndexError):
        return None


def processes(proc: Path = PROC) -> list[Process]:
    """Return all processes that can be seen."""
    found = (process(int(entry.name), proc) for entry in proc.iterdir() if entry.name.isdigit())
    return [each for each in found if each is not None]


def below(root: int, table: Sequence[Process]) -> list[Process]:
    """Return `root` and all its descendants."""
    children: dict[int, list[Process]] = {}
    for each in table:
        children.setdefault(each.parent, []).append(each)
    found = [each for each in table if each.pid == root]
    for each in found:  # grows as it goes
        found += children.get(each.pid, [])
    return found


def usage(of: Iterable[Process], at: float, proc: Path = PROC) -> Usage:
    """Return what these processes have used so far, and all network interfaces but the loopback."""
    cpu: dict[ProcessKey, float] = {}
    disk: dict[ProcessKey, int] = {}
    for each in of:
        key = (each.pid, each.started)
        cpu[key] = each.cpu_s
        disk[key] = _disk_bytes(each.pid, proc)
    return Usage(at, cpu, disk, _network_bytes(proc))


def in_use(before: Usage, after: Usage, quiet: Quiet) -> Optional[str]:
    """Return what was in use between two moments, None when all was quiet.

    The time of a child counts for its parent once it has ended, so that short children are not missed; what a
    long one did before counts once more then, which does no harm: its end is no idleness.
    """
    seconds = max(after.at - before.at, 1e-6)
    if _increase(before.cpu_s, after.cpu_s) / seconds > quiet.cpu_cores:
        return "CPU"
    if _increase(before.disk_bytes, after.disk_bytes) / seconds > quiet.disk_bytes_s:
        return "disk"
    if _increase(before.network_bytes, after.network_bytes) / seconds > quiet.network_bytes_s:
        return "network"
    return None


class NvidiaSmi:
    """NVIDIA's own tool, where there is one."""

    def __init__(self, answer_s: float = _GPU_ANSWER_S) -> None:
        self._program = shutil.which("nvidia-smi")
        self._answer_s = answer_s
        self.trouble: Optional[str] = None
        """Why it does not tell, where it is there."""

    def ask(self, fields: str, of: str = "gpu") -> str:
        """Return its rows for some fields, without units; nothing where it does not tell.

        Parameters
        ----------
        of
            ``gpu``, or ``compute-apps`` for the processes that use one.
        """
        if self._program is None:
            return ""
        command = [self._program, f"--query-{of}={fields}", "--format=csv,noheader,nounits"]
        try:
            said = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=self._answer_s, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            self._program = None  # a driver that hangs: each further call would hang as well
            late = isinstance(error, subprocess.TimeoutExpired)
            self.trouble = f"did not answer within {self._answer_s:g} s" if late else f"cannot be run: {error}"
            return ""
        if said.returncode:
            words = (said.stderr or said.stdout).decode(errors="replace").strip().splitlines()
            self.trouble = f"failed with exit code {said.returncode}: {words[-1] if words else 'it printed nothing'}"
            return ""
        return said.stdout.decode(errors="replace")


class GpuGauge:
    """How busy the machine's GPUs are: NVIDIA's by ``nvidia-smi``, AMD's by the kernel's own files."""

    def __init__(self, drm: Path = _DRM) -> None:
        self._nvidia = NvidiaSmi()
        self._drm = drm

    def percent(self) -> float:
        """Return the use of the busiest GPU; 0 where there is none, or none that tells (MIG slices do not)."""
        return max([0.0, *_numbers(self._nvidia.ask("utilization.gpu").splitlines()), *self._amd()])

    def _amd(self) -> list[float]:
        texts = []
        for path in self._drm.glob("card*/device/gpu_busy_percent"):
            try:
                texts.append(path.read_text())
            except OSError:
                continue  # asleep
        return _numbers(texts)


class QuietSpell:
    """Watches for a time of `sought_s` seconds in which nothing is in use."""

    def __init__(self, quiet: Quiet, sought_s: float, gpu: GpuGauge) -> None:
        self._quiet = quiet
        self._sought_s = sought_s
        self._gpu = gpu
        self._before: Optional[Usage] = None
        self._since = 0.0
        self._gpu_asked_at = 0.0

    @property
    def look_every_s(self) -> float:
        """How often `look` is to be called."""
        return min(LOOK_EVERY_S, max(_LOOK_AT_MOST_EVERY_S, self._sought_s / _LOOKS))

    def look(self, now: Usage, other_use: Callable[[], Optional[str]]) -> bool:
        """Return whether all has been quiet for the time sought.

        Parameters
        ----------
        other_use
            Names a use that no counter shows; asked when the counters are quiet.
        """
        before, self._before = self._before, now
        if before is None:
            self._since = self._gpu_asked_at = now.at
            return False
        if in_use(before, now, self._quiet) or other_use() or self._gpu_in_use(now.at):
            self._since = now.at
        return now.at - self._since >= self._sought_s

    def _gpu_in_use(self, at: float) -> bool:
        if at - self._gpu_asked_at < GPU_EVERY_S and at - self._since < self._sought_s:
            return False
        self._gpu_asked_at = at
        return self._gpu.percent() > self._quiet.gpu_percent


def _increase(before: Mapping[_Key, float], after: Mapping[_Key, float]) -> float:
    return sum(max(0.0, count - before.get(key, 0)) for key, count in after.items())


def _disk_bytes(pid: int, proc: Path) -> int:
    """Bytes to and from disks: ``rchar`` and ``wchar`` would count pipes and the page cache too (proc_pid_io(5))."""
    try:
        rows = (proc / str(pid) / "io").read_text().splitlines()
    except OSError:
        return 0  # gone, or not ours to look into
    counts = dict(row.split(": ", 1) for row in rows if ": " in row)
    return int(counts.get("read_bytes", 0)) + int(counts.get("write_bytes", 0))


def _network_bytes(proc: Path) -> dict[str, int]:
    found = {}
    try:
        rows = (proc / "net" / "dev").read_text().splitlines()
    except OSError:
        return {}
    for row in rows:
        name, colon, counts = row.partition(":")
        if colon and name.strip() != "lo":
            numbers = counts.split()
            found[name.strip()] = int(numbers[0]) + int(numbers[8])  # received, sent
    return found


def _numbers(texts: Iterable[str]) -> list[float]:
    found = []
    for text in texts:
        try:
            found.append(float(text))
        except ValueError:
            continue  # "[N/A]"
    return found
