"""Figures of a run: what a job costs a training, and how soon its first line is seen. Not a test: it prints tables.

``python tests/bench/runs.py [--rounds 7] [--files 10000]`` (needs the extras ``sandbox`` and ``test``). ``aws``
(``pip install awscli``) and ``rsync`` take part when they are on PATH. The sandbox serves from the same cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from runctl_jupyter.run_record import AttemptKeys, from_iso
from runctl_jupyter.run_record.layout import CHUNK_TIME
from tests.bench.sandboxed import Meter, attempt_folder, load, machine_with, sandbox, show
from tests.bench.spine import middle

COLUMNS = ("what", "min / median / max", "beside it", "aim", "load")
LATE_S = 300.0
FILES_BESIDE = 100
PARALLEL = 2

ONE_LINE = "import time\nprint(time.time(), flush=True)\n"

COUNTING = """\
import json, multiprocessing, os, pathlib, sys, time

def count(steps):
    n = 0
    for i in range(steps):
        n += i & 3
    return n

if __name__ == "__main__":
    outputs = pathlib.Path(os.environ.get("RUNCTL_OUTPUT_DIR", "outputs"))
    outputs.mkdir(exist_ok=True)
    for i in range({files}):
        (outputs / f"{{i}}.txt").write_text("x" * 1000)
    with multiprocessing.Pool({parallel}) as pool:
        pool.map(count, [1000] * {parallel})
        began = time.monotonic()
        pool.map(count, [int(sys.argv[1])] * {parallel}, chunksize=1)
        ended = time.monotonic()
    pathlib.Path(sys.argv[2]).write_text(json.dumps([began, ended]))
"""
"""Counts with all cores, the same each time, and tells how long the counting took."""


def overhead(rc: Any, folder: Path, rounds: int, steps: int) -> Iterator[tuple[str, ...]]:
    """Count bare and as a job, in turns; the job with a folder of checkpoints and one of outputs to watch."""
    result = folder / "counted.json"
    project = folder / "project"
    (project / "counting.py").write_text(COUNTING.format(files=FILES_BESIDE, parallel=PARALLEL))
    (project / "checkpoints").mkdir()
    for i in range(FILES_BESIDE):
        (project / "checkpoints" / f"step_{i}.bin").write_bytes(os.urandom(1000))
    runner, server = [], []

    def counted(run: Callable[[], object]) -> tuple[float, float]:
        result.unlink(missing_ok=True)
        run()
        began, ended = json.loads(result.read_text())
        return began, ended

    def as_job() -> float:
        job = rc.jobs.train("counting.py", on="bench", arguments=[str(steps), str(result)])
        meter, of_sandbox = Meter.of_job(job.id), Meter.of_sandbox()
        began, ended = counted(lambda: _await_file(result))
        of_sandbox.stop()
        job.wait(LATE_S)
        runner.append(meter.cpu_percent(began, ended))
        server.append(of_sandbox.cpu_percent(began, ended))
        return ended - began

    def bare() -> float:
        command = [sys.executable, "counting.py", str(steps), str(result)]
        began, ended = counted(lambda: subprocess.run(command, cwd=project, check=True))
        return ended - began

    times: dict[str, list[float]] = {"bare": [], "job": []}
    for turn in range(rounds):
        order: list[tuple[str, Callable[[], float]]] = [("bare", bare), ("job", as_job)]
        for name, run in order if turn % 2 else reversed(order):
            times[name].append(run())
    ratios = [job / alone - 1 for job, alone in zip(times["job"], times["bare"], strict=True)]
    cores = os.cpu_count() or 1
    shares = [
        f"{what} {statistics.median(used) / cores:.2f} %"
        for what, used in (("runner + keeper", runner), ("S3", server))
    ]
    beside = f"of all cores: {', '.join(shares)}"
    shutil.rmtree(project / "checkpoints")
    yield f"counting with {PARALLEL} processes, bare", middle(times["bare"]), "-", "-", load()
    yield "the same as a job", middle(times["job"]), beside, "-", load()
    percent = " / ".join(f"{100 * r:.2f}" for r in (min(ratios), statistics.median(ratios), max(ratios)))
    yield f"overhead, {rounds} pairs", f"{percent} %", "same script, in turns", "< 1 %", load()


def _await_file(path: Path) -> None:
    until = time.monotonic() + LATE_S
    while not path.exists() or not path.stat().st_size:
        assert time.monotonic() < until, "the script has not ended"
        time.sleep(0.25)


class Trace:
    """Notes when the engine's steps end, from outside: by wrapping what it calls."""

    def __init__(self) -> None:
        from runctl_jupyter.orchestration.aws.ssm import Ssm
        from runctl_jupyter.orchestration.jobs import provenance, submit
        from runctl_jupyter.orchestration.jobs.record import JobRecord

        self.ended: dict[str, float] = {}
        self.begun: dict[str, float] = {}
        for owner, name in (
            (submit, "project_files"),
            (submit, "sync_project"),
            (JobRecord, "write_spec"),
            (provenance, "write"),
            (Ssm, "run"),
        ):
            setattr(owner, name, self._wrapped(name, getattr(owner, name)))

    def _wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            self.begun[name] = time.time()
            try:
                return function(*args, **named)
            finally:
                self.ended[name] = time.time()

        return call


def first_line(rc: Any, trace: Trace) -> tuple[float, dict[str, float]]:
    """Run a job on the warm machine; return seconds to the first line seen, and when each phase ended."""
    began = time.time()
    job = rc.jobs.train("train.py", on="bench")
    returned = time.time()
    line = next(iter(job.logs(follow=True)))
    seen = time.time()
    job.wait(LATE_S)
    assert job.state == "succeeded", job
    folder = attempt_folder(job.id)
    chunk = job.record.store.head(AttemptKeys(job.id, 1).chunk(0))
    ends = {
        "files found": trace.ended["project_files"],
        "checked: train() returns": returned,
        "code synced": trace.ended["sync_project"],
        "spec": trace.ended["write_spec"],
        "provenance": trace.ended["write"],
        "status, bundle's URL": trace.begun["run"],
        "Run Command → keeper": (folder / "keeper.lock").stat().st_mtime,
        "credentials, spec, plan": (folder / "runner.json").stat().st_mtime,
        "claim, code": (folder / "work" / "checkpoints").stat().st_ctime,  # made when the project is laid out
        "environment": (folder / "script.json").stat().st_mtime,
        "script's first line printed": float(line),
        "line read": from_iso(chunk.metadata[CHUNK_TIME]).timestamp(),
        "line seen": seen,
    }
    return seen - began, {name: end - began for name, end in ends.items()}


def phases(runs: Sequence[dict[str, float]]) -> list[tuple[str, ...]]:
    """Return for each phase how long it took, minimum and median, and when it was over, median."""
    rows: list[tuple[str, ...]] = []
    before = dict.fromkeys(range(len(runs)), 0.0)
    for name in runs[0]:
        took = [run[name] - before[i] for i, run in enumerate(runs)]
        before = {i: max(before[i], run[name]) for i, run in enumerate(runs)}
        over = statistics.median(run[name] for run in runs)
        rows.append((name, f"{1000 * min(took):.0f}", f"{1000 * statistics.median(took):.0f}", f"{1000 * over:.0f}"))
    return rows


def unchanged(rc: Any, trace: Trace, rounds: int) -> tuple[tuple[str, ...], list[dict[str, float]]]:
    """Run an unchanged project again and again."""
    first_line(rc, trace)
    found = [first_line(rc, trace) for _ in range(rounds)]
    bare = []
    for _ in range(rounds):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", ONE_LINE], check=True, capture_output=True)
        bare.append(time.perf_counter() - started)
    row = (
        "unchanged project, warm machine: train → first line seen",
        middle([seconds for seconds, _ in found]),
        f"python -c print: {middle(bare)}",
        "< 1 s; < 0.5 s",
        load(),
    )
    return row, [ends for _, ends in found]


def one_changed(
    rc: Any, trace: Trace, folder: Path, files: int, rounds: int
) -> tuple[list[tuple[str, ...]], list[dict[str, float]]]:
    """Change one file of many and run again, beside the tools that only copy."""
    project, many = folder / "project", folder / "project" / "many"
    for i in range(files):
        path = many / f"d{i // 100}" / f"f{i}.dat"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(20_000))
        os.utime(path, (1e9, 1e9))
    copies = dict(_copiers(rc, project, folder))
    cold = {"runctl": first_line(rc, trace)[0], **{name: _timed(copy) for name, copy in copies.items()}}
    times: dict[str, list[float]] = {name: [] for name in cold}
    ends = []
    for turn in range(rounds):
        (many / "d1" / "f100.dat").write_bytes(b"%d" % turn + os.urandom(20_000))
        seconds, phases_of_it = first_line(rc, trace)
        times["runctl"].append(seconds)
        ends.append(phases_of_it)
        for name, copy in copies.items():
            times[name].append(_timed(copy))
    what = f"one changed of {files:,} files of 20 kB"
    rows: list[tuple[str, ...]] = [
        (
            f"{what}: train → first line seen",
            middle(times["runctl"]),
            f"all anew: {cold['runctl']:.1f} s",
            "< 2 s",
            load(),
        )
    ]
    rows += [
        (f"{what}: {name}, copies only", middle(times[name]), f"all anew: {cold[name]:.1f} s", "-", load())
        for name in copies
    ]
    return rows, ends


def _copiers(rc: Any, project: Path, folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what a user would take to bring a project somewhere."""
    if shutil.which("aws"):
        env = json.loads((folder / "sandbox" / "connection.json").read_text())["env"]
        bucket = rc.jobs.record.store.uri.split("/")[2]
        command = ["aws", "s3", "sync", "--only-show-errors", str(project), f"s3://{bucket}/sync-bench/"]
        yield "aws s3 sync", lambda: subprocess.run(command, check=True, env={"PATH": os.environ["PATH"], **env})
    if shutil.which("rsync"):
        local = ["rsync", "-a", "--delete", f"{project}/", str(folder / "rsynced")]
        yield "rsync -a to a local folder", lambda: subprocess.run(local, check=True)


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def main() -> None:
    """Run every part and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of runs")
    parser.add_argument("--pairs", type=int, default=5, help="of the counting, bare and as a job")
    parser.add_argument("--steps", type=int, default=300_000_000, help="of the counting")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--only", choices=["overhead", "warm", "files"], action="append")
    options = parser.parse_args()
    only = options.only or ["overhead", "warm", "files"]
    rows: list[tuple[str, ...]] = []
    tables: dict[str, list[tuple[str, ...]]] = {}
    with sandbox() as folder:
        rc = machine_with(folder / "project", {"train.py": ONE_LINE, ".runctl.toml": "[sync]\nmax_mb = 1000\n"})
        trace = Trace()
        if "warm" in only:
            row, ends = unchanged(rc, trace, options.rounds)
            rows.append(row)
            tables["Unchanged project"] = phases(ends)
        if "overhead" in only:
            rows += overhead(rc, folder, options.pairs, options.steps)
        if "files" in only:
            found, ends = one_changed(rc, trace, folder, options.files, options.rounds)
            rows += found
            tables["One changed file of many"] = phases(ends)
    show("A run", COLUMNS, rows)
    for name, table in tables.items():
        show(f"{name}: where the time goes, ms", ("phase", "min", "median", "over at"), table)


if __name__ == "__main__":
    main()
