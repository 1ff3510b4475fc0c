"""What a request to EC2 needs to be allowed (Service Authorization Reference, Amazon EC2)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from runctl_jupyter.sandbox.control.policies import Permission
from runctl_jupyter.sandbox.control.service_calls import Inventory, Tags
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID, REGION

_EC2_ID_KINDS = {
    "i": "instance", "vol": "volume", "snap": "snapshot", "sir": "spot-instances-request", "subnet": "subnet",
    "sg": "security-group", "eni": "network-interface", "lt": "launch-template", "ami": "image", "vpc": "vpc",
    "fleet": "fleet",
}  # fmt: skip
_EC2_ON_RESOURCES = {
    "TerminateInstances", "StopInstances", "StartInstances", "RebootInstances", "ModifyInstanceAttribute",
    "ModifyInstanceMetadataOptions", "GetConsoleOutput", "CancelSpotInstanceRequests", "AttachVolume",
    "DetachVolume", "DeleteVolume", "DeleteSnapshot", "CreateTags", "DeleteTags", "DeleteLaunchTemplate",
    "AssociateIamInstanceProfile", "DeleteFleets", "DeregisterImage",
}  # fmt: skip


def _values(form: Mapping[str, str], prefix: str) -> list[str]:
    """Values of a list parameter: ``InstanceId.1``, ``InstanceId.2``."""
    return [value for name, value in form.items() if re.fullmatch(rf"{prefix}\.\d+", name)]


def ec2_arn(resource_id: str, kind: str | None = None) -> str:
    """ARN of an EC2 resource; images and snapshots have no owner in theirs."""
    kind = kind or _EC2_ID_KINDS.get(resource_id.partition("-")[0], "*")
    owner = "" if kind in ("image", "snapshot") else ACCOUNT_ID
    return f"arn:aws:ec2:{REGION}:{owner}:{kind}/{resource_id}"


def tag_context(prefix: str, tags: Tags) -> dict[str, list[str]]:
    """Give tags as condition keys ``PREFIX/KEY``."""
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


def ec2_permissions(action: str, form: Mapping[str, str], inventory: Inventory) -> Iterator[Permission]:
    """List everything that has to be allowed for an EC2 action."""
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
        keys = [value for key, value in form.items() if re.fullmatch(r"Tag\.\d+\.Key", key)]
        asked = {"aws:tagkeys": keys} if keys else {}
        for resource_id, tags in known:
            yield Permission(name, ec2_arn(resource_id), {**tag_context("aws:ResourceTag", tags), **asked})
        # Only unknown ids: the service itself says that they do not exist.
    else:
        yield Permission(name)


def _created(action: str, tags_by_kind: Mapping[str, Tags], kinds: Sequence[str]) -> Iterator[Permission]:
    """Ask for the action on each new resource, and for CreateTags on each that is tagged."""
    for kind in kinds:
        context = tag_context("aws:RequestTag", tags_by_kind.get(kind, {}))
        yield Permission(f"ec2:{action}", ec2_arn("*", kind), context)
    for kind, tags in tags_by_kind.items():
        context = {"ec2:createaction": [action], **tag_context("aws:RequestTag", tags)}
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
