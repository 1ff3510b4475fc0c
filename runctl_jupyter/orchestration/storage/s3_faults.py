"""How S3's refusals and the object-store library's own troubles can be told from each other: only by what they say."""

from __future__ import annotations

EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired", "RequestExpired"})
"""Codes of S3 for credentials that were good once (S3 API reference, "Error responses")."""
DENIED = "<Code>AccessDenied</Code>"
BEYOND_THE_END = "InvalidRange"
"""Code of S3 for a range without a byte, as of an empty object."""
RETRIED = " retries, max_retries: "
"""In the library's account of a request that it has made more than once."""
PROVIDER = "External AWS credential provider"
"""How the library names who provides credentials, before the name of the exception and its text."""
UNREACHABLE = frozenset(
    {
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "ConnectionError",
        "EndpointConnectionError",
        "HTTPClientError",
        "ProxyConnectionError",
        "ReadTimeoutError",
        "SSLError",
    }
)
"""Exceptions of botocore for a network that is down."""


def reason_of(error: BaseException) -> str:
    """Return the first line of what the library says."""
    return str(error).strip().splitlines()[0]


def code_of(error: BaseException) -> str:
    """Return the code that S3 sent, as `` [Code]``; empty when there is none."""
    text = str(error)
    start = text.find("<Code>")
    return f" [{text[start + 6 : text.find('</Code>')]}]" if start >= 0 else ""
