"""``rc.storage.watch``, ``scan`` and the verbs of both on the sandbox's S3."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration import ObjectEvent, Runctl
from runctl_jupyter.orchestration.errors import InvalidRequest, StorageUnavailable
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine

pytestmark = pytest.mark.machineless

BUCKET = "runctl-sandbox"
_HERE = Path(__file__).parents[3]  # so that the program is this checkout


@pytest.fixture
def rc(engine: Engine) -> Runctl:
    return engine({})


def put(boto: Boto, key: str, body: bytes = b"x") -> None:
    boto("s3").put_object(Bucket=BUCKET, Key=key, Body=body)


def test_what_happens_is_told_once(rc: Runctl, boto: Boto) -> None:
    put(boto, "watch/old", b"1")
    put(boto, "watch/goes", b"22")
    events = rc.storage.watch(f"s3://{BUCKET}/watch", interval=0.1, exclude=["*.tmp"])
    put(boto, "watch/new", b"333")
    put(boto, "watch/new.tmp")
    put(boto, "watched-too")
    assert told(next(events)) == ("added", "watch/new", 3)
    put(boto, "watch/old", b"2")
    assert told(next(events)) == ("changed", "watch/old", 1)
    boto("s3").delete_object(Bucket=BUCKET, Key="watch/goes")
    assert told(next(events)) == ("removed", "watch/goes", 2)
    threading.Timer(0.3, events.close).start()
    assert list(events) == []


def told(event: ObjectEvent) -> tuple[str, str, int]:
    return event.kind, event.key, event.size


def test_the_loop_goes_on_while_one_awaits(rc: Runctl, boto: Boto) -> None:
    async def watching() -> list[tuple[str, str, int]]:
        events = rc.storage.watch(f"s3://{BUCKET}/awaited", interval=0.1)

        async def write() -> None:
            for n in range(3):
                await asyncio.to_thread(put, boto, f"awaited/{n}")

        writing = asyncio.create_task(write())
        seen = []
        async for event in events:
            seen.append(told(event))
            if len(seen) == 3:
                break
        await writing
        return seen

    assert asyncio.run(watching()) == [("added", f"awaited/{n}", 1) for n in range(3)]


def test_a_watch_that_cannot_be(rc: Runctl) -> None:
    with pytest.raises(StorageUnavailable):
        rc.storage.watch("s3://nobody-has-such-a-bucket/x")
    with pytest.raises(InvalidRequest):
        rc.storage.watch(f"s3://{BUCKET}/x", interval=0.0)


def test_the_verb_prints_json_lines_and_ends_with_ctrl_c(rc: Runctl, boto: Boto) -> None:
    verb_line = ["s3", "watch", f"s3://{BUCKET}/verb", "--interval", "1s", "--json"]
    command = [sys.executable, "-m", "runctl_jupyter", *verb_line]
    environ = {**os.environ, "RUNCTL_TARGET": "sandbox", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, cwd=_HERE) as verb:
        assert verb.stdout is not None
        stop = threading.Event()

        def write_until_seen() -> None:
            n = 0
            while not stop.wait(0.3):  # whatever was there before the first listing is no event
                put(boto, f"verb/{n}")
                n += 1

        writer = threading.Thread(target=write_until_seen)
        writer.start()
        try:
            event = json.loads(verb.stdout.readline())
        finally:
            stop.set()
            writer.join()
        verb.send_signal(signal.SIGINT)
        _, said = verb.communicate(timeout=30)
    assert (event["kind"], event["uri"][: len(f"s3://{BUCKET}/verb/")]) == ("added", f"s3://{BUCKET}/verb/")
    assert (verb.returncode, said) == (0, b"")


@pytest.fixture(scope="module")
def many(sandbox: Any, boto: Boto) -> str:
    s3 = boto("s3")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: s3.put_object(Bucket=BUCKET, Key=f"listed/{n:04}", Body=b""), range(1200)))
    return "listed"


def test_a_listing_begins_before_it_is_read_to_its_end(rc: Runctl, boto: Boto, many: str) -> None:
    rows = rc.storage.scan(f"s3://{BUCKET}/{many}")
    assert next(rows).key == "listed/0000"
    assert [row.key for row in rows] == [f"listed/{n:04}" for n in range(1, 1200)]
    put(boto, "listed/zz/below")
    try:
        mixed = [row.uri for row in rc.storage.scan(f"s3://{BUCKET}/{many}")]
        assert len(mixed) == len(set(mixed)) == 1201
        assert f"s3://{BUCKET}/listed/zz/" in mixed
        assert len(rc.storage.list(f"s3://{BUCKET}/{many}", limit=7)) == 7
    finally:
        boto("s3").delete_object(Bucket=BUCKET, Key="listed/zz/below")


def test_the_verb_lists_lines_or_one_document(rc: Runctl, many: str) -> None:
    def say(*words: str) -> str:
        command = [sys.executable, "-m", "runctl_jupyter", "s3", "list", *words]
        environ = {**os.environ, "RUNCTL_TARGET": "sandbox"}
        return subprocess.run(command, env=environ, cwd=_HERE, check=True, capture_output=True, text=True).stdout

    uri = f"s3://{BUCKET}/{many}"
    rows = json.loads(say(uri, "--recursive", "--json"))
    assert [row["key"] for row in rows] == [f"listed/{n:04}" for n in range(1200)]
    assert json.loads(say(f"s3://{BUCKET}/nothing-here", "--json")) == []
    assert json.loads(say(uri, "--json", "--limit", "1"))[0]["uri"] == f"{uri}/0000"
    lines = say(uri, "--limit", "3").splitlines()
    assert [line.split()[-1] for line in lines] == [f"{uri}/{n:04}" for n in range(3)]
    assert say(f"s3://{BUCKET}/nothing-here").startswith("Nothing under")
