"""The S3 client against a real HTTP server: conditions, streams, and what goes wrong on the way."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from runctl_jupyter.run_record import NotFound, PreconditionFailed, StoreError
from runctl_jupyter.runner import multipart, s3
from runctl_jupyter.runner.backoff import Backoff
from runctl_jupyter.runner.credentials import CredentialSource, NoCredentials, role_credentials
from runctl_jupyter.runner.files import FileChanged, put_verified
from runctl_jupyter.runner.imds import Imds
from runctl_jupyter.runner.s3 import S3Store
from runctl_jupyter.runner.sigv4 import Credentials
from tests.unit.runner.services import (
    BUCKET,
    Front,
    Metadata,
    Quiet,
    do_and_fail,
    hang_up,
    lose_answer,
    other_clock,
    refuse,
    s3_behind_front,
    serve,
)

KEYS = Credentials("AKID", "secret", "token")


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[Front, str]]:
    with s3_behind_front() as found:
        yield found


@pytest.fixture
def front(service: tuple[Front, str], monkeypatch: pytest.MonkeyPatch) -> Front:
    found = service[0]
    found.faults.clear()
    found.seen.clear()
    found.headers.clear()
    monkeypatch.setattr(Backoff, "next", lambda _: 0.001)
    return found


@pytest.fixture
def store(front: Front, service: tuple[Front, str], request: pytest.FixtureRequest) -> S3Store:
    return S3Store(BUCKET, f"{request.node.name}/", "us-east-1", CredentialSource(lambda: KEYS), service[1])


@pytest.mark.parametrize("key", ["a/b.txt", "with space+plus&?=%25.txt", "ünï/日本.bin", "~_-.", "a//b"])
def test_read_back_under_any_name(store: S3Store, key: str) -> None:
    etag = store.put(key, b"\x00data", metadata={"offset": "7"})
    found = store.get(key)
    assert (found.data, found.etag, found.metadata["offset"]) == (b"\x00data", etag, "7")
    assert store.head(key).size == 5


def test_what_is_not_there(store: S3Store) -> None:
    with pytest.raises(NotFound):
        store.get("nothing")
    with pytest.raises(NotFound):
        store.head("nothing")


def test_a_bucket_that_is_not_there_is_no_missing_object(service: tuple[Front, str], store: S3Store) -> None:
    absent = S3Store("no-such-bucket", "", "us-east-1", CredentialSource(lambda: KEYS), service[1])
    with pytest.raises(StoreError, match="no such bucket") as caught:
        absent.get("a")
    assert not isinstance(caught.value, NotFound)


def test_conditions(store: S3Store) -> None:
    first = store.put("k", b"1", create_only=True)
    with pytest.raises(PreconditionFailed):
        store.put("k", b"2", create_only=True)
    second = store.put("k", b"3", if_etag=first)
    with pytest.raises(PreconditionFailed):
        store.put("k", b"4", if_etag=first)
    assert store.get("k").data == b"3"
    assert store.put("k", b"5", if_etag=second)


def test_the_payload_is_signed(front: Front, store: S3Store) -> None:
    store.put("k", b"data")
    assert front.headers[-1]["x-amz-content-sha256"] == hashlib.sha256(b"data").hexdigest()
    assert front.headers[-1]["x-amz-security-token"] == "token"


@pytest.mark.parametrize(
    "fault",
    [
        hang_up,
        refuse(500, "InternalError"),
        refuse(503, "SlowDown"),
        refuse(400, "RequestTimeout"),
        refuse(409, "ConditionalRequestConflict"),
    ],
)
def test_what_passes_is_tried_again(front: Front, store: S3Store, fault: object) -> None:
    front.faults = [fault, fault, fault]  # type: ignore[list-item]
    store.put("k", b"1", create_only=True)
    assert store.get("k").data == b"1"


@pytest.mark.parametrize("fault", [lose_answer, do_and_fail(500, "InternalError")])
def test_a_write_whose_answer_was_lost_is_known_as_ones_own(front: Front, store: S3Store, fault: object) -> None:
    front.faults = [fault]  # type: ignore[list-item]
    etag = store.put("k", b"mine", create_only=True)
    assert store.get("k").etag == etag
    front.faults = [fault]  # type: ignore[list-item]
    assert store.put("k", b"mine too", if_etag=etag) == store.get("k").etag


def test_somebody_elses_write_is_not_taken_for_ones_own(front: Front, store: S3Store) -> None:
    store.put("k", b"theirs")
    front.faults = [hang_up]
    with pytest.raises(PreconditionFailed):
        store.put("k", b"mine", create_only=True)


def test_it_gives_up_in_the_end(front: Front, store: S3Store) -> None:
    front.faults = [refuse(503, "SlowDown")] * 50
    with pytest.raises(StoreError) as caught:
        store.get("k")
    assert caught.value.transient
    assert len(front.seen) < 10


def test_a_refusal_is_not_tried_again_and_says_what_to_do(front: Front, store: S3Store) -> None:
    front.faults = [refuse(403, "AccessDenied")] * 9
    with pytest.raises(StoreError, match="runctl setup") as caught:
        store.put("k", b"")
    assert not caught.value.transient
    assert len(front.seen) == 1


def test_a_wrong_clock_is_set_by_s3s(front: Front, store: S3Store) -> None:
    front.faults = [other_clock(timedelta(hours=7))]
    store.put("k", b"1")
    first, second = (headers["x-amz-date"] for headers in front.headers)
    hours = [time.mktime(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) / 3600 for stamp in (first, second)]
    assert hours[1] - hours[0] == pytest.approx(7, abs=0.1)


def test_expired_keys_are_renewed(front: Front, service: tuple[Front, str]) -> None:
    metadata = Metadata()
    with serve(metadata.handler()) as url:
        imds = Imds(url)
        store = S3Store(BUCKET, "renew/", "us-east-1", CredentialSource(lambda: role_credentials(imds)), service[1])
        store.put("k", b"1")
        front.faults = [refuse(400, "ExpiredToken")]
        store.put("k", b"2")
    assert [headers["x-amz-security-token"] for headers in front.headers] == ["session-1", "session-1", "session-2"]


def test_keys_are_renewed_before_they_end(front: Front) -> None:
    metadata = Metadata()
    metadata.lifetime_s = 300
    with serve(metadata.handler()) as url:
        source = CredentialSource(lambda: role_credentials(Imds(url)))
        first = source.get()
        assert source.get() is first, "keys that end soon are asked for again, but not at each request"
        source.renew(first)
        assert source.get().token == "session-2"
        source.renew(first)
        assert source.get().token == "session-2"


def test_a_role_that_comes_late_is_waited_for() -> None:
    metadata = Metadata()
    metadata.role = None
    with serve(metadata.handler()) as url:
        imds = Imds(url)
        with pytest.raises(NoCredentials, match="profile"):
            CredentialSource(lambda: role_credentials(imds), patience_s=0.0).get()

        def load() -> Credentials:
            if len(metadata.seen) >= 3:
                metadata.role = "role"
            return role_credentials(imds)

        assert CredentialSource(load).get().access_key == "AKID1"


def test_a_token_of_another_boot_is_replaced() -> None:
    metadata = Metadata()
    with serve(metadata.handler()) as url:
        imds = Imds(url)
        assert imds.instance_id() == "i-0123456789abcdef0"
        metadata.token = "token-2"
        assert imds.region() == "us-east-1"


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_files_arrive_whole(store: S3Store, tmp_path: Path, size: int) -> None:
    source, target = tmp_path / "in", tmp_path / "deep" / "out"
    source.write_bytes(os.urandom(size))
    sent = put_verified(store, "f", source)
    got = store.get_file("f", target)
    assert target.read_bytes() == source.read_bytes()
    assert (sent.size, got.sha256) == (size, sent.sha256)
    assert sent.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()


def test_a_file_that_is_not_there_leaves_nothing(store: S3Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        store.get_file("nothing", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of S3's least size, so that a test need not send 64 MiB."""
    monkeypatch.setattr(s3, "SINGLE_PUT_BYTES", 1 << 20)
    monkeypatch.setattr(multipart, "PART_BYTES", 5 << 20)


@pytest.mark.usefixtures("small_parts")
def test_large_files_go_in_parts(front: Front, store: S3Store, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(os.urandom((12 << 20) + 7))
    front.faults = [None, hang_up, refuse(503, "SlowDown"), None, None, None, lose_answer]
    sent = put_verified(store, "f", source)
    assert store.get_file("f", tmp_path / "out").sha256 == sent.sha256
    assert sum("partNumber" in path for _, path in front.seen) >= 3


@pytest.mark.usefixtures("small_parts")
def test_an_upload_that_fails_leaves_no_parts(front: Front, store: S3Store, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(bytes(12 << 20))
    front.faults = [None, *[refuse(403, "AccessDenied")] * 3]
    with pytest.raises(StoreError):
        store.put_file("f", source)
    assert any(method == "DELETE" and "uploadId" in path for method, path in front.seen)
    with pytest.raises(NotFound):
        store.head("f")


@pytest.mark.parametrize("change", [b"", b"longer than before"])
def test_a_file_that_changes_meanwhile_is_told(front: Front, store: S3Store, tmp_path: Path, change: bytes) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"before")

    def write_meanwhile(request: Quiet, carry_out: Callable[[], None]) -> None:
        source.write_bytes(change)
        lose_answer(request, carry_out)

    front.faults = [write_meanwhile]
    with pytest.raises(FileChanged):
        store.put_file("f", source)


def test_what_the_store_holds_is_compared(front: Front, store: S3Store, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"data")
    front.faults = [None, lambda request, _: request.answer(200, headers={"Content-Length": "3"})]
    with pytest.raises(StoreError, match="3 bytes in the store, 4 were sent"):
        put_verified(store, "f", source)
