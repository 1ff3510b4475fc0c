"""What `--data-s3` brings to the machine: the right files with the right bytes, once."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from runctl_jupyter.run_record import Cause, DataManifest, JobState, StoreError
from runctl_jupyter.runner import downloads
from runctl_jupyter.runner.credentials import CredentialSource
from runctl_jupyter.runner.data import DataError, fetch_data
from runctl_jupyter.runner.data_cache import DataCache
from runctl_jupyter.runner.files import FolderFiles
from runctl_jupyter.runner.s3 import S3Store
from runctl_jupyter.runner.sigv4 import Credentials
from runctl_jupyter.runner.stops import Stopped, StopReason, StopSignal
from tests.runner.services import BUCKET, Fault, Front, Quiet, hang_up, refuse

KEYS = Credentials("AKID", "secret", "token")
STOP = StopReason(JobState.CANCELLED, Cause("user", "cancelled"), 1.0, 1.0)


class Place:
    """A machine with a cache, and the objects of one test under a prefix of their own."""

    def __init__(self, front: Front, url: str, name: str, tmp_path: Path) -> None:
        self.front, self.name, self.tmp_path = front, name, tmp_path
        self.record = S3Store(BUCKET, "record/", "us-east-1", CredentialSource(lambda: KEYS), url)
        self.objects = self.record.elsewhere(f"s3://{BUCKET}/{name}")
        self.cache = tmp_path / "cache"
        self.lines: list[str] = []
        self.stop = StopSignal()

    def put(self, *keys: str, data: bytes = b"") -> None:
        for key in keys:
            self.objects.put(key, data or key.encode())

    def uri(self, key: str) -> str:
        return f"s3://{BUCKET}/{self.name}/{key}"

    def target(self, job: str = "job") -> Path:
        return self.tmp_path / job

    def fetch(self, key: str, job: str = "job") -> DataManifest:
        self.front.seen.clear()
        return fetch_data(
            self.record, self.uri(key), self.cache, self.target(job), say=self.lines.append, stop=self.stop
        )

    def fails(self, key: str) -> str:
        with pytest.raises(DataError) as caught:
            self.fetch(key)
        message = str(caught.value)
        assert len(message.splitlines()) == 2, "what failed, and what to do"
        assert self.leftovers() == []
        return message

    def files(self, job: str = "job") -> dict[str, bytes]:
        target = self.target(job)
        return {p.relative_to(target).as_posix(): p.read_bytes() for p in target.rglob("*") if p.is_file()}

    @property
    def fetched(self) -> list[str]:
        """Objects that were downloaded."""
        return [path for method, path in self.front.seen if method == "GET" and "list-type" not in path]

    def leftovers(self) -> list[Path]:
        return list(self.tmp_path.rglob(".tmp-*"))


@pytest.fixture
def place(front: Front, service: tuple[Front, str], request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(front, service[1], hashlib.md5(request.node.name.encode()).hexdigest()[:8], tmp_path)


class Case(NamedTuple):
    uri: str
    files: list[str]


@pytest.mark.parametrize(
    "case",
    [
        Case("data/train.csv", ["train.csv"]),
        Case("data/", ["deep/er/x", "train.csv", "with space+&%.txt", "ünï.bin"]),
        Case("data", ["deep/er/x", "train.csv", "with space+&%.txt", "ünï.bin"]),
        Case("data/deep", ["er/x"]),
        Case("both", ["both"]),
        Case("both/", ["below"]),
    ],
    ids=lambda case: case.uri,
)
def test_an_address_is_an_object_or_a_folder(place: Place, case: Case) -> None:
    place.put("data/train.csv", "data/deep/er/x", "data/ünï.bin", "data/with space+&%.txt", "database/x", "data.csv")
    place.put("both", "both/below")
    manifest = place.fetch(case.uri)
    assert sorted(place.files()) == case.files
    assert all(data.decode().endswith(path) for path, data in place.files().items())
    assert sorted(file.path for file in manifest.files) == case.files
    assert all(file.size == len(place.files()[file.path]) for file in manifest.files)
    assert manifest.uri == place.uri(case.uri)


def test_a_second_job_downloads_nothing(place: Place) -> None:
    place.put("d/a", "d/b/c")
    place.fetch("d", "first")
    assert len(place.fetched) == 2
    place.fetch("d", "second")
    assert place.fetched == []
    assert place.files("second") == place.files("first") == {"a": b"d/a", "b/c": b"d/b/c"}
    for job in ("first", "second"):
        found = (place.target(job) / "a").stat()
        assert (found.st_nlink, found.st_mode & 0o777) == (3, 0o444)
    assert any("2 files, 8 B from" in line and "all are here already" in line for line in place.lines)


def test_only_what_is_new_is_downloaded(place: Place) -> None:
    place.put("d/a", "d/b")
    place.fetch("d", "first")
    place.put("d/b", data=b"new")
    place.put("d/c")
    place.fetch("d", "second")
    assert len(place.fetched) == 2
    assert place.files("second") == {"a": b"d/a", "b": b"new", "c": b"d/c"}
    assert place.files("first")["b"] == b"d/b"
    assert any("1 file is here already" in line for line in place.lines)


@pytest.mark.parametrize("written", [b"spoilt", b"DATA"], ids=["other size", "same size"])
def test_what_a_script_has_spoilt_is_not_used_again(place: Place, written: bytes) -> None:
    place.put("d/a", data=b"data")
    place.fetch("d", "first")
    path = place.target("first") / "a"
    path.chmod(0o644)
    path.write_bytes(written)
    place.fetch("d", "second")
    assert place.files("second") == {"a": b"data"}
    assert place.files("first") == {"a": written}


def test_where_links_fail_files_are_copied(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: object, target: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", link)
    place.put("d/a")
    for job in ("first", "second"):
        place.fetch("d", job)
        assert place.files(job) == {"a": b"d/a"}
        assert (place.target(job) / "a").stat().st_mode & 0o777 == 0o444
    assert place.fetched == []


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "SPLIT_BYTES", 1 << 20)
    monkeypatch.setattr(downloads, "PIECE_BYTES", 1 << 20)


def half_an_answer(request: Quiet, carry_out: Callable[[], None]) -> None:
    start, _, end = request.headers["Range"].removeprefix("bytes=").partition("-")
    size = int(end) - int(start) + 1
    request.answer(206, bytes(size // 2), {"Content-Length": str(size)})
    request.close_connection = True


@pytest.mark.usefixtures("small_pieces")
def test_a_large_object_comes_in_pieces(place: Place) -> None:
    data = os.urandom((3 << 20) + 7)
    place.put("large", data=data)
    place.front.faults = [None, half_an_answer, hang_up, refuse(503, "SlowDown")]  # None for the HEAD
    place.front.headers.clear()
    place.fetch("large")
    assert place.files() == {"large": data}
    asked = [headers for headers in place.front.headers if "range" in headers]
    assert {headers["range"].rpartition("-")[0] for headers in asked} == {f"bytes={n << 20}" for n in range(4)}
    etag = place.objects.head("large").etag
    assert all(headers["if-match"] == etag for headers in asked)
    assert place.leftovers() == []


def test_an_empty_object_is_an_empty_file(place: Place) -> None:
    place.record.elsewhere(place.uri("d")).put("empty", b"")
    place.put("d/a")
    place.record.elsewhere(place.uri("d")).put("folder/", b"")
    place.fetch("d")
    assert place.files() == {"empty": b"", "a": b"d/a"}


def answer_bytes(data: bytes, **headers: str) -> Fault:
    return lambda request, _: request.answer(200, data, {k.replace("_", "-"): v for k, v in headers.items()})


def test_other_bytes_are_fetched_once_more(place: Place) -> None:
    place.put("a", data=b"data")
    place.front.faults = [None, answer_bytes(b"DATA")]
    place.fetch("a")
    assert place.files() == {"a": b"data"}


def test_other_bytes_twice_are_an_error(place: Place) -> None:
    place.put("a", data=b"data")
    place.front.faults = [None, answer_bytes(b"DATA"), answer_bytes(b"DATA")]
    assert "other bytes" in place.fails("a")
    assert place.files() == {}
    place.fetch("a")
    assert place.files() == {"a": b"data"}


def test_an_etag_of_an_encrypted_object_is_no_md5(place: Place) -> None:
    place.put("a", data=b"data")
    place.front.faults = [None, answer_bytes(b"DATA", x_amz_server_side_encryption="aws:kms")]
    place.fetch("a")
    assert place.files() == {"a": b"DATA"}


def test_an_object_of_other_size_is_an_error(place: Place) -> None:
    place.put("a", data=b"data")
    place.front.faults = [None, answer_bytes(b"longer", x_amz_server_side_encryption="aws:kms")]
    assert "other bytes" in place.fails("a")


def change(place: Place, action: Callable[[], None]) -> Fault:
    """Let `action` happen just before the request."""

    def fault(request: Quiet, carry_out: Callable[[], None]) -> None:
        action()
        status, headers, body = place.front.forward(request, b"")
        request.answer(status, body, headers)

    return fault


def test_an_object_that_changes_meanwhile_is_looked_for_again(place: Place) -> None:
    place.put("d/a", "d/b")

    def rewrite() -> None:
        place.put("d/a", data=b"new")
        place.put("d/c")

    place.front.faults = [None, None, change(place, rewrite)]
    # HEAD of "d", the list, then the GETs: whichever comes first finds that "a" has changed, or comes before it.
    with_one_thread(place, lambda: place.fetch("d"))
    assert place.files() == {"a": b"new", "b": b"d/b", "c": b"d/c"}


def with_one_thread(place: Place, action: Callable[[], object]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(downloads, "_PARALLEL", 1)
        action()


def test_an_object_that_is_deleted_meanwhile_is_not_brought(place: Place) -> None:
    place.put("d/a", "d/b")

    def delete() -> None:
        place.objects.call("DELETE", "d/b")

    place.front.faults = [None, None, None, change(place, delete)]
    with_one_thread(place, lambda: place.fetch("d"))
    assert place.files() == {"a": b"d/a"}


def test_an_object_that_changes_all_the_time_is_an_error(place: Place) -> None:
    place.put("a", data=b"0")

    def rewrite() -> None:
        place.put("a", data=os.urandom(8))

    place.front.faults = [None, change(place, rewrite), None, None, change(place, rewrite)]
    assert "is being changed" in place.fails("a")


@pytest.mark.parametrize("key", ["d/../x", "d/./x", "d//x", "d/x/"])
def test_a_name_that_is_no_path_is_refused(place: Place, key: str) -> None:
    listed = (
        "<ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><IsTruncated>false</IsTruncated><Contents>"
        f"<Key>{place.name}/{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        "<ETag>&quot;e&quot;</ETag><Size>3</Size></Contents></ListBucketResult>"
    )
    place.front.faults = [None, answer_bytes(listed.encode())]
    assert key in place.fails("d")
    assert place.fetched == []


def test_what_a_disk_cannot_hold_is_refused(place: Place) -> None:
    place.put("d/a", "d/a/b/c")
    assert "'a'" in place.fails("d")


def test_nothing_is_an_error(place: Place) -> None:
    place.put("database/x")
    assert "nothing at" in place.fails("data")
    with pytest.raises(StoreError, match="no such bucket"):
        fetch_data(place.record, "s3://no-such-bucket/x", place.cache, place.target(), say=print, stop=place.stop)


@pytest.mark.parametrize("uri", ["data/", "s3:/x", "s3://", "https://bucket/x"])
def test_what_is_no_address_is_refused(place: Place, uri: str) -> None:
    with pytest.raises(DataError, match=r"s3://BUCKET/"):
        fetch_data(place.record, uri, place.cache, place.target(), say=print, stop=place.stop)


def test_a_record_in_a_folder_has_no_s3(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a job on this computer") as caught:
        fetch_data(FolderFiles(tmp_path), "s3://b/x", tmp_path / "c", tmp_path / "t", say=print, stop=StopSignal())
    assert len(str(caught.value).splitlines()) == 2


def limit_disk(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))


def test_what_does_not_fit_is_refused_before_it_is_fetched(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put("d/a", data=bytes(5000))
    limit_disk(monkeypatch, 1000)
    message = place.fails("d")
    assert "5.0 kB" in message
    assert "1.0 kB" in message
    assert place.fetched == []


def test_room_is_made_from_what_nobody_uses_the_longest_unused_first(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put("old", "used", "recent", data=bytes(100_000))
    for at, name in enumerate(("recent", "old", "used")):
        place.fetch(name, name)
        kept = next(p for p in place.cache.iterdir() if p.samefile(place.target(name) / name))
        os.utime(kept, ns=(at * 10**9, kept.stat().st_mtime_ns))
    place.fetch("recent", "recent")
    shutil.rmtree(place.target("recent"))
    shutil.rmtree(place.target("old"))
    kept_before = len(list(place.cache.iterdir()))
    room = DataCache(place.cache)
    limit_disk(monkeypatch, 0)
    room.make_room(50_000)
    assert len(list(place.cache.iterdir())) == kept_before - 1
    monkeypatch.undo()
    place.fetch("recent", "again")
    assert place.fetched == [], "the recently used is still there"
    place.fetch("old", "again")
    assert len(place.fetched) == 1, "the longest unused is gone"
    limit_disk(monkeypatch, 0)
    shutil.rmtree(place.target("again"))
    room.make_room(10**9)
    assert [p.samefile(place.target("used") / "used") for p in place.cache.iterdir()] == [True], "in use: never"


def test_what_a_killed_runner_left_behind_gives_room(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.cache.mkdir()
    old, new = place.cache / ".tmp-old", place.cache / ".tmp-new"
    for path in (old, new):
        path.write_bytes(bytes(5000))
    os.utime(old, (0, time.time() - 7200))
    limit_disk(monkeypatch, 0)
    DataCache(place.cache).make_room(10**9)
    assert list(place.cache.iterdir()) == [new]


def test_a_full_disk_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def pwrite(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", pwrite)
    place.put("a")
    assert "No space left" in place.fails("a")
    assert len(place.fetched) == 1, "no reason to ask S3 again"


@pytest.mark.usefixtures("small_pieces")
def test_the_end_is_obeyed_at_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_LEAVE_S", 0.1)
    place.put("d/large", data=bytes(6 << 20))
    place.put(*[f"d/{n}" for n in range(30)])
    answered = threading.Event()

    def hang(request: Quiet, carry_out: Callable[[], None]) -> None:
        place.stop.request(STOP)
        answered.wait(60)
        request.close_connection = True

    place.front.faults = [None, None, None, hang]
    try:
        with pytest.raises(Stopped):
            place.fetch("d")
    finally:
        answered.set()
    assert not (place.target() / "large").exists()
    assert place.leftovers() == []


def test_an_end_that_was_asked_for_before_is_obeyed(place: Place) -> None:
    place.put("d/a")
    place.stop.request(STOP)
    with pytest.raises(Stopped):
        place.fetch("d")
    assert place.files() == {}


def test_two_jobs_at_once_do_not_hurt_each_other(place: Place) -> None:
    names = [f"d/{n}" for n in range(8)]
    place.put(*names)
    failures: list[BaseException] = []

    def fetch(job: str) -> None:
        try:
            place.fetch("d", job)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=fetch, args=(job,)) for job in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    expected = {name.removeprefix("d/"): name.encode() for name in names}
    assert place.files("first") == place.files("second") == expected
    assert len(list(place.cache.iterdir())) == 8


def test_the_log_tells_how_far_it_is(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_REPORT_S", 0.01)
    place.put("d/a", "d/b", data=bytes(1000))
    told = threading.Event()

    def say(line: str) -> None:
        place.lines.append(line)
        if " of 2.0 kB" in line:
            told.set()

    def wait(request: Quiet, carry_out: Callable[[], None]) -> None:
        assert told.wait(30)
        hang_up(request, carry_out)

    place.front.faults = [None, None, wait]
    fetch_data(place.record, place.uri("d"), place.cache, place.target(), say=say, stop=place.stop)
    assert place.lines[0] == f"data: 2 files, 2.0 kB from {place.uri('d')}"
    assert place.lines[-1].startswith("data: 2.0 kB fetched in ")
    assert place.lines[-1].endswith(" MB/s")
