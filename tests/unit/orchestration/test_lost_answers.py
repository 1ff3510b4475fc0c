"""Conditional writes that S3 carries out and whose answer is lost, as the store of a bucket meets them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from runctl_jupyter.orchestration.storage.bucket import BucketStore
from runctl_jupyter.run_record import PreconditionFailed


class S3(ThreadingHTTPServer):
    """Holds one object, which cannot be written over; loses the answers that it is told to lose."""

    held: bytes | None = None
    lost = 0


class Handler(BaseHTTPRequestHandler):
    server: S3
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        free = self.server.held is None
        if free:
            self.server.held = data
        if self.server.lost:
            self.server.lost -= 1
            self.close_connection = True
        elif free:
            self._answer(200, b"")
        else:
            self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")

    def do_GET(self) -> None:
        self._answer(200, self.server.held or b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        for name, value in {"ETag": '"1"', "Last-Modified": "Tue, 24 Nov 2026 10:00:00 GMT"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def s3() -> Iterator[S3]:
    server = S3(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def store_of(s3: S3) -> BucketStore:
    return BucketStore("bucket", "p", "us-east-1", endpoint=f"http://127.0.0.1:{s3.server_address[1]}", keys=("a", "b"))


@pytest.mark.parametrize("condition", [{"create_only": True}, {"if_etag": '"0"'}])
def test_what_we_have_written_ourselves_is_no_conflict(s3: S3, condition: dict[str, object]) -> None:
    s3.lost = 1
    assert store_of(s3).put("k", b"ours", **condition) == '"1"'  # type: ignore[arg-type]
    assert s3.held == b"ours"


def test_what_another_has_written_is_one(s3: S3) -> None:
    s3.held, s3.lost = b"theirs", 1
    with pytest.raises(PreconditionFailed):
        store_of(s3).put("k", b"ours", create_only=True)


def test_without_a_second_try_it_is_one(s3: S3) -> None:
    s3.held = b"ours"
    with pytest.raises(PreconditionFailed):
        store_of(s3).put("k", b"ours", create_only=True)
