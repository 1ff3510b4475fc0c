"""The end of a job that does nothing: ``--idle-stop``."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Callable, Optional

from runctl_jupyter.run_record import Cause, JobState, Limits
from runctl_jupyter.runner.activity import PROC, QUIET_JOB, GpuGauge, QuietSpell, process, usage
from runctl_jupyter.runner.stops import StopReason, StopSignal

_NEVER_S = 3600.0  # there is nothing to look at


class IdleWatch:
    """Asks for the end of a job that has done nothing for `Limits.idle_stop_s` seconds; needs no network.

    Nothing is: no output, and its processes' CPU time and disk traffic, the machine's network and its GPUs
    quiet. Time counts from the first look on, so it belongs to the time in which the script runs.

    Parameters
    ----------
    processes
        Ids of the job's processes.
    printed
        Number of bytes that the script has printed.
    proc, clock, gpu
        Where the counters are; for tests.
    """

    def __init__(
        self,
        limits: Limits,
        stop: StopSignal,
        save_s: float,
        *,
        processes: Callable[[], Iterable[int]],
        printed: Callable[[], int],
        proc: Path = PROC,
        clock: Callable[[], float] = time.monotonic,
        gpu: Optional[GpuGauge] = None,
    ) -> None:
        self._stop = stop
        self._processes = processes
        self._printed = printed
        self._proc = proc
        self._clock = clock
        self._spell: Optional[QuietSpell] = None
        idle_stop_s = limits.idle_stop_s
        if idle_stop_s is not None and self.can_watch(proc):
            self._spell = QuietSpell(QUIET_JOB, idle_stop_s, gpu or GpuGauge())
        self._bytes = printed()
        message = (
            f"nothing has happened for {idle_stop_s or 0:g} s: no output, and CPU, GPU, disk and network were quiet"
        )
        self._reason = StopReason(JobState.CAPPED, Cause("idle", message), limits.grace_s, save_s)

    @staticmethod
    def can_watch(proc: Path = PROC) -> bool:
        """Return whether this system has the counters; without them no job is idle, whatever its limit says."""
        return (proc / "self" / "stat").exists()

    def next_look_s(self) -> float:
        """Return the seconds until the next look."""
        return _NEVER_S if self._spell is None else self._spell.look_every_s

    def look(self) -> None:
        """Ask for the end if the job has been idle for too long."""
        if self._spell is None:
            return
        found = (process(pid, self._proc) for pid in self._processes())
        now = usage((each for each in found if each is not None), self._clock(), self._proc)
        if self._spell.look(now, self._output):
            self._spell = None
            self._stop.request(self._reason)

    def _output(self) -> Optional[str]:
        before, self._bytes = self._bytes, self._printed()
        return "output" if self._bytes != before else None
