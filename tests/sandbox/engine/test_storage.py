"""``rc.storage`` on the sandbox's S3."""

from __future__ import annotations

from pathlib import Path

import pytest

from runctl_jupyter.orchestration.errors import InvalidRequest, ObjectMissing, StorageUnavailable
from runctl_jupyter.orchestration.storage.storage import _inside
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine

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
        _inside(tmp_path, key)
