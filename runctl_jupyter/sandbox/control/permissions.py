"""What a request needs to be allowed: actions, resources and condition keys, as the service would ask IAM.

Source: Service Authorization Reference (EC2, SSM, Secrets Manager, IAM, S3) for what is called by runctl; an action
that is not named here asks for itself on ``*``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote

from runctl_jupyter.sandbox.control.policies import Permission
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID, REGION

Tags = Mapping[str, str]
_EC2_ID_KINDS = {
    "i": "instance", "vol": "volume", "snap": "snapshot", "sir": "spot-instances-request", "subnet": "subnet",
    "sg": "security-group", "eni": "network-interface", "lt": "launch-template", "ami": "image", "vpc": "vpc",
}  # fmt: skip
_EC2_ON_RESOURCES = {
    "TerminateInstances", "StopInstances", "StartInstances", "RebootInstances", "ModifyInstanceAttribute",
    "ModifyInstanceMetadataOptions", "GetConsoleOutput", "CancelSpotInstanceRequests", "AttachVolume",
    "DetachVolume", "DeleteVolume", "DeleteSnapshot", "CreateTags", "DeleteTags", "DeleteLaunchTemplate",
    "AssociateIamInstanceProfile",
}  # fmt: skip


class Inventory(Protocol):
    """What the permissions of a request depend on beyond the request itself."""

    def tags_of(self, resource_id: str) -> Tags | None:
        """Tags of an EC2 resource; None when it does not exist."""

    def role_arns_of_profile(self, name: str) -> Sequence[str]:
        """ARNs of the roles in an instance profile; empty when there is none."""

    def default_subnet_ids(self) -> Sequence[str]:
        """Ids of the default subnets."""

    def secret_arn(self, secret_id: str) -> str | None:
        """ARN of a secret by name or ARN; None when it does not exist."""


@dataclass(frozen=True)
class ServiceCall:
    """A request as seen by the service's protocol."""

    service: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """Parameters of the query protocol (EC2, IAM, STS)."""
        text = self.body.decode("utf-8", "replace") or self.query
        return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}

    @property
    def action(self) -> str:
        """Name of the API action; for S3 see `s3_permissions`."""
        target = self.headers.get("x-amz-target")
        return target.rpartition(".")[2] if target else self.form.get("Action", "")


def needed(call: ServiceCall, inventory: Inventory) -> list[Permission]:
    """List everything that has to be allowed for `call`."""
    if call.service == "s3":
        return list(s3_permissions(call))
    if call.service == "ec2":
        return list(_ec2_permissions(call.action, call.form, inventory))
    if call.service == "ssm":
        return list(_ssm_permissions(call.action, _json(call.body), inventory))
    if call.service == "secretsmanager":
        return list(_secret_permissions(call.action, _json(call.body), inventory))
    if call.service == "iam":
        return [Permission(f"iam:{call.action}", _iam_resource(call.form))]
    if call.service == "sts":
        if call.action == "GetCallerIdentity":  # always allowed, even against a Deny (STS API reference)
            return []
        return [Permission(f"sts:{call.action}", call.form.get("RoleArn", "*"))]
    return [Permission(f"{call.service}:{call.action}")]


def _json(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _values(form: Mapping[str, str], prefix: str) -> list[str]:
    """Values of a list parameter: ``InstanceId.1``, ``InstanceId.2``."""
    return [value for name, value in form.items() if re.fullmatch(rf"{prefix}\.\d+", name)]


def ec2_arn(resource_id: str, kind: str | None = None) -> str:
    """ARN of an EC2 resource; images and snapshots have no owner in theirs."""
    kind = kind or _EC2_ID_KINDS.get(resource_id.partition("-")[0], "*")
    owner = "" if kind in ("image", "snapshot") else ACCOUNT_ID
    return f"arn:aws:ec2:{REGION}:{owner}:{kind}/{resource_id}"


def _tag_context(prefix: str, tags: Tags) -> dict[str, list[str]]:
    return {f"{prefix}/{key}".lower(): [value] for key, value in tags.items()}


def tag_specifications(form: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Tags asked for in ``TagSpecification.N``, by resource type."""
    kinds: dict[str, dict[str, str]] = {}
    for name, kind in form.items():
        if match := re.fullmatch(r"(TagSpecification\.\d+)\.ResourceType", name):
            tags = kinds.setdefault(kind, {})
            for key_name, key in form.items():
                if tag := re.fullmatch(re.escape(match[1]) + r"\.Tag\.(\d+)\.Key", key_name):
                    tags[key] = form.get(f"{match[1]}.Tag.{tag[1]}.Value", "")
    return kinds


def _ec2_permissions(action: str, form: Mapping[str, str], inventory: Inventory) -> Iterator[Permission]:
    name = f"ec2:{action}"
    if action == "RunInstances":
        yield from _run_instances(form, inventory)
    elif action in ("CreateVolume", "CreateSnapshot", "CreateLaunchTemplate", "CreateFleet"):
        kind = {"CreateVolume": "volume", "CreateSnapshot": "snapshot", "CreateFleet": "fleet"}.get(
            action, "launch-template"
        )
        yield from _created(action, tag_specifications(form), [kind])
    elif action in _EC2_ON_RESOURCES:
        ids = [value for value in form.values() if value.partition("-")[0] in _EC2_ID_KINDS and "-" in value]
        known = [(one, tags) for one in ids if (tags := inventory.tags_of(one)) is not None]
        for resource_id, tags in known:
            yield Permission(name, ec2_arn(resource_id), _tag_context("aws:ResourceTag", tags))
        # Only unknown ids: the service itself says that they do not exist.
    else:
        yield Permission(name)


def _created(action: str, tags_by_kind: Mapping[str, Tags], kinds: Sequence[str]) -> Iterator[Permission]:
    """Ask for the action on each new resource, and for CreateTags on each that is tagged."""
    for kind in kinds:
        context = _tag_context("aws:RequestTag", tags_by_kind.get(kind, {}))
        yield Permission(f"ec2:{action}", ec2_arn("*", kind), context)
    for kind, tags in tags_by_kind.items():
        context = {"ec2:createaction": [action], **_tag_context("aws:RequestTag", tags)}
        yield Permission("ec2:CreateTags", ec2_arn("*", kind), context)


def _run_instances(form: Mapping[str, str], inventory: Inventory) -> Iterator[Permission]:
    tags_by_kind = tag_specifications(form)
    # "spot-instances-request" is evaluated only when the request is tagged (EC2 User Guide, Spot and IAM).
    created = ["instance", "volume", *(["spot-instances-request"] if "spot-instances-request" in tags_by_kind else [])]
    yield from _created("RunInstances", tags_by_kind, created)
    subnets = [form["SubnetId"]] if "SubnetId" in form else list(inventory.default_subnet_ids())[:1]
    used = [
        *([(form["ImageId"], "image")] if "ImageId" in form else []),
        *((subnet, "subnet") for subnet in subnets),
        *((group, "security-group") for group in _values(form, "SecurityGroupId") or ["*"]),
        ("*", "network-interface"),
        *([(form["KeyName"], "key-pair")] if "KeyName" in form else []),
    ]
    for resource_id, kind in used:
        yield Permission("ec2:RunInstances", ec2_arn(resource_id, kind))
    profile = form.get("IamInstanceProfile.Name") or form.get("IamInstanceProfile.Arn", "").rpartition("/")[2]
    for role in inventory.role_arns_of_profile(profile) if profile else ():
        yield Permission("iam:PassRole", role, {"iam:passedtoservice": ["ec2.amazonaws.com"]})


def _ssm_permissions(action: str, body: Mapping[str, Any], inventory: Inventory) -> Iterator[Permission]:
    name = f"ssm:{action}"
    if action == "SendCommand":
        document = str(body.get("DocumentName", "")).rpartition("/")[2]
        owner = "" if document.startswith("AWS-") else ACCOUNT_ID
        yield Permission(name, f"arn:aws:ssm:{REGION}:{owner}:document/{document}")
        for target in body.get("Targets") or ():
            if str(target.get("Key", "")).startswith("tag:"):
                context = {f"ssm:resourcetag/{target['Key'].removeprefix('tag:')}".lower(): target.get("Values") or []}
                yield Permission(name, ec2_arn("*", "instance"), context)
        for instance_id in body.get("InstanceIds") or ():
            tags = inventory.tags_of(str(instance_id))
            if tags is not None:
                context = {**_tag_context("ssm:resourceTag", tags), **_tag_context("aws:ResourceTag", tags)}
                yield Permission(name, ec2_arn(str(instance_id)), context)
    elif action == "AddTagsToResource" or ("Parameter" in action and action != "DescribeParameters"):
        names = body.get("Names") or [body.get("Name") or body.get("Path") or body.get("ResourceId") or "*"]
        for parameter in names:
            yield Permission(name, _parameter_arn(str(parameter)))
    else:
        yield Permission(name)


def _parameter_arn(name: str) -> str:
    """ARN of a parameter, without the version or label that may follow its name."""
    if name.startswith("arn:"):
        return ":".join(name.split(":")[:6])
    return f"arn:aws:ssm:{REGION}:{ACCOUNT_ID}:parameter/{name.partition(':')[0].lstrip('/')}"


_SECRET_LISTS = ("ListSecrets", "BatchGetSecretValue", "GetRandomPassword")


def _secret_permissions(action: str, body: Mapping[str, Any], inventory: Inventory) -> Iterator[Permission]:
    if action in _SECRET_LISTS:
        yield Permission(f"secretsmanager:{action}")
        for secret_id in body.get("SecretIdList") or ():
            yield from _secret_permissions("GetSecretValue", {"SecretId": secret_id}, inventory)
        return
    secret_id = str(body.get("SecretId") or body.get("Name") or "*")
    # IAM sees a secret that exists with the six characters that end its ARN, whatever it is called by.
    arn = inventory.secret_arn(secret_id)
    if arn is None:
        prefix = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:"
        arn = secret_id if secret_id.startswith("arn:") else f"{prefix}{secret_id}"
    yield Permission(f"secretsmanager:{action}", arn)
    if body.get("KmsKeyId") not in (None, "alias/aws/secretsmanager"):
        yield Permission("kms:GenerateDataKey", str(body["KmsKeyId"]))


def _iam_resource(form: Mapping[str, str]) -> str:
    for parameter, kind in (("RoleName", "role"), ("InstanceProfileName", "instance-profile"), ("UserName", "user")):
        if parameter in form:
            return f"arn:aws:iam::{ACCOUNT_ID}:{kind}/{form[parameter]}"
    return "*"


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
    "uploads": "MultipartUploads", "location": "Location", "policy": "Policy", "acl": "Acl", "cors": "CORS",
    "versioning": "Versioning", "tagging": "Tagging", "encryption": "EncryptionConfiguration",
    "lifecycle": "LifecycleConfiguration", "publicAccessBlock": "PublicAccessBlock", "versions": "Versions",
    "notification": "Notification", "website": "Website", "logging": "Logging",
}  # fmt: skip


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
        yield Permission(f"s3:ListBucket{_S3_BUCKET_SUBRESOURCES[subresource]}", arn)
    elif subresource:
        verb = "Get" if method in ("GET", "HEAD") else "Put" if method == "PUT" else "Delete"
        yield Permission(f"s3:{verb}Bucket{_S3_BUCKET_SUBRESOURCES[subresource]}", arn)
    elif method in ("GET", "HEAD"):
        yield Permission("s3:ListBucket", arn, {"s3:prefix": [query["prefix"]]} if "prefix" in query else {})
    else:
        yield Permission("s3:CreateBucket" if method == "PUT" else "s3:DeleteBucket", arn)
