"""Credentials that end and are renewed, as the store of a bucket meets them; the S3 here is a few lines."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.exceptions import EndpointConnectionError, UnauthorizedSSOTokenError

from runctl_jupyter.orchestration.errors import CredentialsMissing, StorageUnavailable
from runctl_jupyter.orchestration.storage.bucket import BucketStore
from runctl_jupyter.orchestration.storage.store import ObjectHead
from runctl_jupyter.run_record import StoreError


class S3(ThreadingHTTPServer):
    """Takes the token ``good`` and refuses all others with `code`, as S3 does: with status 400."""

    code, status = "ExpiredToken", 400


class Handler(BaseHTTPRequestHandler):
    server: S3

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self.headers["x-amz-security-token"] != "good":
            self._answer(self.server.status, f"<Error><Code>{self.server.code}</Code></Error>".encode())
        elif self.headers["Range"]:
            self._answer(206, b"h", {"Content-Range": "bytes 0-0/5"})
        else:
            self._answer(200, b"hello")

    def _answer(self, status: int, body: bytes, more: dict[str, str] | None = None) -> None:
        about = {"ETag": '"1"', "Last-Modified": "Tue, 24 Nov 2026 10:00:00 GMT", "x-amz-meta-offset": "7"}
        self.send_response(status)
        for name, value in {**about, **(more or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Provider:
    """Gives the token it holds, or raises; says that it is good for half an hour."""

    def __init__(self, token: str | Exception) -> None:
        self.token = token

    def __call__(self) -> dict[str, object]:
        if isinstance(self.token, Exception):
            raise self.token
        until = datetime.now(UTC) + timedelta(minutes=30)
        return {"access_key_id": "a", "secret_access_key": "b", "token": self.token, "expires_at": until}


@pytest.fixture
def s3() -> Iterator[S3]:
    server = S3(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def store_of(s3: S3, provider: Provider) -> BucketStore:
    endpoint = f"http://127.0.0.1:{s3.server_address[1]}"
    return BucketStore("bucket", "p", "us-east-1", endpoint=endpoint, credential_provider=provider)


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"])
def test_what_s3_calls_expired_is_said_and_renewed_credentials_are_used_at_once(s3: S3, code: str) -> None:
    s3.code = code
    provider = Provider("old")
    store = store_of(s3, provider)
    for read in (store.get, store.head):
        with pytest.raises(CredentialsMissing, match=code) as caught:
            read("k")
        assert "aws sso login" in caught.value.to_resolve
    provider.token = "good"
    assert store.get("k").data == b"hello"
    assert store.head("k") == ObjectHead(5, {"offset": "7"})


def test_a_sign_in_that_is_over(s3: S3) -> None:
    provider = Provider(UnauthorizedSSOTokenError())
    store = store_of(s3, provider)
    with pytest.raises(CredentialsMissing, match="UnauthorizedSSOTokenError"):
        store.get("k")
    provider.token = EndpointConnectionError(endpoint_url="https://portal.sso")
    with pytest.raises(StoreError, match="could not be renewed") as caught:
        store.get("k")
    assert caught.value.transient
    provider.token = "good"
    assert store.get("k").data == b"hello"


def test_a_refusal_is_no_expiry(s3: S3) -> None:
    s3.code, s3.status = "AccessDenied", 403
    with pytest.raises(StorageUnavailable, match="AccessDenied"):
        store_of(s3, Provider("old")).get("k")
