"""Signature Version 4: whether a request is signed by a key of this account.

Source: IAM User Guide, "Create a signed AWS API request", and S3 API reference, "Authenticating Requests".
Header and presigned (query) signatures are checked; the payload hash is taken as the client signed it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, unquote, unquote_plus

ALGORITHM = "AWS4-HMAC-SHA256"
CLOCK_SKEW = timedelta(minutes=15)
UNSIGNED = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True)
class HttpRequest:
    """The parts of a request that are signed. `path` and `query` are raw, as they came over the wire."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True)
class SigningKey:
    """A secret and, for temporary credentials, the token that must come with it."""

    secret: str
    session_token: str | None = None


@dataclass(frozen=True)
class SignedScope:
    """Who says to have signed, and for what."""

    access_key_id: str
    date: str
    region: str
    service: str
    presigned: bool


class SignatureError(Exception):
    """A request is not acceptably signed. `reason` is one of the class constants."""

    MISSING = "missing"
    UNKNOWN_KEY = "unknown-key"
    BAD_TOKEN = "bad-token"  # noqa: S105 - a reason, not a secret
    EXPIRED = "expired"
    SKEWED = "skewed"
    MISMATCH = "mismatch"

    def __init__(self, reason: str, access_key_id: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.access_key_id = access_key_id


@dataclass(frozen=True)
class _Claim:
    scope: SignedScope
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    token: str | None
    lifetime: timedelta


def signed_scope(request: HttpRequest) -> SignedScope | None:
    """Read key id, region and service from a request's signature; None for an unsigned request."""
    claim = _claim(request)
    return claim.scope if claim else None


def check_signature(request: HttpRequest, key_of: Callable[[str], SigningKey | None], now: datetime) -> SignedScope:
    """Check a request's signature.

    Parameters
    ----------
    key_of
        Gives the key of an access key id, or None.

    Raises
    ------
    SignatureError
        Unsigned, unknown key, wrong token, too old or wrongly signed.
    """
    claim = _claim(request)
    if claim is None:
        raise SignatureError(SignatureError.MISSING)
    key_id = claim.scope.access_key_id
    key = key_of(key_id)
    if key is None:
        raise SignatureError(SignatureError.UNKNOWN_KEY, key_id)
    if not hmac.compare_digest(key.session_token or "", claim.token or ""):
        raise SignatureError(SignatureError.BAD_TOKEN, key_id)
    _check_age(claim, now)
    if not hmac.compare_digest(_signature(request, claim, key.secret), claim.signature):
        raise SignatureError(SignatureError.MISMATCH, key_id)
    return claim.scope


def _check_age(claim: _Claim, now: datetime) -> None:
    try:
        signed_at = datetime.strptime(claim.timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise SignatureError(SignatureError.MISMATCH, claim.scope.access_key_id) from None
    if not signed_at - CLOCK_SKEW <= now <= signed_at + claim.lifetime:
        # A URL has a lifetime; a request is sent when it is signed, so that one of the clocks must be wrong.
        reason = SignatureError.EXPIRED if claim.scope.presigned else SignatureError.SKEWED
        raise SignatureError(reason, claim.scope.access_key_id)


def _claim(request: HttpRequest) -> _Claim | None:
    authorization = request.headers.get("authorization", "")
    if authorization.startswith(ALGORITHM):
        fields = dict(part.strip().partition("=")[::2] for part in authorization.removeprefix(ALGORITHM).split(","))
        token = request.headers.get("x-amz-security-token")
        timestamp, lifetime = request.headers.get("x-amz-date", ""), CLOCK_SKEW
        names = ("Credential", "SignedHeaders", "Signature")
    else:
        fields = dict(parse_qsl(request.query, keep_blank_values=True))
        if fields.get("X-Amz-Algorithm") != ALGORITHM:
            return None
        token, timestamp = fields.get("X-Amz-Security-Token"), fields.get("X-Amz-Date", "")
        seconds = fields.get("X-Amz-Expires", "0")
        lifetime = timedelta(seconds=int(seconds) if seconds.isdigit() else 0)
        names = ("X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Signature")
    credential, signed_headers, signature = (fields.get(name, "") for name in names)
    scope = credential.split("/")
    if len(scope) != 5:
        return None
    key_id, date, region, service, _terminator = scope
    presigned = names[0] != "Credential"
    return _Claim(
        SignedScope(key_id, date, region, service, presigned),
        tuple(signed_headers.split(";")), signature, timestamp, token, lifetime,
    )  # fmt: skip


def _signature(request: HttpRequest, claim: _Claim, secret: str) -> str:
    scope = claim.scope
    canonical = "\n".join((
        request.method,
        _canonical_path(request.path, scope.service),
        _canonical_query(request.query),
        *(f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in claim.signed_headers),
        "",
        ";".join(claim.signed_headers),
        _payload_hash(request, scope),
    ))  # fmt: skip
    parts = (scope.date, scope.region, scope.service, "aws4_request")
    to_sign = "\n".join((
        ALGORITHM, claim.timestamp, "/".join(parts), hashlib.sha256(canonical.encode()).hexdigest()
    ))  # fmt: skip
    key = f"AWS4{secret}".encode()
    for part in parts:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


def _canonical_path(path: str, service: str) -> str:
    """S3 signs the path encoded once, every other service encodes what is on the wire once more."""
    once = quote(unquote(path), safe="/-_.~")
    return once if service == "s3" else quote(path, safe="/-_.~")


def _canonical_query(query: str) -> str:
    """AWS decodes a query before it signs it: a space may come as ``%20`` or as ``+``, as many clients write it."""
    pairs = [map(unquote_plus, pair.partition("=")[::2]) for pair in query.split("&") if pair]
    encoded = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded if name != "X-Amz-Signature")


def _payload_hash(request: HttpRequest, scope: SignedScope) -> str:
    if scope.service == "s3":
        return UNSIGNED if scope.presigned else request.headers.get("x-amz-content-sha256", UNSIGNED)
    return hashlib.sha256(request.body).hexdigest()
