"""AWS Signature Version 4 (AWS page "Create a signed AWS API request").

S3 differs from other services: the path is encoded once and not normalised, and ``x-amz-content-sha256`` is part
of the request. Others are called here at ``/`` only, where encoding makes no difference, and take the header too.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Optional
from urllib.parse import quote

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Credentials:
    """Keys of a role or user; `expires_at` is a POSIX time, None for keys that stay."""

    access_key: str
    secret_key: str
    token: Optional[str] = None
    expires_at: Optional[float] = None

    def __repr__(self) -> str:
        return f"Credentials({self.access_key!r})"  # the secret never reaches a log or a traceback


@dataclass(frozen=True)
class Target:
    """What a request is about, as it goes over the wire."""

    method: str
    host: str
    """With the port where it is not the scheme's own."""
    path: str
    """Encoded, starts with ``/``."""
    query: Mapping[str, str]
    """Not yet encoded."""


def encode_path(path: str) -> str:
    """Encode a key the way S3 wants it in path and signature: everything but unreserved characters and ``/``."""
    return quote(path, safe="/-._~")


def encode_query(query: Mapping[str, str]) -> str:
    """Encode and sort a query; both the URL and the signature use this text."""
    return "&".join(
        f"{name}={value}"
        for name, value in sorted((quote(k, safe="-._~"), quote(v, safe="-._~")) for k, v in query.items())
    )


def sign(
    target: Target,
    headers: Mapping[str, str],
    payload_sha256: str,
    *,
    credentials: Credentials,
    region: str,
    moment: datetime,
    service: str = "s3",
) -> dict[str, str]:
    """Return `headers` and what makes them a signed request, names in lower case.

    Parameters
    ----------
    payload_sha256
        Hex digest of the true payload; S3 refuses a body that does not match it.
    moment
        The time in UTC; AWS accepts a few minutes of difference to its own clock.
    """
    stamp = moment.strftime("%Y%m%dT%H%M%SZ")
    signed = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    signed["host"] = target.host
    signed["x-amz-date"] = stamp
    signed["x-amz-content-sha256"] = payload_sha256
    if credentials.token:
        signed["x-amz-security-token"] = credentials.token
    names = ";".join(sorted(signed))
    canonical = "\n".join(
        [
            target.method,
            target.path,
            encode_query(target.query),
            *(f"{name}:{signed[name]}" for name in sorted(signed)),
            "",
            names,
            payload_sha256,
        ]
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (stamp[:8], region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    signed["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return signed
