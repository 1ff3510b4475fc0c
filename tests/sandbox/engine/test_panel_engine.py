"""What the panels ask the engine, against S3 and real jobs: pages, parts, logs by place, measures, costs, places."""

from __future__ import annotations

from pathlib import Path

import pytest

from runctl_jupyter.orchestration import Instance, Job, Runctl, places
from runctl_jupyter.orchestration.errors import (
    InvalidRequest,
    ObjectMissing,
    PermissionDenied,
    RunctlError,
    StorageUnavailable,
)
from runctl_jupyter.orchestration.instances.document import instance_documents
from runctl_jupyter.orchestration.model import ObjectPage
from runctl_jupyter.orchestration.storage.stores import bucket_store
from runctl_jupyter.run_record import JobState
from tests.sandbox.engine.conftest import Engine

SOURCE = """\
import sys, time
for step in range(3):
    print(f"step {step} loss={1 / (step + 1)}", flush=True)
    time.sleep(0.2)
sys.exit(3 if "fail" in sys.argv else 0)
"""


@pytest.fixture
def rc(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runctl:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return engine({"t.py": SOURCE})


def names(page: ObjectPage) -> list[str]:
    return [each.name for each in (*page.prefixes, *page.objects)]


def put(rc: Runctl, folder: str, *keys: str, data: bytes = b"x") -> str:
    bucket = rc.connection.bucket
    assert bucket is not None
    store = bucket_store(rc._session, bucket)
    for key in keys:
        store.put(f"{folder}/{key}", data)
    return f"s3://{bucket}/{folder}"


def test_a_level_page_by_page(rc: Runctl) -> None:
    keys = [f"f{n:02d}" for n in range(7)] + [f"d{n}/x" for n in range(4)] + ["a b+é?.txt"]
    root = put(rc, "pages", *keys)
    found: list[str] = []
    token = None
    while True:
        page = rc.storage.page(root, token, limit=3)
        assert len(names(page)) <= 3
        found += names(page)
        token = page.next
        if token is None:
            break
    assert sorted(found) == sorted([f"f{n:02d}" for n in range(7)] + [f"d{n}" for n in range(4)] + ["a b+é?.txt"])
    filtered = rc.storage.page(f"{root}/", prefix_filter="f0")
    assert names(filtered) == [f"f{n:02d}" for n in range(7)]
    assert names(rc.storage.page(root, prefix_filter="d")) == [f"d{n}" for n in range(4)]
    below = rc.storage.page(root, prefix_filter="d1").prefixes[0].uri
    (entry,) = rc.storage.page(below).objects
    assert entry.to_dict() == {
        "name": "x", "uri": f"{root}/d1/x", "size": 1, "last_modified": entry.to_dict()["last_modified"]
    }  # fmt: skip
    odd = next(each for each in rc.storage.page(root).objects if each.name.startswith("a"))
    assert rc.storage.preview(odd.uri).text == "x"
    assert names(rc.storage.page(f"{root}/nowhere/")) == []


def test_a_bucket_that_is_not_ours(rc: Runctl) -> None:
    for uri in ("s3://somebody-elses-bucket/", "s3://somebody-elses-bucket/x"):
        with pytest.raises((StorageUnavailable, PermissionDenied)) as caught:
            rc.storage.page(uri)
        assert "somebody-elses-bucket" in caught.value.what
        assert caught.value.to_resolve
    with pytest.raises(InvalidRequest):
        rc.storage.page("/not/s3")
    with pytest.raises(RunctlError):
        rc.storage.preview("s3://somebody-elses-bucket/x")


def test_previews_and_streams(rc: Runctl) -> None:
    root = put(rc, "previews", "empty", data=b"")
    assert rc.storage.preview(f"{root}/empty").text == ""
    put(rc, "previews", "a.json", data=b'{"a":1}')
    assert rc.storage.preview(f"{root}/a.json").to_dict()["kind"] == "json"
    large = bytes(range(256)) * 20_000
    put(rc, "previews", "large.bin", data=large)
    shown = rc.storage.preview(f"{root}/large.bin")
    assert (shown.kind, shown.size, shown.truncated) == ("binary", len(large), True)
    stream = rc.storage.stream(f"{root}/large.bin")
    assert (stream.size, b"".join(stream.chunks)) == (len(large), large)
    for missing in (rc.storage.preview, rc.storage.stream):
        with pytest.raises(ObjectMissing):
            missing(f"{root}/nothing")
        with pytest.raises(InvalidRequest):
            missing(f"{root}/")


def test_a_part_ends_where_the_object_ends(rc: Runctl) -> None:
    store = rc.jobs.record.store
    store.put("part", b"0123456789", metadata={"offset": "5"})
    found = store.get_part("part", 2, 4)
    assert (found.data, found.size, found.metadata["offset"]) == (b"23", 10, "5")
    assert (store.get_part("part", 8, 100).data, store.get_part("part", 10, 20).data) == (b"89", b"")
    assert store.get_part("part", 50, 60).size == 10


def test_a_job_as_the_panels_see_it(rc: Runctl, dev: Instance) -> None:
    assert rc.place not in [each.id for each in places.known()]
    job = rc.jobs.train("t.py", on=dev.id, arguments=["fail"])
    assert isinstance(job, Job)
    assert rc.place in [each.id for each in places.known()]
    job.wait(60)
    whole = job.logs().read()
    pieces = list(job.logs().pieces())
    assert b"".join(piece.data for piece in pieces) == whole
    assert {piece.origin for piece in pieces} >= {"script"}
    page = job.log_page(-20, 20)
    assert (page.size, page.ended) == (len(whole), True)
    assert b"".join(piece.data for piece in page.pieces) == whole[-20:]

    said = job.to_dict()
    assert (said["state"], said["target"]) == ("failed", "sandbox")
    assert said["phases"] == [] or said["phases"][-1]["ended_at"] == said["ended_at"]
    job.measures().thinned(100).to_dict()

    assert next(j for j in rc.jobs.list(limit=None) if j.id == job.id).state is JobState.FAILED
    elsewhere = Runctl(target="sandbox", cwd=rc.cwd)
    elsewhere.jobs.resume(job.id).wait(60)
    seen = next(j for j in rc.jobs.list(limit=None) if j.id == job.id)
    assert seen.attempt == 2, "a job that another process has resumed is seen"
    assert [each["number"] for each in seen.to_dict()["earlier"]] == [1]
    (mark,) = seen.measures().marks
    assert "resumed after" in mark.text
    again = seen.log_page(0, 1 << 20)
    assert b"".join(piece.data for piece in again.pieces) == seen.logs().read()
    assert len(again.pieces) > len(page.pieces)

    costs = rc.costs()
    assert costs.week_usd >= costs.today_usd > 0
    assert job.id in [each.id for each in costs.jobs]
    document = next(d for d in instance_documents(rc.instances.list(), rc.jobs.list()) if d["id"] == dev.id)
    assert (document["jobs"], document["state"]) == ([], "running")
