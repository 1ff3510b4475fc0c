"""Measures a job while its script runs: metrics in its output and event files, progress, the machine.

Nothing here may hold up the job: threads of their own, bounded work and memory, and an error ends nothing.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from runctl_jupyter.run_record import (
    Measures,
    NotFound,
    Status,
    StoreError,
    from_iso,
    now,
    to_iso,
)
from runctl_jupyter.runner.attempt import Attempt
from runctl_jupyter.runner.event_files import EventFiles
from runctl_jupyter.runner.journal import StartedScript
from runctl_jupyter.runner.log_metrics import LogMetrics
from runctl_jupyter.runner.machine_samples import MachineGauge, MachineRows
from runctl_jupyter.runner.periodic import Periodic
from runctl_jupyter.runner.series import Point, SeriesSet
from runctl_jupyter.runner.stream_lines import StreamLines

LOG, TENSORBOARD = "log", "tensorboard"
_LOOK_S = 0.5
_PART_OF_A_CORE = 0.2
_EVENTS_S = 5.0
_MACHINE_FIRST_S, _MACHINE_S = 1.0, 5.0
_WRITE_S, _LONGEST_WRITE_S = 2.0, 60.0
_WRITE_BYTES_S = 100_000
_METRICS_IN_STATUS = 16
_LAST_LOOKS = 8
_LAST_WRITES = 3


class Measuring:
    """Measures one attempt from the script's start to its end.

    Parameters
    ----------
    checkpoints
        Where the script writes checkpoints, and perhaps event files.
    again
        Whether a runner before this one has measured: then what that has stored is gone on from.
    before
        The last status of that runner, if it is known.
    """

    def __init__(
        self, attempt: Attempt, script: StartedScript, checkpoints: Path, *, again: bool, before: Optional[Status]
    ) -> None:
        folders = attempt.folders
        self._store, self._key = attempt.store, attempt.keys.measures
        self._stream, self._offset = folders.stream, script.log_bytes
        since = from_iso(script.started_at).timestamp()
        self._events = EventFiles((folders.work, folders.outputs, checkpoints), since)
        self._events_due = 0.0
        self._restored = not again
        self._lines: Optional[StreamLines] = None
        self._log = LogMetrics()
        self._series = SeriesSet()
        self._gauge: Optional[MachineGauge] = None
        self._machine_rows = MachineRows()
        self._machine = before.machine if before else None
        self._progress = before.progress if before else None
        self._metrics = dict(before.metrics) if before else {}
        self._samples = 0
        self._written = (0, 0)
        self._failures = 0
        self._write_s = _WRITE_S
        self._look_s, self._machine_s = _LOOK_S, _MACHINE_FIRST_S
        self._lock = threading.Lock()  # what is measured
        self._looking = threading.Lock()
        self._writing = threading.Lock()
        self._look_watch = Periodic("metrics", lambda: self._look_s, self._look)
        self._write_watch = Periodic("measures", lambda: self._write_s, self._write)
        self._machine_watch = Periodic("machine", lambda: self._machine_s, self._sample)
        self._end = threading.Thread(target=self._finish, name="measures-end", daemon=True)

    def start(self) -> None:
        """Begin."""
        for watch in self._watches:
            watch.start()

    def close(self) -> None:
        """Look through what is left and write it, in a thread of its own; to be called when the script is over."""
        self._end.start()

    def join(self, timeout_s: float) -> None:
        """Wait until what `close` began is done."""
        self._end.join(timeout_s)

    def fields(self) -> dict[str, Any]:
        """Return the fields of the status that tell of it."""
        with self._lock:
            metrics = self._series.last(_METRICS_IN_STATUS) or self._metrics
            return {"progress": self._progress, "metrics": metrics, "machine": self._machine}

    @property
    def _watches(self) -> tuple[Periodic, ...]:
        return self._look_watch, self._machine_watch, self._write_watch

    def _look(self) -> None:
        began = time.thread_time()
        try:
            with self._looking:
                self._look_once()
        finally:
            self._look_s = max(_LOOK_S, (time.thread_time() - began) / _PART_OF_A_CORE)

    def _look_once(self, *, last: bool = False) -> bool:
        """Take in what has come; return whether there may be more."""
        lines = self._find_place()
        if lines is None:
            return False
        before = lines.offset
        self._add(LOG, self._log.take(lines.read(rest=last), time.time()))
        events: list[Point] = []
        if time.monotonic() >= self._events_due or last:
            self._events_due = time.monotonic() + _EVENTS_S
            events = self._events.look()
            self._add(TENSORBOARD, events)
        return lines.offset > before or bool(events)

    def _add(self, source: str, points: Sequence[Point]) -> None:
        with self._lock:
            first = not self._series.changes
            self._series.add(source, points)
            self._progress = self._log.progress or self._progress
        if first and points:
            self._write_watch.kick()  # somebody waits for the first point

    def _find_place(self) -> Optional[StreamLines]:
        """Return the script's lines, from where they have not been read; None as long as that is not known."""
        if self._lines is None:
            if not self._restored and not self._restore():
                return None
            self._lines = StreamLines(self._stream, self._offset)
        return self._lines

    def _restore(self) -> bool:
        """Go on from what a former runner has stored, if it has; False when the store does not tell."""
        try:
            stored = Measures.from_json(self._store.get(self._key).data)
        except NotFound:
            stored = Measures()
        except StoreError as error:
            self._say(error)
            return False
        except ValueError as error:
            self._say(error)
            stored = Measures()
        with self._lock:
            # Event files are read from their beginning: where the former runner was in them is written nowhere.
            self._series = SeriesSet(each for each in stored.series if each.source == LOG)
            rows = self._machine_rows = MachineRows(stored.machine)
            self._samples = len(rows)
            self._offset = max(self._offset, stored.log_bytes)
            self._restored = True
        return True

    def _sample(self) -> None:
        if self._gauge is None:
            self._gauge = MachineGauge()  # the use of a CPU is that since a moment before
            return
        sample = self._gauge.sample()
        self._machine_s = _MACHINE_S
        if sample is None:
            return
        with self._lock:
            self._machine = sample
            self._machine_rows.add(sample, time.time())
            self._samples += 1

    def _write(self) -> None:
        with self._writing:
            if self._restored:
                self._write_once()

    def _write_once(self) -> bool:
        """Write what is measured, if it has changed; return whether the store has it."""
        with self._lock:
            changes = self._series.changes, self._samples
            if changes == self._written:
                return True
            measures = Measures(
                self._series.columns(), self._machine_rows.columns(), self._lines.offset if self._lines else 0
            )
        data = measures.to_json()
        try:
            self._store.put(self._key, data)
        except StoreError as error:
            if not self._failures:
                self._say(error)
            self._failures += 1
            self._write_s = min(_LONGEST_WRITE_S, _WRITE_S * 2**self._failures)
            return False
        self._written, self._failures = changes, 0
        self._write_s = max(_WRITE_S, len(data) / _WRITE_BYTES_S)
        return True

    def _finish(self) -> None:
        for watch in self._watches:
            watch.stop()
        try:
            with self._looking:
                for _ in range(_LAST_LOOKS):
                    if not self._look_once(last=True):
                        break
        finally:
            with self._writing:
                for _ in range(_LAST_WRITES):
                    if not self._restored or self._write_once():
                        break

    @staticmethod
    def _say(error: Exception) -> None:
        sys.stderr.write(f"{to_iso(now())} measures: {error}\n")
