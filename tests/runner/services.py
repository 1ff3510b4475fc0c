"""Services for the runner on 127.0.0.1: an S3 behind a front that can misbehave, and instance metadata."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from moto.server import ThreadedMotoServer

BUCKET = "bucket"


class Quiet(BaseHTTPRequestHandler):
    """HTTP/1.1 with kept-alive connections, without a log."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name in headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serve(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def error(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>told to</Message></Error>".encode()


Fault = Callable[[Quiet, Callable[[], None]], None]
"""Answers a request wrongly; the second argument carries the request out without answering."""


def hang_up(request: Quiet, carry_out: Callable[[], None]) -> None:
    request.close_connection = True


def lose_answer(request: Quiet, carry_out: Callable[[], None]) -> None:
    carry_out()
    request.close_connection = True


def refuse(status: int, code: str) -> Fault:
    return lambda request, _: request.answer(status, error(code))


def do_and_fail(status: int, code: str) -> Fault:
    def fault(request: Quiet, carry_out: Callable[[], None]) -> None:
        carry_out()
        request.answer(status, error(code))

    return fault


def other_clock(difference: timedelta) -> Fault:
    date = format_datetime(datetime.now(UTC) + difference, usegmt=True)
    return lambda request, _: request.answer(403, error("RequestTimeTooSkewed"), {"Date": date})


class Front:
    """An S3 whose next requests go wrong as `faults` says, the first fault for the next request."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream.removeprefix("http://")
        self.faults: list[Fault | None] = []
        self.seen: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []

    def handler(self) -> type[Quiet]:
        front = self

        class Handler(Quiet):
            def handle_request(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                front.seen.append((self.command, self.path))
                front.headers.append({name.lower(): value for name, value in self.headers.items()})
                fault = front.faults.pop(0) if front.faults else None
                if fault is not None:
                    fault(self, lambda: front.forward(self, body) and None)
                    return
                status, headers, answer = front.forward(self, body)
                self.answer(status, answer, headers)

            def do_GET(self) -> None:
                self.handle_request()

            def do_PUT(self) -> None:
                self.handle_request()

            def do_POST(self) -> None:
                self.handle_request()

            def do_HEAD(self) -> None:
                self.handle_request()

            def do_DELETE(self) -> None:
                self.handle_request()

        return Handler

    def forward(self, request: Quiet, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self._upstream, timeout=30)
        connection.request(request.command, request.path, body, dict(request.headers))
        response = connection.getresponse()
        data = response.read()
        connection.close()
        dropped = ("connection", "transfer-encoding", "server")
        return response.status, {k: v for k, v in response.headers.items() if k.lower() not in dropped}, data


@contextmanager
def s3_behind_front() -> Iterator[tuple[Front, str]]:
    """Serve an S3 with an empty bucket; yield its front and the front's URL."""
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    try:
        host, port = moto.get_host_and_port()
        connection = http.client.HTTPConnection(host, port, timeout=30)
        connection.request("POST", "/moto-api/reset")
        connection.getresponse().read()
        connection.request(
            "PUT",
            f"/{BUCKET}",
            headers={"Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request"},
        )
        assert connection.getresponse().status == 200
        connection.close()
        front = Front(f"http://{host}:{port}")
        with serve(front.handler()) as url:
            yield front, url
    finally:
        moto.stop()


class Metadata:
    """Instance metadata, version 2, with what the runner asks for."""

    def __init__(self) -> None:
        self.token = "token-1"
        self.role: str | None = "role"
        self.keys = 0
        self.lifetime_s = 6 * 3600.0
        self.notice: dict[str, str] | None = None
        self.seen: list[str] = []

    def handler(self) -> type[Quiet]:
        metadata = self

        class Handler(Quiet):
            def do_PUT(self) -> None:
                assert int(self.headers["x-aws-ec2-metadata-token-ttl-seconds"]) <= 21600
                self.answer(200, metadata.token.encode())

            def do_GET(self) -> None:
                metadata.seen.append(self.path)
                if self.headers.get("x-aws-ec2-metadata-token") != metadata.token:
                    self.answer(401)
                    return
                text = metadata.text(self.path.removeprefix("/latest/"))
                self.answer(404) if text is None else self.answer(200, text.encode())

        return Handler

    def text(self, path: str) -> str | None:
        if path == "meta-data/iam/security-credentials/role":
            self.keys += 1
            expires = datetime.now(UTC) + timedelta(seconds=self.lifetime_s)
            return json.dumps(
                {
                    "Code": "Success",
                    "AccessKeyId": f"AKID{self.keys}",
                    "SecretAccessKey": "secret",
                    "Token": f"session-{self.keys}",
                    "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
            )
        return {
            "meta-data/instance-id": "i-0123456789abcdef0",
            "meta-data/placement/region": "us-east-1",
            "meta-data/iam/security-credentials/": self.role,
            "meta-data/spot/instance-action": json.dumps(self.notice) if self.notice else None,
        }.get(path)
