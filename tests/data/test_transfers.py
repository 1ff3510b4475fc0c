"""Uploads and downloads over real HTTP: cuts, changes meanwhile, bytes that are not right, and names."""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runctl_jupyter.orchestration.errors import InvalidRequest, ObjectChanged, RunctlError, StorageUnavailable
from runctl_jupyter.orchestration.storage.crew import Progress
from runctl_jupyter.orchestration.storage.names import check_key, landing_places, local_file, local_files
from runctl_jupyter.orchestration.storage.options import S3Options
from runctl_jupyter.orchestration.storage.parts import (
    MIB,
    EntityTag,
    crews,
    part_size,
    parts_in_flight,
    ranges,
    tag_fits,
)
from runctl_jupyter.orchestration.storage.transfers import below, fetch, send
from runctl_jupyter.orchestration.storage.uploads import Condition
from tests.data.moto_s3 import BUCKET, S3Server


@pytest.fixture
def s3() -> Iterator[S3Server]:
    with S3Server().running() as server:
        yield server


def noise(size: int) -> bytes:
    return hashlib.shake_128(str(size).encode()).digest(size)


def put(s3: S3Server, key: str, data: bytes) -> str:
    return str(s3.client.put_object(Bucket=BUCKET, Key=key, Body=data)["ETag"])


def object_of(s3: S3Server, key: str) -> bytes:
    return bytes(s3.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())


@pytest.mark.parametrize("size", [0, 1, 8 * MIB, 8 * MIB + 1, 20 * MIB + 7])
def test_up_and_down_are_the_same_bytes(s3: S3Server, tmp_path: Path, size: int) -> None:
    data, path = noise(size), tmp_path / "a b ü"
    path.write_bytes(data)
    store = s3.store()
    send(store, [(local_file(path), "x/a b ü")], "")
    assert object_of(s3, "x/a b ü") == data
    fetch(store, {str(tmp_path / "back"): store.look("x/a b ü")})
    assert (tmp_path / "back").read_bytes() == data
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a b ü", "back"]


def test_the_parts_of_ever_larger_objects() -> None:
    for size in (1, 8 * MIB, 100 * 1000**3, 100 * 1024**3, 5 * 1024**4):
        part = part_size(size)
        assert -(-size // part) <= 10_000
        assert part >= 8 * MIB or size <= 8 * MIB
        assert part * parts_in_flight(part) <= max(80 * MIB, part)
    assert part_size(100 * 1000**3) == 10 * MIB
    assert list(ranges(20, 8)) == [(0, 8), (8, 16), (16, 20)]


def test_the_larger_the_files_the_fewer_at_once() -> None:
    sizes = [1000, 5 * MIB, 9 * MIB, 26 * MIB, 41 * MIB, 100 * 1000**3, 0]
    assert crews(sizes) == {32: [0, 6], 16: [1], 8: [2], 3: [3], 1: [4, 5]}
    assert crews([]) == {}


def test_a_tag_tells_how_an_object_was_cut(tmp_path: Path) -> None:
    data, part = noise(11 * MIB), 5 * MIB
    digests = [hashlib.md5(data[a:b]).digest() for a, b in ranges(len(data), part)]
    tag = EntityTag(f'"{hashlib.md5(b"".join(digests)).hexdigest()}-3"')
    (tmp_path / "f").write_bytes(data)
    assert tag.cut(len(data)) == part
    assert tag_fits(tmp_path / "f", len(data), tag) is True
    (tmp_path / "f").write_bytes(b"x" + data[1:])
    assert tag_fits(tmp_path / "f", len(data), tag) is False
    assert tag_fits(tmp_path / "f", len(data), EntityTag('"opaque"')) is None


class Cut:
    """Ends answers to GET after so many bytes in all."""

    def __init__(self, after: int) -> None:
        self.left = after
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], body: Iterable[bytes]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "GET" or "list-type" in environ["QUERY_STRING"]:
            return body
        return self._some_of(environ["werkzeug.socket"], body)

    def _some_of(self, line: socket.socket, body: Iterable[bytes]) -> Iterator[bytes]:
        for piece in body:
            with self._lock:
                self.left -= len(piece)
            if self.left < 0:
                line.shutdown(socket.SHUT_RDWR)
            yield piece


def test_a_cut_download_goes_on_where_it_was(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = noise(60 * MIB)
    put(s3, "big", data)
    store = s3.store()
    found, target = store.look("big"), tmp_path / "big"
    left = _left_of_a_cut(s3, tmp_path, monkeypatch)
    assert not target.exists()
    s3.spoil, s3.asked = None, []
    fetch(store, {str(target): found})
    assert target.read_bytes() == data
    assert [p.name for p in tmp_path.iterdir()] == ["big"]
    asked = [each["HTTP_RANGE"] for each in s3.requests("GET")]
    assert len(asked) == 4 - left
    assert 0 < left < 4


def test_what_was_not_checked_before_the_cut_is_checked_after_it(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = noise(60 * MIB)
    (tmp_path / "source").write_bytes(data)
    send(s3.store(), [(local_file(tmp_path / "source"), "big")], "")
    _left_of_a_cut(s3, tmp_path, monkeypatch, verify=False)
    s3.spoil = None
    fetch(s3.store(), {str(tmp_path / "big"): s3.store().look("big")})
    assert (tmp_path / "big").read_bytes() == data


def _left_of_a_cut(s3: S3Server, folder: Path, monkeypatch: pytest.MonkeyPatch, *, verify: bool = True) -> int:
    """Download until the line is cut, and return how many of the four ranges have arrived."""
    # One at a time, so that some ranges are whole when the cut comes; and the library's own tries would take a minute.
    monkeypatch.setattr("runctl_jupyter.orchestration.storage.transfers.MOST_IN_FLIGHT", 1)
    s3.spoil = Cut(28 * MIB)
    store = s3.store(retries=0)
    with pytest.raises(StorageUnavailable) as caught:
        fetch(store, {str(folder / "big"): store.look("big")}, verify=verify)
    assert len(str(caught.value).splitlines()) == 2
    lines = (folder / ".big.part.done").read_text().splitlines()
    return len(lines) - 1


def test_of_another_version_nothing_is_taken_over(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, "big", noise(60 * MIB))
    _left_of_a_cut(s3, tmp_path, monkeypatch)
    newer = bytes(60 * MIB)
    put(s3, "big", newer)
    s3.spoil = None
    store = s3.store()
    fetch(store, {str(tmp_path / "big"): store.look("big")})
    assert (tmp_path / "big").read_bytes() == newer


@pytest.mark.parametrize("size", [1000, 60 * MIB])
def test_an_object_replaced_while_it_is_read_is_never_mixed(s3: S3Server, tmp_path: Path, size: int) -> None:
    put(s3, "k", noise(size))
    store = s3.store()
    found = store.look("k")
    put(s3, "k", bytes(size))
    with pytest.raises(ObjectChanged):
        fetch(store, {str(tmp_path / "k"): found})
    assert not (tmp_path / "k").exists()


@pytest.mark.parametrize("size", [1000, 20 * MIB])
def test_bytes_that_are_not_the_objects_are_found_out(s3: S3Server, tmp_path: Path, size: int) -> None:
    path = tmp_path / "k"
    path.write_bytes(noise(size))
    store = s3.store()
    send(store, [(local_file(path), "k")], "")
    found = store.look("k")

    def flip(environ: dict[str, Any], body: Iterable[bytes]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "GET":
            return body
        whole = b"".join(body)
        return [whole[:-1] + bytes([whole[-1] ^ 1])]

    s3.spoil = flip
    with pytest.raises(StorageUnavailable, match="checksums differ"):
        fetch(store, {str(tmp_path / "back"): found})
    assert [p.name for p in tmp_path.iterdir()] == ["k"]
    fetch(store, {str(tmp_path / "back"): found}, verify=False)
    assert (tmp_path / "back").stat().st_size == size


class Told:
    """Stands for what S3 tells of an object when it is asked."""

    def __init__(self, tag_is_md5: bool, sha256: bytes | None) -> None:
        self.answer = tag_is_md5, sha256

    def told_digest(self, bucket: str, key: str) -> tuple[bool, bytes | None]:
        """Tell."""
        return self.answer

    def walk(self, bucket: str, prefix: str, after: str) -> Iterator[Any]:
        """Nobody lists here."""
        raise AssertionError

    def copy(self, source: tuple[str, str], bucket: str, key: str) -> None:
        """Nobody copies here."""
        raise AssertionError


@pytest.mark.parametrize("size", [1000, 20 * MIB])
def test_the_tag_of_an_object_under_a_kms_key_is_not_its_digest(s3: S3Server, tmp_path: Path, size: int) -> None:
    etag = put(s3, "k", noise(size))
    right, wrong = hashlib.sha256(noise(size)).digest(), hashlib.sha256(b"").digest()

    def ask_for_the_real_tag(environ: dict[str, Any]) -> None:
        if "HTTP_IF_MATCH" in environ:
            environ["HTTP_IF_MATCH"] = etag

    s3.change_headers = lambda headers: [(n, f'"{"0" * 32}"' if n.lower() == "etag" else v) for n, v in headers]
    s3.before = ask_for_the_real_tag
    cases = ((False, right, True), (False, None, True), (False, wrong, False), (True, right, False))
    for tag_is_md5, sha256, fits in cases:
        store = s3.store(plain=Told(tag_is_md5, sha256))
        places = {str(tmp_path / "back"): store.look("k")}
        if fits:
            fetch(store, places)
            assert (tmp_path / "back").read_bytes() == noise(size)
            (tmp_path / "back").unlink()
        else:
            with pytest.raises(StorageUnavailable, match="checksums differ"):
                fetch(store, places)
        assert list(tmp_path.iterdir()) == []


def test_a_file_that_changes_while_it_is_uploaded_leaves_nothing(s3: S3Server, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(noise(20 * MIB))
    file = local_file(path)
    os.utime(path, ns=(0, 0))
    with pytest.raises(StorageUnavailable, match="changed while it was read"):
        send(s3.store(), [(file, "big")], "")
    assert "Contents" not in s3.client.list_objects_v2(Bucket=BUCKET)
    assert "Uploads" not in s3.client.list_multipart_uploads(Bucket=BUCKET)


def test_ctrl_c_leaves_no_object_and_no_parts(s3: S3Server, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(noise(200 * MIB))

    def interrupt(progress: Progress) -> None:
        if progress.bytes_done > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send(s3.store(), [(local_file(path), "big")], "", on_progress=interrupt)
    assert s3.requests("POST"), "the upload has begun"
    assert "Contents" not in s3.client.list_objects_v2(Bucket=BUCKET)
    assert "Uploads" not in s3.client.list_multipart_uploads(Bucket=BUCKET)


def test_a_part_that_s3_refuses_ends_the_upload(s3: S3Server, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(noise(60 * MIB))
    s3.refuse = "partNumber=5"
    with pytest.raises(StorageUnavailable):
        send(s3.store(), [(local_file(path), "big")], "")
    assert "Contents" not in s3.client.list_objects_v2(Bucket=BUCKET)
    assert "Uploads" not in s3.client.list_multipart_uploads(Bucket=BUCKET)


@pytest.mark.parametrize("size", [10, 9 * MIB])
def test_conditions(s3: S3Server, tmp_path: Path, size: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(noise(size))
    etag = put(s3, "k", b"theirs")
    store, job = s3.store(), [(local_file(path), "k")]
    assert send(store, job, "", condition=Condition(no_clobber=True)).skipped == ["k"]
    assert object_of(s3, "k") == b"theirs"
    with pytest.raises(ObjectChanged):
        send(store, job, "", condition=Condition(if_match='"other"'))
    assert object_of(s3, "k") == b"theirs"
    assert send(store, job, "", condition=Condition(if_match=etag)).skipped == []
    assert object_of(s3, "k") == noise(size)


def test_what_options_ask_for_is_sent(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    options = S3Options(sse="aws:kms", sse_kms_key_id="key-1", request_payer=True, store_checksum=True)
    store = s3.store(options=options)
    s3.asked = []
    send(store, [(local_file(tmp_path / "f"), "k")], "")
    fetch(store, {str(tmp_path / "back"): store.look("k")}, verify=False)
    (sent,) = s3.requests("PUT")
    assert sent["HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION"] == "aws:kms"
    assert sent["HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION_AWS_KMS_KEY_ID"] == "key-1"
    assert sent["HTTP_X_AMZ_CHECKSUM_SHA256"]
    assert {each.get("HTTP_X_AMZ_REQUEST_PAYER") for each in s3.asked} == {"requester"}
    assert all("x-amz-request-payer" in each["HTTP_AUTHORIZATION"] for each in s3.asked), "it is signed"


def test_every_body_is_signed_with_its_digest(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(noise(20 * MIB))
    send(s3.store(), [(local_file(tmp_path / "f"), "k")], "")
    sent = {each["HTTP_X_AMZ_CONTENT_SHA256"] for each in s3.requests("PUT") if "partNumber" in each["QUERY_STRING"]}
    assert sent == {hashlib.sha256(noise(20 * MIB)[a:b]).hexdigest() for a, b in ranges(20 * MIB, 8 * MIB)}


@pytest.mark.parametrize(
    "given",
    [{"sse": "rot13"}, {"sse_kms_key_id": "k"}, {"endpoint_url": "host"}, {"sse": "AES256", "sse_kms_key_id": "k"}],
)
def test_options_that_cannot_be(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        S3Options(**given)


def test_what_was_uploaded_is_read_back(s3: S3Server, tmp_path: Path) -> None:
    """A store that loses an object, and one that keeps another: of few objects and of many."""
    for count, lose in ((3, True), (3, False), (80, True), (80, False)):
        folder = tmp_path / f"{count}{lose}"
        folder.mkdir()
        for n in range(count):
            (folder / f"{n:03}").write_bytes(b"mine")
        s3.spoil = _lose_second(s3, f"{folder.name}/001", lose)
        files = [(file, f"{folder.name}/{file.name}") for file in local_files(str(folder))]
        with pytest.raises(StorageUnavailable if lose else ObjectChanged, match="001"):
            send(s3.store(), files, f"{folder.name}/")


def _lose_second(s3: S3Server, key: str, lose: bool) -> Callable[[dict[str, Any], Iterable[bytes]], Iterable[bytes]]:
    def spoil(environ: dict[str, Any], body: Iterable[bytes]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].endswith(key) and s3.spoil is not None:
            s3.spoil = None
            if lose:
                s3.client.delete_object(Bucket=BUCKET, Key=key)
            else:
                put(s3, key, b"none")
        return body

    return spoil


def test_a_folder_of_the_console_and_an_empty_object(s3: S3Server, tmp_path: Path) -> None:
    for key in ("d/", "d/sub/", "d/sub/x", "d/none/", "d/empty"):
        put(s3, key, b"x" if key.endswith("x") else b"")
    store = s3.store()
    found = below(store, "d/")
    assert sorted(found) == ["empty", "none", "sub/x"]
    fetch(store, {str(tmp_path / name): each for name, each in found.items()})
    assert (tmp_path / "none").is_dir()
    assert (tmp_path / "empty").read_bytes() == b""
    assert (tmp_path / "sub/x").read_bytes() == b"x"


def test_progress_is_told_in_the_callers_thread_and_ends_full(s3: S3Server, tmp_path: Path) -> None:
    for n in range(40):
        (tmp_path / f"{n}").write_bytes(noise(1000 + n))
    seen: list[Progress] = []
    threads = set()

    def note(progress: Progress) -> None:
        seen.append(progress)
        threads.add(threading.get_ident())

    send(s3.store(), [(file, file.name) for file in local_files(str(tmp_path))], "", on_progress=note)
    assert threads == {threading.get_ident()}
    assert (seen[-1].files_done, seen[-1].bytes_done) == (seen[-1].files, seen[-1].bytes)
    assert [p.bytes_done for p in seen] == sorted(p.bytes_done for p in seen)


def test_which_files_of_a_folder_travel(tmp_path: Path) -> None:
    for name in ("a", "b/c", "b/.hidden", ".x.part", ".x.part.done", "kept.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "round").symlink_to(tmp_path)
    (tmp_path / "broken").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    assert sorted(file.name for file in local_files(str(tmp_path))) == ["a", "b/.hidden", "b/c", "kept.part", "link"]
    with pytest.raises(InvalidRequest, match="cannot be read"):
        list(local_files(str(tmp_path / "a")))


def test_the_first_error_ends_the_others(s3: S3Server, tmp_path: Path) -> None:
    for n in range(60):
        (tmp_path / f"{n:02}").write_bytes(b"x")
    files = [(file, file.name) for file in local_files(str(tmp_path))]
    (tmp_path / "00").unlink()
    with pytest.raises(RunctlError, match="00 cannot be read"):
        send(s3.store(), files, "")
    assert len(s3.requests("PUT")) < 60


NAMES = st.lists(st.text(st.sampled_from("ab./\\\0 ü~"), min_size=1, max_size=12), max_size=8)


@settings(deadline=None)  # it looks at the disk, which others use too
@given(NAMES)
def test_whatever_the_keys_are_nothing_lands_outside(names: list[str]) -> None:
    root = Path(tempfile.gettempdir()).resolve() / "never-made"
    try:
        places = landing_places(str(root), names)
    except InvalidRequest:
        return
    assert set(places) == set(names)
    for name, place in places.items():
        assert os.path.normpath(place) == place == f"{root}/{name}"
    for one in places.values():
        assert not any(other.startswith(f"{one}/") for other in places.values())


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/./b", "a\nb", "a\x7f", "x" * 1025, "\udc80"])
def test_keys_that_no_object_gets(key: str) -> None:
    with pytest.raises(InvalidRequest):
        check_key(key)
