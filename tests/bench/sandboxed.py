"""What the benches of the job layer share: a sandbox of their own, and a meter of what a job's runner costs."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

LOOK_S = 0.25


@contextmanager
def sandbox() -> Iterator[Path]:
    """Run a sandbox, as fast as its machines are; yield a folder for projects and files of any kind."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "sandbox")
        os.environ["RUNCTL_SANDBOX_HOME"] = str(home)
        os.environ["XDG_CACHE_HOME"] = str(Path(folder, "cache"))
        os.environ["XDG_CONFIG_HOME"] = str(Path(folder, "config"))
        from runctl_jupyter.sandbox import service

        try:
            service.start(home, "plain", service.StartOptions(pace=0.0))
            yield Path(folder)
        finally:
            service.stop(home)


def machine_with(project: Path, files: dict[str, str]) -> Any:
    """Write a project and return a `Runctl` for it with an instance named ``bench``."""
    from runctl_jupyter.orchestration import Runctl

    project.mkdir()
    for name, text in files.items():
        (project / name).write_text(text)
    rc = Runctl(target="sandbox", cwd=project)
    rc.instances.create("m5.large", name="bench", wait=True)
    return rc


def attempt_folder(job_id: str) -> Path:
    """Return where a job's files lie on its plain machine."""
    (found,) = Path(os.environ["RUNCTL_SANDBOX_HOME"]).glob(f"hosts/*/root/var/lib/runctl/jobs/{job_id}/1")
    return found


def load() -> str:
    """Return how busy the machine has been for a minute: figures of a busy one say little."""
    return f"{os.getloadavg()[0]:.1f}"


@dataclass(frozen=True)
class Sample:
    """What the watched processes have used so far."""

    at: float
    """By the monotonic clock, which all processes share."""
    cpu_s: float
    rss: int


class Meter:
    """Watches processes while they live; programs they start are not counted.

    Parameters
    ----------
    find
        Gives the processes; asked until there are `expected`.
    """

    def __init__(self, find: Callable[[], list[psutil.Process]], expected: int) -> None:
        self._find, self._expected = find, expected
        self._samples: list[Sample] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @classmethod
    def of_job(cls, job_id: str) -> Meter:
        """Watch a job's keeper and runner."""
        return cls(lambda: _runner_and_keeper(job_id), 2)

    @classmethod
    def of_sandbox(cls) -> Meter:
        """Watch the sandbox's server."""
        connection = Path(os.environ["RUNCTL_SANDBOX_HOME"], "connection.json")
        return cls(lambda: [psutil.Process(json.loads(connection.read_text())["pid"])], 1)

    def stop(self) -> None:
        """End the watch; it ends by itself with the processes."""
        self._over.set()
        self._thread.join()

    @property
    def peak_mb(self) -> float:
        """Most memory that they had at a time."""
        return max(sample.rss for sample in self._samples) / 1e6

    @property
    def cpu_s(self) -> float:
        """CPU seconds of their whole lives."""
        return self._samples[-1].cpu_s

    def cpu_percent(self, began: float, ended: float) -> float:
        """Return their share of a core between two moments."""
        within = [sample for sample in self._samples if began <= sample.at <= ended]
        return 100 * (within[-1].cpu_s - within[0].cpu_s) / (within[-1].at - within[0].at)

    def _watch(self) -> None:
        watched: list[psutil.Process] = []
        while not self._over.wait(LOOK_S):
            if len(watched) < self._expected:
                watched = self._find()
                continue
            try:
                used = [(each.cpu_times(), each.memory_info().rss) for each in watched]
            except psutil.NoSuchProcess:
                return
            cpu = sum(times.user + times.system for times, _ in used)
            self._samples.append(Sample(time.monotonic(), cpu, sum(rss for _, rss in used)))


def _runner_and_keeper(job_id: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] in ("runctl-keeper", "runctl-runner") and job_id in process.cmdline():
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def show(what: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    table = Table(*columns, title=f"{what}, {datetime.now(UTC):%Y-%m-%d}, {machine}", show_lines=True)
    for row in rows:
        table.add_row(*row)
    Console(width=200).print(table)
