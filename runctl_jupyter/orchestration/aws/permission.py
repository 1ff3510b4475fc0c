"""Refusals for lack of permission, as botocore brings them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.denials import Denial, denial_in
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


def denied(error: ClientError, action: str, code: str) -> PermissionDenied:
    """Return our error for a refusal; `action` is what we were about to do."""
    said: Mapping[str, Any] = dict(error.response.get("Error", {}))
    found = denial_in(str(said.get("Message", "")), _action(error), said.get(DECODED))
    return (found or Denial(error.operation_name, "*", "")).error(action, code)


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
