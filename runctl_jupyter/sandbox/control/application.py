"""The WSGI application: who asks (SigV4), may they (IAM), then moto; and errors in the words of each protocol."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from moto.core.exceptions import ServiceException
from werkzeug.http import HTTP_STATUS_CODES

from runctl_jupyter.sandbox.control.access.acting import Refusal, acting_as, demand
from runctl_jupyter.sandbox.control.access.authorization_messages import AuthorizationMessages
from runctl_jupyter.sandbox.control.access.permissions import needed
from runctl_jupyter.sandbox.control.access.policies import Decision, Permission, allows, decide
from runctl_jupyter.sandbox.control.access.s3_permissions import bucket_and_key
from runctl_jupyter.sandbox.control.access.used_permissions import UsedPermissions
from runctl_jupyter.sandbox.control.faults.effects import answer_body, before_request, refuses_permission
from runctl_jupyter.sandbox.control.faults.faults import Caller, Fault, Faults
from runctl_jupyter.sandbox.control.iam.account import Account, Principal
from runctl_jupyter.sandbox.control.requests.protocol_errors import (
    Response,
    ServiceError,
    denied,
    protocol_of,
    render,
    render_result,
    signature_error,
)
from runctl_jupyter.sandbox.control.requests.regions import check_region
from runctl_jupyter.sandbox.control.requests.request_model import check_operation, parameters_of
from runctl_jupyter.sandbox.control.requests.service_calls import Inventory, ServiceCall
from runctl_jupyter.sandbox.control.requests.services import SERVICES, unvouched
from runctl_jupyter.sandbox.control.requests.signature import (
    HttpRequest,
    SignatureError,
    SignedScope,
    check_signature,
    signed_scope,
)
from runctl_jupyter.sandbox.control.s3.objects import ObjectJournal
from runctl_jupyter.sandbox.control.settings import REGION

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


OwnService = Callable[[ServiceCall, Mapping[str, Any]], Mapping[str, Any] | None]
"""Answers a call with its parameters, by the names of the model, as JSON values; None leaves the answer to moto."""


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
    own
        Services, or operations of theirs, that are answered here and not by moto.
    used
        Remembers what was allowed and what was not.
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
        own: Mapping[str, OwnService],
        used: UsedPermissions,
    ) -> None:
        self._messages = AuthorizationMessages()
        self._own = {**own, "sts:DecodeAuthorizationMessage": self._messages.answer}
        self._services = services
        self._control = control
        self._account = account
        self._inventory = inventory
        self._objects = objects
        self._faults = faults
        self._caller_of = caller_of
        self.used = used
        self.last_request_at = time.monotonic()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if str(environ.get("PATH_INFO", "")).startswith(CONTROL_PREFIX):
            return _send(self._control(environ), start_response, ())
        self.last_request_at = time.monotonic()
        call, request = _read(environ)
        protocol = protocol_of(call.service, call.headers.get("content-type", ""))
        struck = self._strike(call, request, environ) if self._faults.active else ()
        try:
            before_request(struck, protocol, environ)
            _check_known(call)
            principal = self._authenticated(request, protocol)
            refusal = self._refusal(principal, protocol, denied_by_fault=refuses_permission(struck))
            with acting_as(refusal):
                demand(needed(call, self._inventory))
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

    def _authenticated(self, request: HttpRequest, protocol: str) -> Principal:
        try:
            scope: SignedScope = check_signature(request, self._account.key_of, datetime.now(UTC))
        except SignatureError as error:
            raise signature_error(error, protocol) from error
        check_region(scope, protocol)
        return self._account.principal_of(scope.access_key_id)

    def _refusal(self, principal: Principal, protocol: str, *, denied_by_fault: bool) -> Refusal:
        def refusal(permission: Permission) -> ServiceError | None:
            decision = Decision(allowed=False) if denied_by_fault else decide(principal.documents, permission)
            if not decision.allowed:
                self.used.note_denial(principal.arn, permission)
                return self._denied(principal, permission, decision, protocol)
            self.used.note(principal.arn, permission, decision)
            return None

        return refusal

    def _denied(self, principal: Principal, permission: Permission, decision: Decision, protocol: str) -> ServiceError:
        # EC2 encodes what it says about calls that change something; its Describe calls have no more to say.
        encoded = None
        if protocol == "ec2" and not permission.action.startswith("ec2:Describe"):
            encoded = self._messages.encode(principal.id, principal.arn, permission, decision)
        return denied(
            principal.arn, permission.action, permission.resource, protocol,
            explicit=decision.explicit_deny, encoded=encoded,
        )  # fmt: skip

    def _answer(self, environ: WSGIEnvironment, call: ServiceCall, principal: Principal, protocol: str) -> Response:
        if call.service != "s3":
            parameters = parameters_of(call)
            own = self._own.get(f"{call.service}:{call.action}") or self._own.get(call.service)
            answered = _answered(own, call, parameters, protocol) if own else None
            return answered or self._call_services(environ, call, protocol)
        bucket, key = bucket_and_key(call.path)
        self._check_region(call, bucket)
        if call.method in ("GET", "HEAD"):
            response = self._objects.turn(bucket, key).read(lambda: self._call_services(environ, call, protocol))
            if key and response[0] == 404:
                self._hide_missing_key(bucket, principal)
            return response
        query = parse_qs(call.query, keep_blank_values=True)
        conditional = bool({"if-match", "if-none-match"} & call.headers.keys())
        with self._objects.writing(bucket, key, conditional=conditional):
            if "uploadId" in query and not self._objects.upload_is_open(bucket, query["uploadId"][0]):
                raise ServiceError("NoSuchUpload", _NO_SUCH_UPLOAD, 404)
            response = self._call_services(environ, call, protocol)
            if response[0] < 300 and bucket:
                if key:
                    self._objects.record(bucket, key)
                elif "delete" in query:
                    self._objects.record_bucket(bucket)
        return response

    def _check_region(self, call: ServiceCall, bucket: str) -> None:
        """Refuse a request that was signed for another region than the bucket's (S3 API reference, "Error responses").

        There is one endpoint here, so it is always the signature that is wrong and never the address (301).
        """
        region = self._objects.region_of(bucket)
        if region is not None and call.region != region:
            said = f"The authorization header is malformed; the region '{call.region}' is wrong; expecting '{region}'"
            raise ServiceError(
                "AuthorizationHeaderMalformed", said, 400,
                elements={"Region": region}, headers=[("x-amz-bucket-region", region)],
            )  # fmt: skip

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
        except ServiceError:  # made by an action of ours, with a status that moto could not give
            raise
        except ServiceException as error:
            raise ServiceError(error.code, error.message) from error
        except NotImplementedError as error:
            log.warning("not implemented: %s %s: %s", call.service, call.action, error)
            raise _not_implemented(call, protocol, error) from error
        except Exception as error:  # moto answers calls it cannot do with whatever Python raises
            log.exception("moto failed: %s %s %s", call.service, call.action or call.method, call.path)
            raise ServiceError("InternalFailure", f"{call.service}:{call.action}: {error!r}", 501) from error
        status, headers, _ = answer
        return int(status.split()[0]), list(headers), body


def _check_known(call: ServiceCall) -> None:
    """Refuse what the sandbox does not vouch for, and what the service itself does not have."""
    if call.service not in SERVICES:
        words = f"The sandbox has no service {call.service}; it has {', '.join(SERVICES)}."
        raise ServiceError("NotImplemented", words, 501)
    check_operation(call)
    instead = unvouched(call.service, call.action)
    if instead is not None:
        code = "InvalidAction" if call.service == "ec2" else "UnknownOperationException"
        raise ServiceError(code, f"The sandbox does not implement {call.service}:{call.action}. {instead}", 501)


def _not_implemented(call: ServiceCall, protocol: str, error: NotImplementedError) -> ServiceError:
    """Say what is not here; `error` tells it closer when only a part of the operation is missing."""
    part = str(error)
    closer = f" ({part})" if part and "Moto" not in part and "not yet implemented" not in part else ""
    message = f"The sandbox does not implement {call.service}:{call.action or call.method}{closer}."
    code = {"s3": "NotImplemented", "json": "UnknownOperationException"}.get(protocol, "InvalidAction")
    return ServiceError(code, message, 501)


def _answered(service: OwnService, call: ServiceCall, parameters: Mapping[str, Any], protocol: str) -> Response | None:
    """Let a service of the sandbox's own answer; None when it has only looked, and moto shall."""
    try:
        result = service(call, parameters)
    except NotImplementedError as error:
        raise _not_implemented(call, protocol, error) from error
    if result is None:
        return None
    if protocol == "query":
        return render_result(call.action, result, f"https://{call.service}.amazonaws.com/doc/")
    body = json.dumps(result).encode()
    return 200, [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(body)))], body


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
        ServiceCall(service, method, path, query, headers, body, scope.region if scope else REGION),
        HttpRequest(method, path, query, headers, body),
    )


def _send(response: Response, start_response: StartResponse, struck: Sequence[Fault]) -> Iterable[bytes]:
    status, headers, body = response
    sent = answer_body(struck, body)
    start_response(f"{status} {HTTP_STATUS_CODES.get(status, '')}".strip(), headers)
    return sent
