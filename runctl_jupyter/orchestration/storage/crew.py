"""Many small jobs in a few threads: the caller's thread waits, tells of progress, and can be interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

Job = Callable[[], None]

WORKERS = 32
"""Requests at a time for small objects, whose time is S3's latency."""
_TICK_S = 0.1


class Cancelled(Exception):
    """The crew was told to stop; what was begun is undone by whoever began it."""


@dataclass(frozen=True)
class Progress:
    """How far a transfer has come."""

    files_done: int
    files: int
    bytes_done: int
    bytes: int


OnProgress = Callable[[Progress], object]


@dataclass
class Tally:
    """Counts what threads have done; `stop` tells them to end.

    Parameters
    ----------
    files, bytes
        What there is to do.
    """

    files: int
    bytes: int
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._files_done = self._bytes_done = 0

    def moved(self, count: int) -> None:
        """Count bytes, and raise `Cancelled` when the crew is to stop."""
        if self.stop.is_set():
            raise Cancelled
        with self._lock:
            self._bytes_done += count

    def finished(self, files: int = 1) -> None:
        """Count files that are done."""
        with self._lock:
            self._files_done += files

    def progress(self) -> Progress:
        """Return how far it has come."""
        with self._lock:
            return Progress(self._files_done, self.files, self._bytes_done, self.bytes)


def work_off(jobs: Iterable[Job], tally: Tally, on_progress: OnProgress | None, workers: int) -> None:
    """Do all jobs; the first error, or Ctrl-C in this thread, stops the others and is raised when they have ended."""
    feed = _Feed(jobs, tally.stop)

    def loop() -> None:
        try:
            for job in feed:
                job()
        except Cancelled:
            return
        except BaseException:
            tally.stop.set()
            raise

    with ThreadPoolExecutor(workers, thread_name_prefix="runctl-s3") as pool:
        try:
            pending = {pool.submit(loop) for _ in range(workers)}
            futures = tuple(pending)
            while pending:
                _, pending = wait(pending, _TICK_S, FIRST_EXCEPTION)
                if on_progress is not None:
                    on_progress(tally.progress())
        except BaseException:
            tally.stop.set()
            raise
    for future in futures:
        future.result()


class _Feed(Iterator[Job]):
    """Gives the next job to whichever thread asks."""

    def __init__(self, jobs: Iterable[Job], stop: threading.Event) -> None:
        self._jobs, self._stop = iter(jobs), stop
        self._lock = threading.Lock()

    def __next__(self) -> Job:
        with self._lock:
            if self._stop.is_set():
                raise StopIteration
            return next(self._jobs)
