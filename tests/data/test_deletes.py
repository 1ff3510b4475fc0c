"""Deletes of a bucket: in few requests, signed as S3 wants them, and an object that stays is never passed over."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from runctl_jupyter.orchestration.errors import StorageUnavailable
from runctl_jupyter.orchestration.storage.bucket import BucketStore
from runctl_jupyter.run_record import StoreError

DENIED = "<Error><Key>{}</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class S3(ThreadingHTTPServer):
    """Takes DeleteObjects, and refuses some keys one by one, as S3 does inside an answer 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[list[str]] = []
        self.digests: list[bool] = []
        self.refused: set[str] = set()

    @property
    def store(self) -> BucketStore:
        return BucketStore(
            "bucket", "p", "us-east-1", endpoint=f"http://127.0.0.1:{self.server_port}", keys=("AKID", "secret")
        )


class Handler(BaseHTTPRequestHandler):
    server: S3

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        keys = re.findall(r"<Key>(.*?)</Key>", body.decode())
        self.server.asked.append(keys)
        digest = base64.b64encode(hashlib.md5(body).digest()).decode()
        self.server.digests.append(self.headers["content-md5"] == digest)
        said = "".join(DENIED.format(key) if key in self.server.refused else f"<Deleted><Key>{key}</Key></Deleted>"
                       for key in keys)  # fmt: skip
        answer = f'<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{said}</DeleteResult>'.encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def s3() -> Iterator[S3]:
    with S3() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_thousand_with_a_request(s3: S3) -> None:
    keys = [f"a b/{n}.pt" for n in range(2500)]
    s3.store.delete(keys)
    assert sorted(map(len, s3.asked)) == [500, 1000, 1000]
    assert sorted(key for asked in s3.asked for key in asked) == sorted(f"p/{key}" for key in keys)
    assert all(s3.digests), "S3 wants Content-MD5"


def test_none_is_no_request(s3: S3) -> None:
    s3.store.delete([])
    assert s3.asked == []


def test_an_object_that_stays_is_an_error(s3: S3) -> None:
    s3.refused = {"p/2.pt"}
    with pytest.raises((StoreError, StorageUnavailable), match=r"Access ?Denied"):
        s3.store.delete([f"{n}.pt" for n in range(4)])
