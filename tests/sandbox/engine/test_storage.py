"""``rc.storage`` on the sandbox's S3."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from runctl_jupyter.orchestration.errors import InvalidRequest, ObjectChanged, ObjectMissing, StorageUnavailable
from runctl_jupyter.orchestration.storage.crew import Progress
from runctl_jupyter.orchestration.storage.names import landing_places
from runctl_jupyter.orchestration.storage.options import S3Options
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine

pytestmark = pytest.mark.machineless

BASE = "s3://runctl-sandbox/storage-test"


def test_up_and_down(engine: Engine, tmp_path: Path, boto: Boto) -> None:
    storage = engine({}).storage
    folder = tmp_path / "up"
    (folder / "a b").mkdir(parents=True)
    files = {"x.txt": b"x", "a b/\u00fc.bin": bytes(range(256)) * 100, "empty": b""}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    moved = storage.upload(folder, f"{BASE}/dir", recursive=True)
    assert (moved.files, moved.bytes) == (3, sum(map(len, files.values())))
    one = storage.upload(folder / "x.txt", f"{BASE}/single/")
    assert one.files == 1
    listed = storage.list(f"{BASE}/", recursive=True)
    assert {o.uri.removeprefix(f"{BASE}/") for o in listed} == {"single/x.txt", *(f"dir/{n}" for n in files)}
    assert [(o.key, o.is_prefix) for o in storage.list(BASE)] == [
        ("storage-test/dir/", True),
        ("storage-test/single/", True),
    ]
    storage.download(f"{BASE}/dir", tmp_path / "down", recursive=True)
    assert {n: (tmp_path / "down" / n).read_bytes() for n in files} == files
    storage.download(f"{BASE}/single/x.txt", tmp_path / "one.txt")
    assert (tmp_path / "one.txt").read_bytes() == b"x"


def test_a_large_file_in_parts(engine: Engine, tmp_path: Path) -> None:
    storage = engine({}).storage
    data = bytes(range(256)) * (80 * 1024)
    (tmp_path / "big").write_bytes(data)
    storage.upload(tmp_path / "big", f"{BASE}-big/big")
    storage.download(f"{BASE}-big/big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data


def test_what_cannot_be_done_is_said_and_leaves_nothing(engine: Engine, tmp_path: Path) -> None:
    storage = engine({}).storage
    with pytest.raises(ObjectMissing, match="nothing-here"):
        storage.download(f"{BASE}/nothing-here", tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []
    with pytest.raises(InvalidRequest, match="no file"):
        storage.upload(tmp_path / "nope", f"{BASE}/x")
    with pytest.raises(InvalidRequest, match="is a folder"):
        storage.upload(tmp_path, f"{BASE}/x")
    with pytest.raises(InvalidRequest, match="not the name of a bucket"):
        storage.list("s3://Bad_Bucket/x")
    with pytest.raises(StorageUnavailable, match="other-bucket-of-someone"):
        storage.list("s3://other-bucket-of-someone/")


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd", "a//b", "."])
def test_keys_that_would_leave_the_folder(tmp_path: Path, key: str) -> None:
    with pytest.raises(InvalidRequest, match="outside"):
        landing_places(str(tmp_path), [key])


def test_keys_that_would_leave_the_folder_leave_it_empty(engine: Engine, tmp_path: Path, boto: Boto) -> None:
    storage, base = engine({}).storage, "hostile"
    for key in ("fine", "../../escaped", "a//b"):
        boto("s3").put_object(Bucket="runctl-sandbox", Key=f"{base}/{key}", Body=b"x")
    into = tmp_path / "deep" / "into"
    with pytest.raises(InvalidRequest, match="outside"):
        storage.download(f"s3://runctl-sandbox/{base}", into, recursive=True)
    assert not into.exists()
    assert not (tmp_path / "escaped").exists()
    moved = storage.download(f"s3://runctl-sandbox/{base}", into, recursive=True, exclude=["..", "a"])
    assert (moved.files, [p.name for p in into.iterdir()]) == (1, ["fine"])
    listed = {o.key for o in storage.list(f"s3://runctl-sandbox/{base}", recursive=True)}
    assert listed == {f"{base}/fine", f"{base}/../../escaped", f"{base}/a//b"}


def test_a_link_in_the_folder_leads_nobody_out_of_it(engine: Engine, tmp_path: Path, boto: Boto) -> None:
    boto("s3").put_object(Bucket="runctl-sandbox", Key="linked/out/x", Body=b"x")
    (tmp_path / "into").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "into" / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidRequest, match="outside"):
        engine({}).storage.download("s3://runctl-sandbox/linked", tmp_path / "into", recursive=True)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_an_object_and_a_folder_of_one_name(engine: Engine, tmp_path: Path, boto: Boto) -> None:
    storage = engine({}).storage
    for key in ("both/a", "both/a/b/c", "both/d/", "both/d/e"):
        boto("s3").put_object(Bucket="runctl-sandbox", Key=key, Body=b"" if key.endswith("/") else b"x")
    with pytest.raises(InvalidRequest, match="an object and"):
        storage.download("s3://runctl-sandbox/both", tmp_path / "into", recursive=True)
    assert not (tmp_path / "into").exists()
    storage.download("s3://runctl-sandbox/both", tmp_path / "into", recursive=True, exclude=["/a/*"])
    assert (tmp_path / "into/a").read_bytes() == b"x"
    assert (tmp_path / "into/d/e").read_bytes() == b"x"


def test_what_is_chosen_and_what_is_left_alone(engine: Engine, tmp_path: Path) -> None:
    storage, folder = engine({}).storage, tmp_path / "up"
    for name in ("m.pt", "logs/a.log", "logs/m.pt", "notes.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    chosen = storage.upload(folder, f"{BASE}-chosen", recursive=True, include=["*.pt", "*.md"], exclude=["logs/"])
    assert {o.key.rpartition("/")[2] for o in storage.list(f"{BASE}-chosen", recursive=True)} == {"m.pt", "notes.md"}
    again = storage.upload(folder, f"{BASE}-chosen", recursive=True, no_clobber=True)
    assert (chosen.files, again.files, again.skipped) == (2, 2, 2)


def test_another_s3_and_a_version_by_its_tag(engine: Engine, tmp_path: Path, boto: Boto) -> None:
    storage = engine({}).storage
    there = S3Options(endpoint_url=boto("s3").meta.endpoint_url)
    (tmp_path / "f").write_bytes(b"one")
    storage.upload(tmp_path / "f", f"{BASE}-tag/f", options=there)
    etag = boto("s3").head_object(Bucket="runctl-sandbox", Key="storage-test-tag/f")["ETag"]
    (tmp_path / "f").write_bytes(b"two")
    with pytest.raises(ObjectChanged):
        storage.upload(tmp_path / "f", f"{BASE}-tag/f", if_match='"0"')
    storage.upload(tmp_path / "f", f"{BASE}-tag/f", if_match=etag)
    with pytest.raises(ObjectChanged):
        storage.download(f"{BASE}-tag/f", tmp_path / "g", if_match=etag)
    storage.download(f"{BASE}-tag/f", tmp_path / "g", options=there)
    assert (tmp_path / "g").read_bytes() == b"two"


def test_a_relative_path_is_where_you_are(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = engine({}).storage
    (tmp_path / "f").write_bytes(b"one")
    monkeypatch.chdir(tmp_path)
    storage.upload("f", f"{BASE}-relative/")
    storage.download(f"{BASE}-relative/f", "g")
    storage.download(f"{BASE}-relative", "d", recursive=True)
    assert [(tmp_path / name).read_bytes() for name in ("g", "d/f")] == [b"one", b"one"]


def test_a_transfer_that_is_awaited_can_be_stopped(engine: Engine, tmp_path: Path, boto: Boto) -> None:
    storage = engine({}).storage
    with (tmp_path / "big").open("wb") as big:
        big.truncate(3000 << 20)
    (tmp_path / "small").write_bytes(b"x")
    threads = set()

    async def both() -> int:
        begun = asyncio.Event()

        def note(progress: Progress) -> None:
            threads.add(threading.get_ident())
            if progress.bytes_done:
                begun.set()

        task = asyncio.create_task(storage.upload_async(tmp_path / "big", f"{BASE}-awaited/big", on_progress=note))
        await begun.wait()
        moved = await storage.upload_async(tmp_path / "small", f"{BASE}-awaited/small")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return moved.files

    assert asyncio.run(both()) == 1
    assert threads == {threading.get_ident()}
    found = boto("s3").list_objects_v2(Bucket="runctl-sandbox", Prefix="storage-test-awaited")
    assert [each["Key"] for each in found["Contents"]] == ["storage-test-awaited/small"]
    assert "Uploads" not in boto("s3").list_multipart_uploads(Bucket="runctl-sandbox")
