"""Figures of the spine, beside what a user would take instead. Not a test: it prints a table.

``python tests/bench/spine.py`` (needs the extras ``sandbox`` and ``test``). Every row names what bounds it. The
sandbox runs in a folder of its own and is stopped at the end.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

ROUNDS = 7
LINES = 200
Row = tuple[str, str, str, str]

PRINTER = """\
import sys, time
for i in range({lines}):
    print(f"{{time.time():.6f}}", flush=True)
    time.sleep({pause})
"""


def middle(values: list[float]) -> str:
    """Return minimum, median and maximum in milliseconds."""
    return " / ".join(f"{1000 * v:.0f}" for v in (min(values), statistics.median(values), max(values))) + " ms"


def percentiles(values: list[float]) -> str:
    """Return p50 and p95 in milliseconds."""
    cuts = statistics.quantiles(values, n=20)
    return f"p50 {1000 * statistics.median(values):.0f}, p95 {1000 * cuts[18]:.0f} ms"


def timed(command: list[str]) -> float:
    """Return the seconds a whole process takes."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def imports() -> Iterator[Row]:
    """Time ``%load_ext`` over bare IPython, and importing boto3 over it."""
    shell = "from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance(); "
    bodies = {"bare": "", "ours": "s.run_line_magic('load_ext', 'runctl_jupyter')", "boto3": "import boto3"}
    times: dict[str, list[float]] = {name: [] for name in bodies}
    for _ in range(ROUNDS):
        for name, body in bodies.items():
            times[name].append(timed([sys.executable, "-c", shell + body]))
    bare = statistics.median(times["bare"])
    for name, what in (("ours", "%load_ext runctl_jupyter"), ("boto3", "import boto3, for comparison")):
        extra = [t - bare for t in times[name]]
        yield (
            f"{what}, over bare IPython",
            middle(extra),
            f"bare IPython {1000 * bare:.0f} ms",
            "aim < 300 ms; < 100 ms",
        )


def sandbox_start(home: Path) -> Iterator[Row]:
    """Time a cold start to the first DescribeInstances, and measure memory."""
    import boto3

    from runctl_jupyter.sandbox import service

    times = []
    for _ in range(3):
        service.stop(home)
        started = time.perf_counter()
        connection = service.start(home)
        env = connection.env
        ec2 = boto3.client(
            "ec2",
            endpoint_url=env["AWS_ENDPOINT_URL"],
            region_name=env["AWS_REGION"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        )
        ec2.describe_instances()
        times.append(time.perf_counter() - started)
    rss = psutil.Process(connection.pid).memory_info().rss / 1e6
    yield "sandbox start to first DescribeInstances", middle(times), "import of moto ≈ 0.4 s of it", "aim < 2 s"
    yield "sandbox memory after start", f"{rss:.0f} MB", "moto's models", "-"


@contextmanager
def project(source: str) -> Iterator[Path]:
    """Make a project of one script."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "train.py").write_text(source)
        yield Path(folder)


def first_line(train: Callable[[str], object]) -> list[float]:
    """Time from the call to the first line seen, several times on a warm instance."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        job = train("train.py")
        next(iter(job.logs(follow=True)))  # type: ignore[attr-defined]
        times.append(time.perf_counter() - started)
        job.wait(60)  # type: ignore[attr-defined]
    return times


def latency(chunks: Iterator[bytes]) -> list[float]:
    """Return seconds from print to sight for every line, given as time stamps."""
    ages = []
    for chunk in chunks:
        seen = time.time()
        ages += [seen - float(line) for line in chunk.decode().split() if line.count(".") == 1 and line[0] == "1"]
    return ages


def jobs(home: Path) -> Iterator[Row]:
    """Time a warm cell to its first line, lines on their way, and the floor: a local process."""
    from runctl_jupyter.orchestration import Runctl

    once = PRINTER.format(lines=1, pause=0)
    with project(once) as folder:
        rc = Runctl(target="sandbox", cwd=folder)
        rc.instances.create("m5.large", name="bench", wait=True)
        rc.jobs.train("train.py", on="bench").wait(60)
        yield (
            "warm instance: train → first line seen",
            middle(first_line(lambda script: rc.jobs.train(script, on="bench"))),
            f"python -c print: {middle([timed([sys.executable, str(folder / 'train.py')]) for _ in range(ROUNDS)])}",
            "aim < 1.5 s; < 0.5 s (Ray job submit: 4 s)",
        )
    with project(PRINTER.format(lines=LINES, pause=0.05)) as folder:
        rc = Runctl(target="sandbox", cwd=folder)
        job = rc.jobs.train("train.py", on="bench")
        ages = latency(iter(job.logs(follow=True)))
        assert len(ages) == LINES, f"{LINES - len(ages)} lines are missing"
        limit = "flush 100 ms + poll 50 ms and more"
        yield (
            f"line printed → line seen, {LINES} lines at 20/s",
            percentiles(ages),
            limit,
            "p95 < 2 s; < 0.5 s (Ray: 1.9 s)",
        )
    rc.instances.terminate("bench", wait=True)
    process = psutil.Process(next(pid for pid in psutil.pids() if _is_server(pid, home)))
    yield (
        "sandbox memory after these jobs",
        f"{process.memory_info().rss / 1e6:.0f} MB",
        "moto's models, S3 in memory",
        "-",
    )


def _is_server(pid: int, home: Path) -> bool:
    import json

    return bool(pid == json.loads((home / "connection.json").read_text())["pid"])


def code_sync() -> Iterator[Row]:
    """Time a sync of 10,000 files with one changed, into a folder, beside tar."""
    from runctl_jupyter.orchestration.config import SyncSettings
    from runctl_jupyter.orchestration.storage.code_sync import sync_project
    from runctl_jupyter.orchestration.storage.folder import ListableFolder
    from runctl_jupyter.orchestration.storage.project import project_files

    with tempfile.TemporaryDirectory() as folder:
        root, store = Path(folder, "p"), ListableFolder(Path(folder, "s"))
        for i in range(10_000):
            path = root / f"d{i // 100}" / f"f{i}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(500))
            os.utime(path, (1e9, 1e9))
        (root / ".gitignore").write_text("*.log\ndata/\n*.ckpt\nbuild/\n*.py[cod]\n.env\nnode_modules/\n")
        times = []
        for i in range(ROUNDS):
            (root / "d1" / "f100.py").write_bytes(b"%d" % i)
            started = time.perf_counter()
            files = project_files(root, SyncSettings())
            sync_project(store, root, files, cache_dir=Path(folder, "c"))
            times.append(time.perf_counter() - started)
        tar = timed(["tar", "-C", str(root), "-cf", str(Path(folder, "x.tar")), "."])
        beside = f"tar of everything {1000 * tar:.0f} ms"
        yield "code sync, one changed of 10,000 files", middle(times[1:]), beside, "aim < 300 ms (s5cmd sync: 1.4 s)"


def main() -> None:
    """Run every part and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "sandbox")
        os.environ["RUNCTL_SANDBOX_HOME"] = str(home)
        os.environ["XDG_CACHE_HOME"] = str(Path(folder, "cache"))
        rows = [*imports(), *code_sync()]
        from runctl_jupyter.sandbox import service

        try:
            rows += [*sandbox_start(home), *jobs(home)]
        finally:
            service.stop(home)
    cores = os.cpu_count()
    machine = f"{platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}"
    title = f"{datetime.now(UTC):%Y-%m-%d}, {machine}"
    table = Table("what", "min / median / max", "beside it", "aim", title=title)
    for row in rows:
        table.add_row(*row)
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
