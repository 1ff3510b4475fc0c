"""What a request to S3 needs to be allowed (Service Authorization Reference, Amazon S3)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs, unquote

from runctl_jupyter.sandbox.control.access.policies import Permission
from runctl_jupyter.sandbox.control.requests.service_calls import ServiceCall

_S3_OBJECT_ACTIONS = {
    # (method, sub-resource): action. The first sub-resource that the query names decides.
    ("GET", "tagging"): "GetObjectTagging", ("PUT", "tagging"): "PutObjectTagging",
    ("DELETE", "tagging"): "DeleteObjectTagging", ("GET", "acl"): "GetObjectAcl", ("PUT", "acl"): "PutObjectAcl",
    ("GET", "uploadId"): "ListMultipartUploadParts", ("DELETE", "uploadId"): "AbortMultipartUpload",
    ("GET", "versionId"): "GetObjectVersion", ("DELETE", "versionId"): "DeleteObjectVersion",
    ("GET", "attributes"): "GetObjectAttributes",
}  # fmt: skip
_S3_OBJECT_DEFAULTS = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "POST": "PutObject",
                       "DELETE": "DeleteObject"}  # fmt: skip
_S3_BUCKET_SUBRESOURCES = {
    "uploads": "BucketMultipartUploads", "location": "BucketLocation", "policy": "BucketPolicy", "acl": "BucketAcl",
    "cors": "BucketCORS", "versioning": "BucketVersioning", "tagging": "BucketTagging",
    "encryption": "EncryptionConfiguration", "lifecycle": "LifecycleConfiguration",
    "publicAccessBlock": "BucketPublicAccessBlock", "versions": "BucketVersions",
    "notification": "BucketNotification", "website": "BucketWebsite", "logging": "BucketLogging",
}  # fmt: skip
ACTIONS = frozenset([
    *_S3_OBJECT_ACTIONS.values(), *_S3_OBJECT_DEFAULTS.values(), "ListAllMyBuckets", "ListBucket", "CreateBucket",
    "DeleteBucket", "DeleteBucketPolicy", "DeleteBucketWebsite", "RestoreObject",
    *(f"{verb}{name}" for verb in ("Get", "Put", "List") for name in _S3_BUCKET_SUBRESOURCES.values()),
])  # fmt: skip
"""Names of S3's permissions, as far as anybody here uses them."""


def bucket_and_key(path: str) -> tuple[str, str]:
    """Split a path-style S3 path into bucket and key, decoded."""
    bucket, _, key = path.removeprefix("/").partition("/")
    return unquote(bucket), unquote(key)


def s3_permissions(call: ServiceCall) -> Iterator[Permission]:
    """List the permissions of an S3 request (Service Authorization Reference, Amazon S3)."""
    bucket, key = bucket_and_key(call.path)
    query = {name: values[0] for name, values in parse_qs(call.query, keep_blank_values=True).items()}
    if not bucket:
        yield Permission("s3:ListAllMyBuckets")
        return
    arn = f"arn:aws:s3:::{bucket}"
    if key:
        by_subresource = (_S3_OBJECT_ACTIONS.get((call.method, name)) for name in query)
        action = next(filter(None, by_subresource), _S3_OBJECT_DEFAULTS.get(call.method, "GetObject"))
        yield Permission(f"s3:{action}", f"{arn}/{key}")
        if source := call.headers.get("x-amz-copy-source"):
            source_bucket, source_key = bucket_and_key(source.partition("?")[0])
            yield Permission("s3:GetObject", f"arn:aws:s3:::{source_bucket}/{source_key}")
        if call.headers.get("x-amz-tagging"):
            yield Permission("s3:PutObjectTagging", f"{arn}/{key}")
    elif call.method == "POST" and "delete" in query:
        for name in re.findall(rb"<Key>(.*?)</Key>", call.body, re.DOTALL):
            yield Permission("s3:DeleteObject", f"{arn}/{name.decode('utf-8', 'replace')}")
    else:
        yield from _bucket_permissions(call.method, arn, query)


def _bucket_permissions(method: str, arn: str, query: Mapping[str, str]) -> Iterator[Permission]:
    subresource = next((name for name in query if name in _S3_BUCKET_SUBRESOURCES), None)
    if subresource in ("uploads", "versions"):
        yield Permission(f"s3:List{_S3_BUCKET_SUBRESOURCES[subresource]}", arn)
    elif subresource:
        name = _S3_BUCKET_SUBRESOURCES[subresource]
        # To delete a configuration takes the permission to put one, except of policy and website.
        deletes = method == "DELETE" and name in ("BucketPolicy", "BucketWebsite")
        verb = "Get" if method in ("GET", "HEAD") else "Delete" if deletes else "Put"
        yield Permission(f"s3:{verb}{name}", arn)
    elif method in ("GET", "HEAD"):
        yield Permission("s3:ListBucket", arn, {"s3:prefix": [query["prefix"]]} if "prefix" in query else {})
    else:
        yield Permission("s3:CreateBucket" if method == "PUT" else "s3:DeleteBucket", arn)
