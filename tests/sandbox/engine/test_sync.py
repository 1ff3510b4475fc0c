"""``rc.storage.sync`` between a folder and the sandbox's S3: what is moved, what is not, what is removed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration import Runctl, S3Options
from runctl_jupyter.orchestration.errors import InvalidRequest, ObjectMissing
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine

pytestmark = pytest.mark.machineless

BUCKET = "runctl-sandbox"


@pytest.fixture
def rc(engine: Engine) -> Runctl:
    return engine({})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    for name in ("a.txt", "sub/b c.txt", "sub/ü/d.bin", "empty"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"" if name == "empty" else name.encode())
    return folder


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A prefix of the test's own."""
    return f"sync/{request.node.name}"


def contents(boto: Boto, prefix: str) -> dict[str, bytes]:
    s3 = boto("s3")
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/").get("Contents", [])
    keys = [each["Key"] for each in found]
    return {key.removeprefix(f"{prefix}/"): s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_up_only_what_differs(rc: Runctl, folder: Path, prefix: str, boto: Boto) -> None:
    uri = f"s3://{BUCKET}/{prefix}"
    first = rc.storage.sync(folder, uri)
    assert (sorted(first.uploaded), first.unchanged) == (["a.txt", "empty", "sub/b c.txt", "sub/ü/d.bin"], 0)
    assert contents(boto, prefix) == files(folder)
    again = rc.storage.sync(folder, uri)
    assert (again.uploaded, again.deleted, again.unchanged, again.bytes) == ([], [], 4, 0)

    (folder / "a.txt").write_bytes(b"A.TXT")  # as long as it was
    os.utime(folder / "sub/b c.txt", (1, 1))  # another date, the same content
    (folder / "empty").unlink()
    dry = rc.storage.sync(folder, uri, delete=True, dry_run=True)
    assert (dry.uploaded, dry.deleted, dry.dry_run) == (["a.txt"], ["empty"], True)
    assert contents(boto, prefix)["a.txt"] == b"a.txt"
    kept = rc.storage.sync(folder, uri)
    assert (kept.uploaded, kept.deleted, kept.unchanged) == (["a.txt"], [], 2)
    assert "empty" in contents(boto, prefix)
    done = rc.storage.sync(folder, uri, delete=True)
    assert (done.uploaded, done.deleted) == ([], ["empty"])
    assert contents(boto, prefix) == files(folder)


def test_down_only_what_differs(rc: Runctl, folder: Path, prefix: str, boto: Boto, tmp_path: Path) -> None:
    uri, into = f"s3://{BUCKET}/{prefix}", tmp_path / "into"
    rc.storage.sync(folder, uri)
    first = rc.storage.sync(uri, into)
    assert len(first.downloaded) == 4
    assert files(into) == files(folder)
    boto("s3").put_object(Bucket=BUCKET, Key=f"{prefix}/a.txt", Body=b"A.TXT")
    (into / "mine/deep").mkdir(parents=True)
    (into / "mine/deep/x").write_bytes(b"x")
    again = rc.storage.sync(uri, into)
    assert (again.downloaded, again.deleted, again.unchanged) == (["a.txt"], [], 3)
    assert (into / "a.txt").read_bytes() == b"A.TXT"
    done = rc.storage.sync(uri, into, delete=True)
    assert (done.downloaded, done.deleted) == ([], ["mine/deep/x"])
    assert not (into / "mine").exists()


def test_nothing_is_read_twice(
    rc: Runctl, folder: Path, prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from runctl_jupyter.orchestration.storage import sync

    read: list[str] = []
    real = sync.tag_fits

    def noted(path: str, *args: Any) -> bool | None:
        read.append(Path(path).name)
        return real(path, *args)

    monkeypatch.setattr(sync, "tag_fits", noted)
    uri = f"s3://{BUCKET}/{prefix}"
    rc.storage.sync(folder, uri)
    rc.storage.sync(folder, uri)
    assert read == [], "what was uploaded is known"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    elsewhere = Runctl(target="sandbox", cwd=tmp_path)
    for _ in range(2):
        assert elsewhere.storage.sync(folder, uri).unchanged == 4
    assert sorted(read) == ["a.txt", "b c.txt", "d.bin", "empty"], "once without a memory, and then it is one"


def test_objects_in_parts_are_told_apart_by_content(rc: Runctl, prefix: str, tmp_path: Path, boto: Boto) -> None:
    folder = tmp_path / "big"
    folder.mkdir()
    data = os.urandom(9 << 20)
    (folder / "m.bin").write_bytes(data)
    uri = f"s3://{BUCKET}/{prefix}"
    boto("s3").upload_file(str(folder / "m.bin"), BUCKET, f"{prefix}/m.bin")  # boto3 cuts it into parts of its own
    assert "-" in boto("s3").head_object(Bucket=BUCKET, Key=f"{prefix}/m.bin")["ETag"]
    assert rc.storage.sync(folder, uri).unchanged == 1
    (folder / "m.bin").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert rc.storage.sync(folder, uri).uploaded == ["m.bin"]
    assert contents(boto, prefix) == files(folder)


def test_what_is_left_out_is_neither_moved_nor_removed(rc: Runctl, folder: Path, prefix: str, boto: Boto) -> None:
    uri = f"s3://{BUCKET}/{prefix}"
    boto("s3").put_object(Bucket=BUCKET, Key=f"{prefix}/sub/theirs", Body=b"t")
    boto("s3").put_object(Bucket=BUCKET, Key=f"{prefix}/old", Body=b"o")
    done = rc.storage.sync(folder, uri, delete=True, exclude=["sub/"])
    assert (sorted(done.uploaded), done.deleted) == (["a.txt", "empty"], ["old"])
    assert set(contents(boto, prefix)) == {"a.txt", "empty", "sub/theirs"}


def test_a_slip_of_the_pen_empties_nothing(rc: Runctl, folder: Path, prefix: str, boto: Boto, tmp_path: Path) -> None:
    uri, before = f"s3://{BUCKET}/{prefix}", files(folder)
    with pytest.raises(ObjectMissing):
        rc.storage.sync(uri, folder, delete=True)
    assert files(folder) == before
    rc.storage.sync(folder, uri)
    (tmp_path / "nothing").mkdir()
    for wrong in (tmp_path / "nothing", tmp_path / "not-there", folder / "a.txt"):
        with pytest.raises(InvalidRequest):
            rc.storage.sync(wrong, uri, delete=True)
    assert contents(boto, prefix) == before
    with pytest.raises(InvalidRequest, match="needs S3"):
        rc.storage.sync(folder, folder)
    with pytest.raises(ObjectMissing):
        rc.storage.sync(f"{uri}-typo", uri, delete=True)
    assert contents(boto, prefix) == before


def test_a_hostile_key_is_refused_before_anything_is_removed(rc: Runctl, folder: Path, prefix: str, boto: Boto) -> None:
    before = files(folder)
    for key in ("a.txt", "../../x"):
        boto("s3").put_object(Bucket=BUCKET, Key=f"{prefix}/{key}", Body=b"new")
    with pytest.raises(InvalidRequest, match="outside"):
        rc.storage.sync(f"s3://{BUCKET}/{prefix}", folder, delete=True)
    assert files(folder) == before


def test_within_s3(rc: Runctl, folder: Path, prefix: str, boto: Boto) -> None:
    uri, copy = f"s3://{BUCKET}/{prefix}", f"s3://{BUCKET}/{prefix}-copy"
    (folder / "big").write_bytes(os.urandom(9 << 20))
    rc.storage.sync(folder, uri)
    boto("s3").put_object(Bucket=BUCKET, Key=f"{prefix}-copy/old", Body=b"o")
    dry = rc.storage.sync(uri, copy, dry_run=True)
    assert (len(dry.copied), dry.unchanged) == (5, 0)
    done = rc.storage.sync(uri, copy, delete=True, options=S3Options(sse="AES256"))
    assert (sorted(done.copied), done.deleted) == (sorted(files(folder)), ["old"])
    for name, data in files(folder).items():
        found = boto("s3").get_object(Bucket=BUCKET, Key=f"{prefix}-copy/{name}")
        assert found["Body"].read() == data
        assert found["ServerSideEncryption"] == "AES256"
    again = rc.storage.sync(uri, copy, delete=True)
    assert (again.copied, again.deleted, again.unchanged) == ([], [], 5)
    boto("s3").put_object(Bucket=BUCKET, Key=f"{prefix}/a.txt", Body=b"A.TXT")
    assert rc.storage.sync(uri, copy).copied == ["a.txt"]
