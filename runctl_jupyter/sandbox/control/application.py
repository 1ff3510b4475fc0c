"""The WSGI application: who asks (SigV4), may they (IAM), then moto; and errors in the words of each protocol."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from moto.core.exceptions import ServiceException
from werkzeug.http import HTTP_STATUS_CODES

from runctl_jupyter.sandbox.control.account import Account, Principal
from runctl_jupyter.sandbox.control.fault_effects import answer_body, before_request
from runctl_jupyter.sandbox.control.faults import Caller, Fault, Faults
from runctl_jupyter.sandbox.control.objects import ObjectJournal
from runctl_jupyter.sandbox.control.permissions import needed
from runctl_jupyter.sandbox.control.policies import Permission, allows
from runctl_jupyter.sandbox.control.protocol_errors import (
    Response,
    ServiceError,
    denied,
    protocol_of,
    render,
    signature_error,
)
from runctl_jupyter.sandbox.control.regions import check_region
from runctl_jupyter.sandbox.control.s3_permissions import bucket_and_key
from runctl_jupyter.sandbox.control.service_calls import Inventory, ServiceCall
from runctl_jupyter.sandbox.control.signature import (
    HttpRequest,
    SignatureError,
    SignedScope,
    check_signature,
    signed_scope,
)

log = logging.getLogger(__name__)
CONTROL_PREFIX = "/_sandbox/"
_DEFAULT_SERVICE = "s3"  # an unsigned request can only mean S3; it is refused in S3's words
_NO_SUCH_UPLOAD = (
    "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
    "completed."
)


def raw_path_and_query(environ: WSGIEnvironment) -> tuple[str, str]:
    """Give path and query as they came over the wire (werkzeug keeps them in RAW_URI)."""
    path, _, query = str(environ.get("RAW_URI", environ.get("PATH_INFO", "/"))).partition("?")
    return path, query


def headers_of(environ: WSGIEnvironment) -> dict[str, str]:
    """Give the request's headers, names in lower case."""
    headers = {
        name[5:].replace("_", "-").lower(): str(value) for name, value in environ.items() if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = str(environ[name])
    return headers


class Application:
    """Everything that is answered on the sandbox's port.

    Parameters
    ----------
    services
        moto's application.
    control
        Answers paths under ``/_sandbox/``.
    faults
        Stand in the way of requests to AWS, never of those to `control`.
    caller_of
        Tells who calls, for faults: by access key id and the address the connection comes from.
    """

    def __init__(
        self,
        services: WSGIApplication,
        control: Callable[[WSGIEnvironment], Response],
        account: Account,
        inventory: Inventory,
        objects: ObjectJournal,
        faults: Faults,
        caller_of: Callable[[str, str], Caller],
    ) -> None:
        self._services = services
        self._control = control
        self._account = account
        self._inventory = inventory
        self._objects = objects
        self._faults = faults
        self._caller_of = caller_of
        self.last_request_at = time.monotonic()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if str(environ.get("PATH_INFO", "")).startswith(CONTROL_PREFIX):
            return _send(self._control(environ), start_response, ())
        self.last_request_at = time.monotonic()
        call, request = _read(environ)
        protocol = protocol_of(call.service, has_target="x-amz-target" in call.headers)
        struck = self._strike(call, request, environ) if self._faults.active else ()
        try:
            before_request(struck, protocol, environ)
            principal = self._authorized(call, request, protocol)
            response = self._answer(environ, call, principal, protocol)
        except ServiceError as error:
            response = render(error, protocol)
            if call.method == "HEAD":  # a HEAD answer has no body, so botocore sees the bare status
                response = (response[0], [pair for pair in response[1] if pair[0] != "Content-Length"], b"")
        return _send(response, start_response, struck)

    def _strike(self, call: ServiceCall, request: HttpRequest, environ: WSGIEnvironment) -> Sequence[Fault]:
        scope = signed_scope(request)
        key_id = scope.access_key_id if scope else ""
        return self._faults.strike(call, self._caller_of(key_id, str(environ.get("REMOTE_ADDR", ""))))

    def _authorized(self, call: ServiceCall, request: HttpRequest, protocol: str) -> Principal:
        try:
            scope: SignedScope = check_signature(request, self._account.key_of, datetime.now(UTC))
        except SignatureError as error:
            raise signature_error(error, protocol) from error
        check_region(scope, protocol)
        principal = self._account.principal_of(scope.access_key_id)
        for permission in needed(call, self._inventory):
            if not allows(principal.documents, permission):
                raise denied(principal.arn, permission.action, permission.resource, protocol)
        return principal

    def _answer(self, environ: WSGIEnvironment, call: ServiceCall, principal: Principal, protocol: str) -> Response:
        if call.service != "s3":
            return self._call_services(environ, call, protocol)
        bucket, key = bucket_and_key(call.path)
        if call.method in ("GET", "HEAD"):
            response = self._objects.turn(bucket, key).read(lambda: self._call_services(environ, call, protocol))
            if key and response[0] == 404:
                self._hide_missing_key(bucket, principal)
            return response
        query = parse_qs(call.query, keep_blank_values=True)
        with self._objects.turn(bucket, key):
            if "uploadId" in query and not self._objects.upload_is_open(bucket, query["uploadId"][0]):
                raise ServiceError("NoSuchUpload", _NO_SUCH_UPLOAD, 404)
            response = self._call_services(environ, call, protocol)
            if response[0] < 300 and bucket:
                if key:
                    self._objects.record(bucket, key)
                elif "delete" in query:
                    self._objects.record_bucket(bucket)
        return response

    @staticmethod
    def _hide_missing_key(bucket: str, principal: Principal) -> None:
        """Who may not list a bucket is not told that a key is missing (S3 API reference, GetObject)."""
        if not allows(principal.documents, Permission("s3:ListBucket", f"arn:aws:s3:::{bucket}")):
            raise ServiceError("AccessDenied", "Access Denied", 403)

    def _call_services(self, environ: WSGIEnvironment, call: ServiceCall, protocol: str) -> Response:
        """Let moto answer; what it does not implement becomes an error that the client understands."""
        answer: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], Any]:
            answer[:] = [status, headers, exc_info]
            return lambda _data: None

        try:
            body = b"".join(self._services(environ, start_response))
        except ServiceException as error:
            raise ServiceError(error.code, error.message) from error
        except NotImplementedError as error:
            log.warning("not implemented: %s %s: %s", call.service, call.action, error)
            raise _not_implemented(call, protocol) from error
        except Exception as error:  # moto answers calls it cannot do with whatever Python raises
            log.exception("moto failed: %s %s %s", call.service, call.action or call.method, call.path)
            raise ServiceError("InternalFailure", f"{call.service}:{call.action}: {error!r}", 501) from error
        status, headers, _ = answer
        return int(status.split()[0]), list(headers), body


def _not_implemented(call: ServiceCall, protocol: str) -> ServiceError:
    message = f"The sandbox does not implement {call.service}:{call.action or call.method}."
    if protocol == "ec2":
        return ServiceError("InvalidAction", message, 400)
    return ServiceError({"s3": "NotImplemented", "json": "UnknownOperationException"}.get(protocol, "InvalidAction"),
                        message, 501 if protocol == "s3" else 400)  # fmt: skip


def _read(environ: WSGIEnvironment) -> tuple[ServiceCall, HttpRequest]:
    """Read a request. The body of S3 uploads stays unread: its signature covers only the hash in a header."""
    path, query = raw_path_and_query(environ)
    headers = headers_of(environ)
    method = str(environ["REQUEST_METHOD"])
    bare = HttpRequest(method, path, query, headers, b"")
    scope = signed_scope(bare)
    service = scope.service if scope else _DEFAULT_SERVICE
    body = b""
    if service != "s3" or (method == "POST" and "delete" in parse_qs(query, keep_blank_values=True)):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
    return (
        ServiceCall(service, method, path, query, headers, body),
        HttpRequest(method, path, query, headers, body),
    )


def _send(response: Response, start_response: StartResponse, struck: Sequence[Fault]) -> Iterable[bytes]:
    status, headers, body = response
    sent = answer_body(struck, body)
    start_response(f"{status} {HTTP_STATUS_CODES.get(status, '')}".strip(), headers)
    return sent
