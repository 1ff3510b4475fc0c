"""Errors as each AWS protocol writes them, so that botocore raises the `ClientError` it would raise on AWS."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from runctl_jupyter.sandbox.control.requests.services import SERVICES
from runctl_jupyter.sandbox.control.requests.signature import SignatureError

Response = tuple[int, list[tuple[str, str]], bytes]


@dataclass(eq=False)
class ServiceError(Exception):
    """An AWS error: `code` as in botocore's ``Error.Code``, HTTP `status`."""

    code: str
    message: str
    status: int = 400
    elements: Mapping[str, str] = field(default_factory=dict)
    """What else the error's body says (S3)."""
    headers: Sequence[tuple[str, str]] = ()


def protocol_of(service: str, content_type: str = "") -> str:
    """Which of the four wire formats a service answers in; one that is unknown is judged by what it was sent."""
    if service in ("s3", "ec2"):
        return service
    unknown_query = service not in SERVICES and "form-urlencoded" in content_type
    return "query" if service in ("iam", "sts") or unknown_query else "json"


def render(error: ServiceError, protocol: str) -> Response:
    """Write an error in the format of a protocol."""
    request_id = str(uuid.uuid4())
    code, message = escape(error.code), escape(error.message)
    more = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in error.elements.items())
    if protocol == "json":
        body = json.dumps({"__type": error.code, "message": error.message})
        headers = [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-ErrorType", error.code)]
    else:
        headers = [("Content-Type", "text/xml" if protocol != "s3" else "application/xml")]
        body = {
            "s3": f"<Error><Code>{code}</Code><Message>{message}</Message>{more}<RequestId>{request_id}</RequestId>"
            "</Error>",
            "ec2": f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
            f"<RequestID>{request_id}</RequestID></Response>",
            "query": f"<ErrorResponse><Error><Type>{'Sender' if error.status < 500 else 'Receiver'}</Type>"
            f"<Code>{code}</Code><Message>{message}</Message></Error><RequestId>{request_id}</RequestId>"
            "</ErrorResponse>",
        }[protocol]
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'
    encoded = body.encode()
    return (
        error.status,
        [*headers, *error.headers, ("x-amzn-RequestId", request_id), ("Content-Length", str(len(encoded)))],
        encoded,
    )


def signature_error(error: SignatureError, protocol: str) -> ServiceError:
    """Say why a signature was refused in the words of the service's protocol."""
    reason = error.reason
    if protocol == "ec2":
        if reason in (SignatureError.EXPIRED, SignatureError.SKEWED):
            return ServiceError("RequestExpired", "Request has expired.", 400)
        if reason == SignatureError.MISSING:
            return ServiceError("MissingParameter", "The request must contain the parameter AWSAccessKeyId", 400)
        return ServiceError("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    return _SIGNATURE_ERRORS[protocol][reason]


_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method."
)
_INVALID_TOKEN = "The security token included in the request is invalid."  # noqa: S105 - an error text
_SIGNATURE_ERRORS = {
    "s3": {
        SignatureError.MISSING: ServiceError("AccessDenied", "Access Denied", 403),
        SignatureError.UNKNOWN_KEY: ServiceError(
            "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", 403
        ),
        SignatureError.BAD_TOKEN: ServiceError(
            "InvalidToken", "The provided token is malformed or otherwise invalid.", 400
        ),
        SignatureError.EXPIRED: ServiceError("AccessDenied", "Request has expired", 403),
        SignatureError.SKEWED: ServiceError(
            "RequestTimeTooSkewed", "The difference between the request time and the server's time is too large.", 403
        ),
        SignatureError.MISMATCH: ServiceError("SignatureDoesNotMatch", _MISMATCH, 403),
    },
    "json": {
        SignatureError.MISSING: ServiceError("MissingAuthenticationTokenException", "Missing Authentication Token"),
        SignatureError.UNKNOWN_KEY: ServiceError("UnrecognizedClientException", _INVALID_TOKEN),
        SignatureError.BAD_TOKEN: ServiceError("UnrecognizedClientException", _INVALID_TOKEN),
        SignatureError.EXPIRED: ServiceError("InvalidSignatureException", "Signature expired"),
        SignatureError.SKEWED: ServiceError("InvalidSignatureException", "Signature expired"),
        SignatureError.MISMATCH: ServiceError("InvalidSignatureException", _MISMATCH),
    },
    "query": {
        SignatureError.MISSING: ServiceError(
            "MissingAuthenticationToken", "Request is missing Authentication Token", 403
        ),
        SignatureError.UNKNOWN_KEY: ServiceError("InvalidClientTokenId", _INVALID_TOKEN, 403),
        SignatureError.BAD_TOKEN: ServiceError("InvalidClientTokenId", _INVALID_TOKEN, 403),
        SignatureError.EXPIRED: ServiceError("RequestExpired", "Request has expired", 400),
        SignatureError.SKEWED: ServiceError("SignatureDoesNotMatch", "Signature expired", 403),
        SignatureError.MISMATCH: ServiceError("SignatureDoesNotMatch", _MISMATCH, 403),
    },
}  # fmt: skip


def denied(
    principal_arn: str, action: str, resource: str, protocol: str, *, explicit: bool = False, encoded: str | None = None
) -> ServiceError:
    """Say that no policy allows an action, or that one denies it.

    Parameters
    ----------
    encoded
        What ``sts:DecodeAuthorizationMessage`` decodes; only EC2 gives it.
    """
    on = "" if resource == "*" else f" on resource: {resource}"
    who = f"User: {principal_arn} is not authorized to perform: {action}{on}"
    why = (
        "with an explicit deny in an identity-based policy"
        if explicit
        else f"because no identity-based policy allows the {action} action"
    )
    message = f"{who} {why}"
    if protocol == "ec2":
        blob = "" if encoded is None else f". Encoded authorization failure message: {encoded}"
        return ServiceError(
            "UnauthorizedOperation", f"You are not authorized to perform this operation. {message}{blob}", 403
        )
    if protocol == "json":
        return ServiceError("AccessDeniedException", message, 400)
    return ServiceError("AccessDenied", message, 403)


def render_result(operation: str, result: Mapping[str, str], namespace: str) -> Response:
    """Write the result of an operation of a query service whose members are texts."""
    members = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in result.items())
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{operation}Response xmlns="{namespace}">'
        f"<{operation}Result>{members}</{operation}Result><ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId>"
        f"</ResponseMetadata></{operation}Response>"
    ).encode()
    return 200, [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))], body
