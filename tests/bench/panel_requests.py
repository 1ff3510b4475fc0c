"""Figures of what the panel asks of AWS. Not a test: it prints a table.

``python tests/bench/panel_requests.py [--seconds 60]`` (needs the extra ``test``). A sandbox is filled on disk while it
does not run: 5,000 ended jobs, 200 stopped instances and 100,000 objects; then a real Jupyter server asks it. The
sandbox counts the requests itself (a fault that delays by 0.1 ms counts what it hits).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import obstore
import websocket
from obstore.store import S3Store

from runctl_jupyter.run_record.layout import AttemptKeys, JobKeys
from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection, connection_path
from runctl_jupyter.sandbox.control.store import StateStore
from tests.bench.chromium import spread
from tests.bench.sandboxed import load, show
from tests.browser.lab import Lab

COLUMNS = ("what", "measured", "beside it", "aim", "load")
INSTANCES = 200
"""The sandbox has addresses for 240 machines; EC2 answers up to 1,000 in one request."""
PREFIX = "bench/objects/"
PATIENCE_S = 15.0
"""How long the rivals may take: moto looks at each key of the bucket for each page."""
TOPICS = ("jobs", "instances", "costs")
"""What a page with the panel follows."""
Row = tuple[str, ...]


def fill(home: Path, job: str, job_count: int, object_count: int) -> None:
    """Multiply a job, an instance and an object in the sandbox's store; it must not run."""
    store = StateStore(home)
    objects = {(each.bucket, each.key): each for each in store.objects()}
    keys = (JobKeys(job).spec, AttemptKeys(job, 1).status)
    for number in range(job_count):
        at = datetime.now(UTC) - timedelta(minutes=5 * (number + 1))
        new = f"{at:%y%m%d-%H%M%S}-{number:04d}"
        for key in keys:
            (found,) = (each for (_, one), each in objects.items() if one.endswith(key))
            document = json.loads(found.body.read_text())
            for name in ("created_at", "claimed_at", "started_at", "ended_at", "updated_at"):
                if name in document:
                    document[name] = at.isoformat().replace("+00:00", "Z")
            data = json.dumps(document).replace(job, new).encode()
            attributes = {**found.attributes, "etag": hashlib.md5(data).hexdigest()}
            store.save_object(found.bucket, found.key.replace(job, new), store.write_body(data), attributes)
    for number in range(object_count):
        store.save_object(found.bucket, f"{PREFIX}{number:06d}.bin", found.body, found.attributes)
    ((instance, record),) = store.instances().items()
    record["state"] = "stopped"
    for number in range(INSTANCES - 1):
        new = f"i-{number:017x}"
        volumes = {device: {**each, "id": f"vol-{number:017x}"} for device, each in record["volumes"].items()}
        reservation = f"r-{number:017x}"
        clone = json.loads(json.dumps({**record, "volumes": volumes, "reservation_id": reservation}))
        store.save_instance(new, json.loads(json.dumps(clone).replace(instance, new)))
    store.close()


class Tab:
    """What a page with the panel follows, over a WebSocket as a page does."""

    def __init__(self, lab: Lab, jobs: int) -> None:
        self._jobs = jobs
        self.began = time.monotonic()
        self.first: dict[str, float] = {}
        self.rows: dict[str, set[str]] = {topic: set() for topic in TOPICS}
        self.complete = threading.Event()
        self.complete_after = 0.0
        address = lab.url("runctl-jupyter/events").replace("http", "ws")
        self._socket = websocket.create_connection(address, header=lab.headers, timeout=120)
        for topic in TOPICS:
            message: dict[str, Any] = {"type": "subscribe", "id": topic, "topic": topic, "params": {}, "place": None}
            self._socket.send(json.dumps(message))
        self._closed = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            try:
                said = json.loads(self._socket.recv())
            except (OSError, ValueError, websocket.WebSocketException):
                if self._closed:
                    return
                raise
            if said["type"] == "status" and said["trouble"] is not None:
                print(f"trouble of {said['id']}: {said['trouble']}")
            for each in said.get("events", ()):
                topic = each["id"]
                self.first.setdefault(topic, time.monotonic() - self.began)
                self.rows[topic] |= {row["id"] for row in each["event"].get("rows", ())}
            if (
                len(self.rows["jobs"]) > self._jobs
                and len(self.rows["instances"]) >= INSTANCES
                and not self.complete_after
            ):
                self.complete_after = time.monotonic() - self.began
                self.complete.set()

    def close(self) -> None:
        """Close the page."""
        self._closed = True
        self._socket.close()
        self._thread.join()


def panel(lab: Lab, connection: Connection, jobs: int, seconds: float) -> Iterator[Row]:
    """Follow the panel's tables with one page, then with five, and count the requests."""
    counted: dict[int, dict[str, float]] = {}
    tabs: list[Tab] = []
    for wanted in (1, 5):
        while len(tabs) < wanted:
            tabs.append(Tab(lab, jobs))
            if not tabs[-1].complete.wait(180):
                raise AssertionError(f"rows are missing: { {name: len(each) for name, each in tabs[-1].rows.items()} }")
        for service in ("s3", "ec2"):
            faults_client.add(connection, "latency", service=service, origin="client", latency_s=0.0001)
        time.sleep(seconds)
        hits = {each.service: each.hits for each in faults_client.list(connection)}
        faults_client.clear(connection)
        counted[wanted] = {name: count * 60 / seconds for name, count in hits.items()}
    one, others = tabs[0], tabs[1:]
    yield (
        f"the panel's tables: {jobs:,} jobs and {INSTANCES:,} instances, a fresh server",
        (
            f"first jobs {one.first['jobs']:.1f} s, instances {one.first['instances']:.1f} s, "
            f"all {one.complete_after:.1f} s"
        ),
        (
            f"another page: first jobs {spread([each.first['jobs'] for each in others], 2)} s, "
            f"all {spread([each.complete_after for each in others], 2)} s"
        ),
        "-",
        load(),
    )
    for wanted, each in counted.items():
        said = ", ".join(f"{name} {count:.0f}" for name, count in sorted(each.items()))
        yield (f"requests a minute, {wanted} page{'s' if wanted > 1 else ''} open", said, "", "equal", load())
    for tab in tabs:
        tab.close()


def timed(call: Callable[[], Any], rounds: int) -> list[float]:
    """Return the milliseconds of each of several calls."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - began))
    return times


def listed(counts: Iterable[int], objects: int) -> str:
    """Say how long a listing takes, or how far it has come when patience ends."""
    began, found = time.monotonic(), 0
    for count in counts:
        found += count
        if time.monotonic() - began > PATIENCE_S and found < objects:
            return f"{found:,} in {PATIENCE_S:.0f} s"
    return f"{found:,} in {time.monotonic() - began:.1f} s"


def pages(lab: Lab, connection: Connection, objects: int) -> Iterator[Row]:
    """Ask for the first page of a long folder, as the panel does; beside listing all of it."""
    import httpx

    uri = f"s3://{connection.bucket}/{PREFIX}"
    with httpx.Client(base_url=lab.url("runctl-jupyter/"), headers=lab.headers, timeout=120) as client:

        def ask(**more: object) -> Any:
            answer = client.get("query/objects", params={"params": json.dumps({"uri": uri, **more})})
            answer.raise_for_status()
            return answer.json()

        first = ask()
        ours = timed(ask, 7)
        second = timed(lambda: ask(token=first["next"]), 7)
        filtered = timed(lambda: ask(filter="0999"), 7)
    env = connection.env
    s3 = boto3.client(
        "s3",
        endpoint_url=connection.s3_endpoint_url,
        region_name=connection.region,
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )
    bare = timed(lambda: s3.list_objects_v2(Bucket=connection.bucket, Prefix=PREFIX, Delimiter="/", MaxKeys=200), 7)

    everything = s3.get_paginator("list_objects_v2").paginate(Bucket=connection.bucket, Prefix=PREFIX)
    with_boto3 = listed((each["KeyCount"] for each in everything), objects)
    store = S3Store(
        connection.bucket,
        endpoint=connection.s3_endpoint_url,
        region=connection.region,
        access_key_id=env["AWS_ACCESS_KEY_ID"],
        secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        client_options={"allow_http": True},
    )

    with_obstore = listed(map(len, obstore.list(store, prefix=PREFIX, chunk_size=1000)), objects)
    yield (
        f"first page of {objects:,} objects ({len(first['objects'])}), over HTTP",
        f"{spread(ours)} ms; next page {spread(second)} ms; names that begin so {spread(filtered)} ms",
        (
            f"bare ListObjectsV2 of 200: {spread(bare)} ms; "
            f"listing all of it with boto3: {with_boto3}, obstore: {with_obstore}"
        ),
        "< 200 ms",
        load(),
    )


class Filled(Lab):
    """A Lab whose sandbox has been filled."""

    def prepare(self, jobs: int, objects: int) -> None:
        """Run one job on one instance, stop the sandbox, fill it, and start it again."""
        self.runctl("create", "m5.large", "--name", "dev", "--wait")
        (self.work / "train.py").write_text("print('step=1 loss=0.5')\n")
        job = self.runctl("train", "train.py", "--on", "dev", "--name", "first", "--wait")["id"]
        self.runctl("stop", "dev", "--wait")
        self.sandbox("stop")
        fill(Path(self.env["RUNCTL_SANDBOX_HOME"]), job, jobs, objects)
        self.sandbox("start")

    def sandbox(self, verb: str) -> None:
        """Start or stop the sandbox; a start takes some seconds with so much in it."""
        from runctl_jupyter.sandbox import service

        home = Path(self.env["RUNCTL_SANDBOX_HOME"])
        if verb == "stop":
            service.stop(home)
        else:
            service.start(home, "plain", service.StartOptions(pace=0.0, max_instances=2 * INSTANCES))


def main() -> None:
    """Run every part and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="in which requests are counted")
    parser.add_argument("--jobs", type=int, default=5_000)
    parser.add_argument("--objects", type=int, default=100_000)
    options = parser.parse_args()
    table: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        lab = Filled(Path(folder, "lab"))
        os.environ["XDG_CACHE_HOME"] = str(lab.home / "cache")
        lab.start()
        try:
            lab.prepare(options.jobs, options.objects)
            connection = Connection.from_dict(
                json.loads(connection_path(Path(lab.env["RUNCTL_SANDBOX_HOME"])).read_text())
            )
            table += pages(lab, connection, options.objects)
            show("Objects", COLUMNS, table)
            table += panel(lab, connection, options.jobs, options.seconds)
        finally:
            lab.stop()
    show("What the panel asks", COLUMNS, table)


if __name__ == "__main__":
    main()
