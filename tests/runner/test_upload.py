"""Files in parts: what is hashed is what is sent, and nothing is left behind."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from runctl_jupyter.run_record import NotFound, StoreError
from runctl_jupyter.runner import multipart, s3
from runctl_jupyter.runner.credentials import CredentialSource
from runctl_jupyter.runner.files import FileChanged, put_verified
from runctl_jupyter.runner.multipart import read_parts
from runctl_jupyter.runner.s3 import S3Store
from runctl_jupyter.runner.sigv4 import Credentials
from tests.runner.services import BUCKET, Front, Quiet, hang_up, lose_answer, refuse

LEAST = 5 << 20
"""The least size that S3 takes for a part that is not the last."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "SINGLE_PUT_BYTES", 1 << 20)
    monkeypatch.setattr(multipart, "PART_BYTES", LEAST)


@pytest.fixture
def store(front: Front, service: tuple[Front, str], request: pytest.FixtureRequest) -> S3Store:
    keys = Credentials("AKID", "secret", "token")
    return S3Store(BUCKET, f"{request.node.name}/", "us-east-1", CredentialSource(lambda: keys), service[1])


def parts_of(front: Front) -> list[str]:
    """The hashes of the parts that came."""
    pairs = zip(front.seen, front.headers, strict=True)
    return [headers["x-amz-content-sha256"] for (_, path), headers in pairs if "partNumber" in path]


@pytest.mark.parametrize("size", [1, 999, 1000, 1001, 2999, 3000])
def test_parts_and_whole_are_hashed_from_the_same_bytes(tmp_path: Path, size: int) -> None:
    path = tmp_path / "in"
    data = os.urandom(size)
    path.write_bytes(data)
    whole = hashlib.sha256()
    parts = list(read_parts(path, size, 1000, whole))
    assert whole.digest() == hashlib.sha256(data).digest()
    assert [(p.offset, p.size) for p in parts] == [(at, min(1000, size - at)) for at in range(0, size, 1000)]
    assert [p.sha256 for p in parts] == [hashlib.sha256(data[p.offset :][: p.size]).hexdigest() for p in parts]


def test_what_is_written_behind_the_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(bytes(3000))
    whole = hashlib.sha256()
    assert sum(part.size for part in read_parts(path, 2000, 1000, whole)) == 2000
    with pytest.raises(EOFError):
        list(read_parts(path, 3001, 1000, hashlib.sha256()))


def test_the_hash_is_that_of_what_the_store_has(front: Front, store: S3Store, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(os.urandom(2 * LEAST + 7))
    sent = put_verified(store, "f", source)
    got = store.get("f").data
    assert got == source.read_bytes()
    assert (sent.size, sent.sha256) == (len(got), hashlib.sha256(got).hexdigest())
    assert sorted(parts_of(front)) == sorted(
        hashlib.sha256(got[at : at + LEAST]).hexdigest() for at in range(0, len(got), LEAST)
    )


def test_a_file_of_one_part_goes_in_one_request(front: Front, store: S3Store, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(bytes(1 << 20))
    store.put_file("f", source)
    assert [method for method, _ in front.seen] == ["PUT"]


def test_parts_are_sent_side_by_side(front: Front, store: S3Store, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(bytes(3 * LEAST))
    meeting = threading.Barrier(3)

    def meet(request: Quiet, carry_out: Callable[[], None]) -> None:
        meeting.wait(20)
        hang_up(request, carry_out)

    front.faults = [None, meet, meet, meet]
    assert put_verified(store, "f", source).size == 3 * LEAST
    assert not meeting.broken


def test_after_a_failure_no_more_parts_are_sent_and_the_rest_is_taken_back(
    front: Front, store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multipart, "PART_BYTES", 1 << 14)
    source = tmp_path / "in"
    source.write_bytes(bytes(100 << 14) + b"." * (1 << 20))
    front.faults = [None, refuse(403, "AccessDenied")]
    with pytest.raises(StoreError):
        store.put_file("f", source)
    assert len(parts_of(front)) < 100
    assert front.seen[-1][0] == "DELETE", "a part that comes after the end of the upload would stay in the bucket"


def test_a_file_that_is_cut_while_it_is_sent_is_told(front: Front, store: S3Store, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(bytes(2 * LEAST))

    def cut(request: Quiet, carry_out: Callable[[], None]) -> None:
        os.truncate(source, 100)
        hang_up(request, carry_out)

    front.faults = [None, cut, cut]
    with pytest.raises(FileChanged):
        store.put_file("f", source)
    # A part that was on its way may be seen after it.
    assert "DELETE" in [method for method, _ in front.seen]


def test_an_older_object_is_not_taken_for_this_upload(front: Front, store: S3Store, tmp_path: Path) -> None:
    """The upload is gone, and under its key lies something of the very same size."""
    source = tmp_path / "in"
    source.write_bytes(bytes(2 * LEAST))
    put_verified(store, "f", source)
    front.faults = [None, None, None, hang_up, refuse(404, "NoSuchUpload")]
    with pytest.raises(NotFound):
        store.put_file("f", source)


def test_a_completion_whose_answer_was_lost_is_known(front: Front, store: S3Store, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(bytes(2 * LEAST))
    front.faults = [None, None, None, lose_answer, refuse(404, "NoSuchUpload")]
    assert put_verified(store, "f", source).etag == store.head("f").etag
