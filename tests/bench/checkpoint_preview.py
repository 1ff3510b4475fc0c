"""What is in a checkpoint of 5 GB in S3, seen by ``runctl checkpoints info`` and by what people use instead.

``python tests/bench/checkpoint_preview.py [--gigabytes 5] [--rounds 3] [--rivals FOLDER]`` (needs extra ``test`` and
torch). Not a test: it prints a table in Markdown. Each run is a process of its own that prints how many tensors it has
found. ``s3fs`` opens the object as a file, as its users do, and reads the header from it; ``s5cmd`` and the library
that wrote the file fetch all of it first. Bytes are those that came over loopback meanwhile, answers and questions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil

from tests.bench.s3_speed import ROOT, environments
from tests.bench.upload import ACCESS_KEY, BUCKET, MEASURE, REGION, SECRET_KEY, middle, server

TENSORS = 200
OURS = """\
import sys
from tests.bench.checkpoint_preview import BUCKET
from runctl_jupyter import Runctl
info = Runctl("aws", bucket=BUCKET, region="us-east-1").checkpoints.info(sys.argv[1])
print(len(info.tensors), info.requests, info.bytes_read)
"""
S3FS = """\
import json, os, sys, zipfile
import s3fs
store = s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"])
with store.open(sys.argv[1]) as file:
    if sys.argv[1].endswith(".safetensors"):
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        print(len(header) - ("__metadata__" in header))
    else:
        # Who does not unpickle sees the names of the storages.
        print(sum("/data/" in name for name in zipfile.ZipFile(file).namelist()))
"""
WHOLE = """\
import subprocess, sys, tempfile
with tempfile.TemporaryDirectory(dir=sys.argv[2]) as folder:
    path = f"{folder}/{sys.argv[1].rpartition('/')[2]}"
    subprocess.run(["s5cmd", "cp", sys.argv[1], path], check=True, stdout=subprocess.DEVNULL)
    if path.endswith(".safetensors"):
        from safetensors import safe_open
        with safe_open(path, framework="numpy") as found:
            print(len(found.keys()))
    else:
        import torch
        print(len(torch.load(path, map_location="cpu", weights_only=True, mmap=True)))
"""


def make(folder: Path, gigabytes: float) -> Iterator[Path]:
    """Write the same tensors as safetensors and as PyTorch does; yield the files one after the other."""
    import torch
    from safetensors.torch import save_file

    each = int(gigabytes * 1e9 / TENSORS / 4)
    state = {f"layers.{n}.weight": torch.full((each,), float(n)) for n in range(TENSORS)}
    save_file(state, folder / "model.safetensors")
    yield folder / "model.safetensors"
    torch.save(state, folder / "model.pt")
    yield folder / "model.pt"


def received() -> int:
    """Return the bytes that have come over loopback."""
    return int(psutil.net_io_counters(pernic=True)["lo"].bytes_recv)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rivals", help="keep the environments of the rivals here")
    given = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"{given.rounds} rounds, load {os.getloadavg()[0]:.1f} at the start\n\nmin / median / max\n")
    print("| checkpoint | way | tensors | requests | bytes read | process s | CPU s | peak MB |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    with environments(given.rivals) as rivals, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with server(folder / "server") as endpoint:
            env = {
                "PATH": f"{rivals / 'tools' / 'bin'}:{os.environ['PATH']}",
                "HOME": str(folder),
                "PYTHONPATH": str(ROOT),
                "AWS_ACCESS_KEY_ID": ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                "AWS_REGION": REGION,
                "AWS_ENDPOINT_URL": endpoint,
                "S3_ENDPOINT_URL": endpoint,
            }
            ways = {
                "runctl": [sys.executable, "-c", OURS],
                "s3fs": [str(rivals / "s3fs" / "bin" / "python"), "-c", S3FS],
                "s5cmd, then its library": [sys.executable, "-c", WHOLE],
            }
            for path in make(folder, given.gigabytes):
                size = path.stat().st_size
                subprocess.run(["s5cmd", "cp", path, f"s3://{BUCKET}/"], env=env, check=True, stdout=sys.stderr)
                path.unlink()
                for way, command in ways.items():
                    runs = [
                        run([*command, f"s3://{BUCKET}/{path.name}", name], env, folder) for _ in range(given.rounds)
                    ]
                    words, bytes_came = runs[-1][0].split(), runs[-1][1]
                    asked, took = (words[1], int(words[2])) if len(words) > 1 else ("", bytes_came)
                    times = " | ".join(middle([each[2][n] for each in runs]) for n in range(3))
                    print(
                        f"| {path.name}, {size / 1e9:.1f} GB | {way} | {words[0]} | {asked} | {took:,} | {times} |",
                        flush=True,
                    )


def run(command: list[str], env: dict[str, str], folder: Path) -> tuple[str, int, tuple[float, float, float]]:
    """Run a command; return what it said last, the bytes that came, and seconds, seconds of CPU, megabytes."""
    before = received()
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", MEASURE, *command], env=env, cwd=folder, stdout=subprocess.PIPE, check=True
    )
    came = received() - before
    *_, said, figures = done.stdout.decode().splitlines()
    wall, cpu, peak = json.loads(figures)
    return said, came, (wall, cpu, peak / (1 << 20))


if __name__ == "__main__":
    main()
