"""An S3 over real HTTP that remembers what it was asked, and whose answers a test can spoil."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from runctl_jupyter.orchestration.storage.bucket import BucketStore

BUCKET = "lab"
Spoil = Callable[[dict[str, Any], Iterable[bytes]], Iterable[bytes]]


class S3Server:
    """moto behind a door that looks at each request."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.spoil: Spoil | None = None
        self.before: Callable[[dict[str, Any]], None] | None = None
        self.change_headers: Callable[[list[tuple[str, str]]], list[tuple[str, str]]] | None = None
        self.refuse = ""
        """Requests with this in their query are refused."""
        self.refusal = "403 Forbidden", "AccessDenied"
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=_Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        self.asked.append(environ)
        if self.before is not None:
            self.before(environ)
        if self.refuse and self.refuse in environ["QUERY_STRING"]:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            status, code = self.refusal
            start_response(status, [("Content-Type", "application/xml")])
            return [f"<Error><Code>{code}</Code></Error>".encode()]

        def begin(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start_response(status, self.change_headers(headers) if self.change_headers else headers, *more)

        body: Iterable[bytes] = self._moto(environ, begin)
        return body if self.spoil is None else self.spoil(environ, body)

    def requests(self, method: str) -> list[dict[str, Any]]:
        """Return what was asked with a method."""
        return [each for each in self.asked if each["REQUEST_METHOD"] == method]

    @property
    def client(self) -> Any:
        """An ordinary client, which shares nothing with what is tested."""
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
        return boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", **keys)

    def store(self, **changes: Any) -> BucketStore:
        """Return a store of the bucket."""
        return BucketStore(BUCKET, "", "us-east-1", endpoint=self.url, keys=("a", "b"), **changes)

    @contextmanager
    def running(self) -> Iterator[S3Server]:
        """Serve, with an empty bucket."""
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            self.client.create_bucket(Bucket=BUCKET)
            yield self
        finally:
            self.spoil = self.before = self.change_headers = None
            self.refuse = ""
            for bucket in self.client.list_buckets()["Buckets"]:
                for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"]):
                    for each in page.get("Contents", []):
                        self.client.delete_object(Bucket=bucket["Name"], Key=each["Key"])
                self.client.delete_bucket(Bucket=bucket["Name"])
            self._server.shutdown()
            self._server.server_close()


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, kind: str, message: str, *args: Any) -> None:
        """Say nothing."""
