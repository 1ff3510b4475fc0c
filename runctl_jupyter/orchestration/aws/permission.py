"""What a refusal for lack of permission says: which action on what, why, and the statement that would allow it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from runctl_jupyter.orchestration.errors import PermissionDenied

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

DECODED = "DecodedAuthorization"
"""Key under ``Error`` where a session leaves what STS makes of an encoded message; see `decoding`."""

_S3_ACTIONS = {
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteObjects": "DeleteObject",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListBuckets": "ListAllMyBuckets",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListParts": "ListMultipartUploadParts",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
}
"""Operations of S3 whose permission has another name (Service Authorization Reference, Amazon S3)."""


class Denial(NamedTuple):
    """What was refused."""

    action: str
    """E.g. ``ec2:RunInstances``."""
    resource: str
    """ARN without an account number, which fits into a policy; ``*`` when AWS names none."""
    forbidden_by: str
    """Empty when no policy allows it; else what forbids it, which no further statement changes."""

    @property
    def statement(self) -> str:
        """The statement of a policy that allows it, as JSON."""
        return json.dumps({"Effect": "Allow", "Action": self.action, "Resource": self.resource})


def denial_of(error: ClientError) -> Denial:
    """Read what AWS says about a refusal, in words or decoded."""
    said: Mapping[str, Any] = dict(error.response.get("Error", {}))
    message = str(said.get("Message", ""))
    decoded: Mapping[str, Any] = said.get(DECODED, {})
    named = re.search(r"not authorized to perform: ([\w-]+:\w+)", message)
    on = re.search(r"on resource: \"?(arn:[^\s\"]+)", message)
    context = decoded.get("context", {})
    action = context.get("action") or (named[1] if named else _action(error))
    resource = context.get("resource") or (on[1] if on else "*")
    return Denial(action, _without_account(resource), _forbidden_by(message, decoded))


def denied(error: ClientError, action: str, code: str) -> PermissionDenied:
    """Return our error for a refusal; `action` is what we were about to do."""
    denial = denial_of(error)
    on = "" if denial.resource == "*" else f" on {denial.resource}"
    what = f"You may not {action}: AWS denies {denial.action}{on} [{code}]."
    if denial.forbidden_by:
        return PermissionDenied(what, f"{denial.forbidden_by} forbids it: only who manages that can change it.")
    return PermissionDenied(what, f"Let an administrator add {denial.statement} (all of it: runctl setup --print).")


def role_for_spot_missing() -> PermissionDenied:
    """Return the error for the first spot machine of an account, by somebody who may not make the role it takes."""
    return PermissionDenied(
        "The account has no service-linked role for spot machines yet, and you may not make it.",
        "Let an administrator run once: aws iam create-service-linked-role --aws-service-name spot.amazonaws.com",
    )


def _action(error: ClientError) -> str:
    operation = error.operation_name
    code = str(error.response.get("Error", {}).get("Code", ""))
    if operation in _S3_ACTIONS or (code == "AccessDenied" and re.search(r"Object|Bucket", operation)):
        return f"s3:{_S3_ACTIONS.get(operation, operation)}"
    return f"ec2:{operation}" if code == "UnauthorizedOperation" else operation


def _without_account(arn: str) -> str:
    """Return an ARN whose account is ``*``: it may end up in a saved notebook, and means the same in a policy."""
    return re.sub(r"(?<=:)\d{12}(?=:)", "*", arn)


_POLICIES = {
    "service control policy": "A service control policy of your organization",
    "resource control policy": "A resource control policy of your organization",
    "permissions boundary": "Your permissions boundary",
    "session policy": "The policy of your session",
    "VPC endpoint policy": "The policy of the VPC endpoint",
    "resource-based policy": "The policy of the resource",
}


def _forbidden_by(message: str, decoded: Mapping[str, Any]) -> str:
    """Return what else than a missing statement is in the way.

    IAM User Guide, "Troubleshoot access denied error messages".
    """
    for words, who in _POLICIES.items():
        # "because no resource-based policy allows" is said when a statement of ours would do as well.
        if words in message and (words != "resource-based policy" or "explicit deny" in message):
            return who
    denied_by_statement = "with an explicit deny" in message or decoded.get("explicitDeny") is True
    return "A statement with an explicit deny" if denied_by_statement else ""
