"""``--data-s3``: every byte arrives, once for a machine; what is wrong with it is said."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from runctl_jupyter.orchestration import Instance
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.conftest import Boto
from tests.sandbox.doors.conftest import Terminal
from tests.sandbox.engine.conftest import Engine
from tests.sandbox.engine.running import BUCKET, Downloads, end_of, failed, printed, stored, succeeded, terminal

__all__ = ["terminal"]

ODD = [
    "with space.txt",
    "\u00fcber/gr\u00f6\u00dfe.txt",
    "a+b.txt",
    "100%.txt",
    "%2B%20.txt",
    "c#d?.txt",
    "e&f=g;h.txt",
]
BIG = "big/30MB.bin"
CHECK = """\
import hashlib, json, os, pathlib, stat
root = pathlib.Path(os.environ["RUNCTL_DATA_DIR"])
files = sorted(p for p in root.rglob("*") if p.is_file())
found = {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
print(len(found), sum(p.stat().st_size for p in files), {oct(stat.S_IMODE(p.stat().st_mode)) for p in files})
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def data(boto: Boto) -> dict[str, bytes]:
    """Objects below ``data/set/``, by the rest of their keys."""
    dice = random.Random(7)
    objects = {f"part-{i % 7}/{i:04}.bin": dice.randbytes(dice.randrange(3000)) for i in range(200)}
    objects |= {name: name.encode() for name in ODD} | {"empty": b"", BIG: dice.randbytes(30 << 20)}
    s3 = boto("s3")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda it: s3.put_object(Bucket=BUCKET, Key=f"data/set/{it[0]}", Body=it[1]), objects.items()))
    # What is no file of it.
    s3.put_object(Bucket=BUCKET, Key="data/set2/x", Body=b"no")
    s3.put_object(Bucket=BUCKET, Key="data/set/folder/", Body=b"")
    return objects


@pytest.fixture
def downloads(sandbox: Connection) -> Iterator[Downloads]:
    counted = Downloads(sandbox, "data/*")
    yield counted
    counted.close()


def expected(data: dict[str, bytes]) -> list[object]:
    sizes = sum(map(len, data.values()))
    return [
        f"{len(data)} {sizes} {{'0o444'}}",
        {name: hashlib.sha256(bytes_).hexdigest() for name, bytes_ in data.items()},
    ]


def test_all_arrive_once_for_the_machine(
    engine: Engine, dev: Instance, boto: Boto, data: dict[str, bytes], downloads: Downloads
) -> None:
    rc = engine({"check.py": CHECK})

    def check(uri: str = f"s3://{BUCKET}/data/set/") -> list[object]:
        job = succeeded(rc.jobs.train("check.py", on=dev.id, data_s3=uri))
        count, found = printed(job)
        manifest = json.loads(stored(boto, f"runctl/jobs/{job.id}/attempts/1/data.json")[""])
        assert manifest["uri"] == uri
        pages = boto("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="data/set/")
        listed = {each["Key"][9:]: each["ETag"].strip('"') for page in pages for each in page["Contents"]}
        assert {each["path"]: each["etag"] for each in manifest["files"]} == {name: listed[name] for name in data}
        return [count, json.loads(found)]

    assert check() == expected(data)
    assert downloads.since() == len(data)
    # Without the slash at the end it means the same, never half a name: `data/set2` is another.
    assert check(f"s3://{BUCKET}/data/set") == expected(data)
    assert downloads.since() == 0
    changed = {**data, "part-3/0003.bin": b"other bytes"}
    boto("s3").put_object(Bucket=BUCKET, Key="data/set/part-3/0003.bin", Body=b"other bytes")
    try:
        assert check() == expected(changed)
        assert downloads.since() == 1
    finally:
        boto("s3").put_object(Bucket=BUCKET, Key="data/set/part-3/0003.bin", Body=data["part-3/0003.bin"])


def test_one_object_through_the_terminal(
    engine: Engine, dev: Instance, terminal: Terminal, data: dict[str, bytes]
) -> None:
    engine({"check.py": CHECK})
    job = terminal.json("train", "check.py", "--on", dev.id, "--data-s3", f"s3://{BUCKET}/data/set/{ODD[0]}", "--wait")
    raw, _ = terminal.run("logs", job["id"], "--raw")
    found = raw.decode().splitlines()
    assert [found[0], json.loads(found[1])] == expected({ODD[0]: data[ODD[0]]})


def test_nothing_there_fails_the_job(engine: Engine, dev: Instance, terminal: Terminal, boto: Boto) -> None:
    rc = engine({"t.py": "print('begun')"})
    job = end_of(rc.jobs.train("t.py", on=dev.id, data_s3=f"s3://{BUCKET}/data/nothing/"))
    what, advice = failed(job, "data")
    assert f"s3://{BUCKET}/data/nothing/" in what
    assert "aws s3 ls" in advice
    assert (job.exit_code, printed(job)) == (None, [])
    line = ("train", "t.py", "--on", dev.id, "--data-s3", f"s3://{BUCKET}/data/nothing/", "--wait")
    out, error = terminal.run(*line, status=1)
    assert [line for line in out.splitlines() if not line.startswith(b"runctl: ")] == []
    assert error.splitlines()[-1] == advice
    assert what.rstrip(".") in error.splitlines()[-2]
