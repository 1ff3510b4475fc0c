"""What a fault does to a request that it hits: errors in the words of each service, delays, lost connections."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Sequence
from typing import Never
from wsgiref.types import WSGIEnvironment

from runctl_jupyter.sandbox.control.faults.faults import (
    CUT,
    DENIED,
    ERROR,
    EXPIRED_CREDENTIALS,
    HALF_ANSWER,
    LOST_ANSWER,
    OFFLINE,
    THROTTLE,
    TIMEOUT,
    Fault,
    FaultRule,
)
from runctl_jupyter.sandbox.control.requests.protocol_errors import ServiceError

MAX_HELD = 64
"""Requests that may go without an answer at the same time, each in a thread; one more loses its connection at once."""
_held = threading.BoundedSemaphore(MAX_HELD)

_CODES = {
    # What each protocol's services answer with when something is wrong on their side.
    "s3": {500: "InternalError", 503: "SlowDown"},
    "ec2": {500: "InternalError", 503: "RequestLimitExceeded"},
    "json": {500: "InternalServerError", 503: "ServiceUnavailable"},
    "query": {500: "InternalFailure", 503: "ServiceUnavailable"},
}
_STATUS_OF_CODE = {
    "SlowDown": 503,
    "ServiceUnavailable": 503,
    "Unavailable": 503,
    "RequestLimitExceeded": 503,
    "InternalError": 500,
    "InternalFailure": 500,
    "InternalServerError": 500,
    "AccessDenied": 403,
}
_MESSAGES = {
    "SlowDown": "Please reduce your request rate.",
    "ServiceUnavailable": "Service is unable to handle request.",
    "RequestLimitExceeded": "Request limit exceeded.",
    "Throttling": "Rate exceeded",
    "ThrottlingException": "Rate exceeded",
    "InternalError": "We encountered an internal error. Please try again.",
    "ExpiredToken": "The provided token has expired.",
    "ExpiredTokenException": "The security token included in the request is expired",
    "RequestExpired": "Request has expired.",
    "AccessDenied": "Access Denied",
}
_EXPIRED = {"s3": ("ExpiredToken", 400), "ec2": ("RequestExpired", 400), "json": ("ExpiredTokenException", 400),
            "query": ("ExpiredToken", 403)}  # fmt: skip


_THROTTLED = {"s3": ("SlowDown", 503), "ec2": ("RequestLimitExceeded", 503), "json": ("ThrottlingException", 400),
              "query": ("Throttling", 400)}  # fmt: skip


class ConnectionPulledError(ConnectionResetError):
    """A connection that has to end with a TCP reset, as when nobody is there."""


def before_request(struck: Sequence[Fault], protocol: str, environ: WSGIEnvironment) -> None:
    """Do what comes before a request is carried out; returns when it shall be.

    Raises
    ------
    ServiceError
        It is refused.
    ConnectionError
        Its connection ends without an answer.
    """
    for fault in struck:
        rule = fault.rule
        if rule.latency_s:
            fault.wait(rule.latency_s)
        if rule.kind == ERROR:
            raise _error(rule, protocol)
        if rule.kind == EXPIRED_CREDENTIALS:
            code, status = _EXPIRED[protocol]
            raise ServiceError(code, _MESSAGES[code], status)
        if rule.kind == THROTTLE:
            code, status = _THROTTLED[protocol]
            raise ServiceError(code, _MESSAGES[code], status)
        if rule.kind == OFFLINE:
            raise ConnectionPulledError(rule.kind)
        if rule.kind == CUT:
            raise ConnectionAbortedError(rule.kind)
        if rule.kind == TIMEOUT:
            _keep_silent(fault, environ)


def refuses_permission(struck: Sequence[Fault]) -> bool:
    """Whether a fault takes the right to do this from whoever asks; the answer is then IAM's."""
    return any(fault.rule.kind == DENIED for fault in struck)


def answer_body(struck: Sequence[Fault], body: bytes) -> Iterable[bytes]:
    """Give what is sent of an answer's body.

    Raises
    ------
    ConnectionError
        Nothing at all, not even the headers.
    """
    kinds = {fault.rule.kind for fault in struck}
    if LOST_ANSWER in kinds:
        raise ConnectionAbortedError(LOST_ANSWER)
    return _half(body) if HALF_ANSWER in kinds else [body]


def _half(body: bytes) -> Iterable[bytes]:
    yield body[: len(body) // 2]
    raise ConnectionAbortedError(HALF_ANSWER)


def _error(rule: FaultRule, protocol: str) -> ServiceError:
    if rule.code is None:
        status = rule.status or 500
        code = _CODES[protocol][status]
    else:
        code = rule.code
        status = rule.status or _STATUS_OF_CODE.get(code, 400)
    return ServiceError(code, _MESSAGES.get(code, "The sandbox was told to refuse this request."), status)


def _keep_silent(fault: Fault, environ: WSGIEnvironment) -> Never:
    """Say nothing until the client gives up, or the fault's time is over or the fault is cleared."""
    _discard_body(environ)  # from now on the connection is readable only when the client has closed it
    if _held.acquire(blocking=False):
        connection: socket.socket = environ["werkzeug.socket"]
        try:
            fault.wait(peer=connection)
        finally:
            _held.release()
    raise ConnectionAbortedError(TIMEOUT)


def _discard_body(environ: WSGIEnvironment) -> None:
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        while stream.read(1 << 20):
            continue
        return
    left = int(environ.get("CONTENT_LENGTH") or 0)
    while left > 0 and (data := stream.read(min(left, 1 << 20))):
        left -= len(data)
