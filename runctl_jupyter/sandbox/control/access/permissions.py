"""What a request needs to be allowed: actions, resources and condition keys, as the service would ask IAM.

Source: Service Authorization Reference (SSM, Secrets Manager, IAM, STS) for what is called by runctl; EC2 and S3 have
modules of their own. An action that is not named asks for itself on ``*``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from runctl_jupyter.sandbox.control.access.ec2_permissions import ec2_arn, ec2_permissions, tag_context
from runctl_jupyter.sandbox.control.access.policies import Permission
from runctl_jupyter.sandbox.control.access.s3_permissions import s3_permissions
from runctl_jupyter.sandbox.control.access.scheduler_permissions import scheduler_permissions
from runctl_jupyter.sandbox.control.requests.service_calls import Inventory, ServiceCall
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID, REGION


def needed(call: ServiceCall, inventory: Inventory) -> list[Permission]:
    """List everything that has to be allowed for `call`."""
    if call.service == "s3":
        return list(s3_permissions(call))
    if call.service == "ec2":
        return list(ec2_permissions(call.action, call.form, inventory))
    if call.service == "ssm":
        return list(_ssm_permissions(call.action, _json(call.body), inventory))
    if call.service == "secretsmanager":
        return list(_secret_permissions(call.action, _json(call.body), inventory))
    if call.service == "scheduler":
        return list(scheduler_permissions(call))
    if call.service == "iam":
        return [_iam_permission(call.action, call.form)]
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
                context = {**tag_context("ssm:resourceTag", tags), **tag_context("aws:ResourceTag", tags)}
                yield Permission(name, ec2_arn(str(instance_id)), context)
    elif action == "StartSession":
        document = str(body.get("DocumentName") or "SSM-SessionManagerRunShell").rpartition("/")[2]
        owner = "" if document.startswith("AWS-") else ACCOUNT_ID
        yield Permission(name, f"arn:aws:ssm:{REGION}:{owner}:document/{document}")
        tags = inventory.tags_of(str(body.get("Target"))) or {}
        context = {**tag_context("ssm:resourceTag", tags), **tag_context("aws:ResourceTag", tags)}
        yield Permission(name, ec2_arn(str(body.get("Target"))), context)
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


def _iam_permission(action: str, form: Mapping[str, str]) -> Permission:
    if action == "CreateServiceLinkedRole":
        service = form.get("AWSServiceName", "")
        arn = f"arn:aws:iam::{ACCOUNT_ID}:role/aws-service-role/{service}/*"
        return Permission(f"iam:{action}", arn, {"iam:awsservicename": [service]})
    return Permission(f"iam:{action}", _iam_resource(form))


def _iam_resource(form: Mapping[str, str]) -> str:
    for parameter, kind in (("RoleName", "role"), ("InstanceProfileName", "instance-profile"), ("UserName", "user")):
        if parameter in form:
            return f"arn:aws:iam::{ACCOUNT_ID}:{kind}/{form[parameter]}"
    return "*"
