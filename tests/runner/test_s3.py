"""The S3 client against a real HTTP server: conditions, streams, and what goes wrong on the way."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from runctl_jupyter.run_record import NotFound, PreconditionFailed, StoreError
from runctl_jupyter.runner import multipart, s3
from runctl_jupyter.runner.credentials import CredentialSource, NoCredentials, role_credentials
from runctl_jupyter.runner.files import FileChanged, put_verified
from runctl_jupyter.runner.imds import Imds
from runctl_jupyter.runner.s3 import S3Store
from runctl_jupyter.runner.sigv4 import Credentials
from tests.runner.services import (
    BUCKET,
    Fault,
    Front,
    Metadata,
    Quiet,
    do_and_fail,
    error,
    hang_up,
    lose_answer,
    other_clock,
    refuse,
    serve,
)

KEYS = Credentials("AKID", "secret", "token")


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


ODD = ["a", "b/c d+e&<f>%25", "b/ünï", "b/\x01", "c"]


def test_a_listing_names_every_key_page_after_page(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ODD:
        store.put(key, key.encode())
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    listed = list(store.list())
    assert [file.key for file in listed] == sorted(ODD, key=str.encode)
    assert [file.size for file in listed] == [len(key.encode()) for key in sorted(ODD, key=str.encode)]
    assert [file.etag for file in listed] == [store.head(file.key).etag for file in listed]
    assert all(abs(file.modified - time.time()) < 3600 for file in listed)
    assert [file.key for file in store.list("b/")] == sorted(ODD[1:4], key=str.encode)
    assert list(store.list("nothing")) == []


def test_a_listing_goes_on_after_a_failure(front: Front, store: S3Store) -> None:
    store.put("a", b"1")
    front.faults = [hang_up, refuse(503, "SlowDown")]
    assert [file.key for file in store.list()] == ["a"]


def test_what_is_no_listing_is_told(front: Front, store: S3Store) -> None:
    front.faults = [lambda request, _: request.answer(200, b"<ListBucketResult><Contents>")]
    with pytest.raises(StoreError, match="cannot be read"):
        list(store.list())


@pytest.mark.parametrize("uri", ["s3://bucket/other/place", "s3://bucket/other/place/"])
def test_another_place_with_the_same_keys(store: S3Store, uri: str) -> None:
    store.elsewhere(uri).put("k", b"1")
    assert store.elsewhere("s3://bucket").get("other/place/k").data == b"1"


@pytest.mark.parametrize("uri", ["bucket/x", "s3:/bucket", "s3://", "s3:///x", "http://bucket/x"])
def test_what_is_no_address_is_refused(store: S3Store, uri: str) -> None:
    with pytest.raises(ValueError, match="not an s3:// address"):
        store.elsewhere(uri)


def in_region(status: int, code: str, *, header: bool = True) -> Fault:
    body = error(code).replace(b"</Error>", b"" if header else b"<Region>eu-north-1</Region></Error>")
    headers = {"x-amz-bucket-region": "eu-north-1"} if header else {}
    return lambda request, _: request.answer(status, body, headers)


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        ("GET", in_region(301, "PermanentRedirect")),
        ("GET", in_region(400, "AuthorizationHeaderMalformed")),
        ("GET", in_region(400, "AuthorizationHeaderMalformed", header=False)),
        ("PUT", in_region(400, "IllegalLocationConstraintException")),
        ("HEAD", in_region(301, "PermanentRedirect")),
        ("HEAD", in_region(400, "AuthorizationHeaderMalformed")),
    ],
)
def test_the_region_of_another_bucket_is_found_out(front: Front, store: S3Store, fault: Fault, method: str) -> None:
    store.put("k", b"1")
    there = store.elsewhere(f"s3://{BUCKET}/{store.prefix}")
    front.headers.clear()
    front.faults = [fault]
    there.call(method, "k")
    there.get("k")
    regions = [headers["authorization"].split("/")[2] for headers in front.headers]
    assert regions == ["us-east-1", "eu-north-1", "eu-north-1"], "found out once"
    store.get("k")
    assert "/us-east-1/" in front.headers[-1]["authorization"], "this one has not moved"


def test_a_region_that_does_not_help_is_not_asked_for_ever(front: Front, store: S3Store) -> None:
    front.faults = [in_region(301, "PermanentRedirect")] * 20
    with pytest.raises(StoreError, match="PermanentRedirect"):
        store.get("k")
    assert len(front.seen) == 2


def test_a_host_of_aws_is_that_of_the_region() -> None:
    store = S3Store("b", "", "us-east-1", CredentialSource(lambda: KEYS))
    place = s3._Place.of("b", "eu-north-1", None)
    assert place.connections.host == "b.s3.eu-north-1.amazonaws.com"
    assert store.elsewhere("s3://dotted.name/x")._place.root == "/dotted.name/"


def test_a_reader_that_gives_up_leaves_a_store_that_works(store: S3Store) -> None:
    store.put("k", bytes(100_000))

    def give_up(response: http.client.HTTPResponse) -> bytes:
        response.read(10)
        raise KeyError

    with pytest.raises(KeyError):
        store.call("GET", "k", receive=give_up)
    assert len(store.get("k").data) == 100_000
