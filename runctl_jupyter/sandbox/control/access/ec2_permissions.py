"""What a request to EC2 needs to be allowed (Service Authorization Reference, Amazon EC2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runctl_jupyter.sandbox.control.access.policies import Permission
from runctl_jupyter.sandbox.control.requests.service_calls import Inventory, Tags
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
    "AssociateIamInstanceProfile", "DeleteFleets", "DeregisterImage", "CreateLaunchTemplateVersion",
    "ModifyLaunchTemplate",
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
        templates = _templates(form, "LaunchTemplate.", inventory)
        yield from _use_templates("RunInstances", templates, inventory)
        if not templates:  # with one, what is launched is known when it has been read (`launching`)
            yield from launch_permissions(_wish_of_form(form), inventory)
    elif action == "CreateFleet":
        # What the fleet launches is asked for pool by pool (`fleets`), and refused in the answer.
        yield from _created(action, tag_specifications(form), ["fleet"])
        prefixes = {name.rpartition(".")[0] for name in form if re.search(r"\.LaunchTemplateSpecification\.", name)}
        found = [one for prefix in sorted(prefixes) for one in _templates(form, f"{prefix}.", inventory)]
        yield from _use_templates("CreateFleet", found, inventory)
    elif action in ("CreateVolume", "CreateSnapshot", "CreateLaunchTemplate"):
        kind = {"CreateVolume": "volume", "CreateSnapshot": "snapshot"}.get(action, "launch-template")
        yield from _created(action, tag_specifications(form), [kind])
    elif action in _EC2_ON_RESOURCES:
        ids = [value for value in form.values() if value.partition("-")[0] in _EC2_ID_KINDS and "-" in value]
        ids += _templates(form, "", inventory)
        known = [(one, tags) for one in dict.fromkeys(ids) if (tags := inventory.tags_of(one)) is not None]
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


@dataclass(frozen=True)
class LaunchWish:
    """What the permissions of a launch depend on."""

    tags_by_kind: Mapping[str, Tags]
    image: str | None
    subnet: str | None
    groups: Sequence[str]
    key_name: str | None
    profile: str | None
    """Name of the instance profile."""


def _wish_of_form(form: Mapping[str, str]) -> LaunchWish:
    return LaunchWish(
        tag_specifications(form), form.get("ImageId"),
        form.get("SubnetId") or form.get("NetworkInterface.1.SubnetId"),
        _values(form, "SecurityGroupId") or _values(form, r"NetworkInterface\.1\.SecurityGroupId"),
        form.get("KeyName"),
        form.get("IamInstanceProfile.Name") or form.get("IamInstanceProfile.Arn", "").rpartition("/")[2] or None,
    )  # fmt: skip


def wish_of_request(request: Mapping[str, Any]) -> LaunchWish:
    """Read a request of RunInstances that has been parsed."""
    profile = request.get("IamInstanceProfile") or {}
    interface = (request.get("NetworkInterfaces") or [{}])[0]
    return LaunchWish(
        {one["ResourceType"]: {tag["Key"]: tag.get("Value", "") for tag in one.get("Tags") or []}
         for one in request.get("TagSpecifications") or []},
        request.get("ImageId"),
        request.get("SubnetId") or interface.get("SubnetId"),
        request.get("SecurityGroupIds") or interface.get("Groups") or [],
        request.get("KeyName"),
        profile.get("Name") or str(profile.get("Arn", "")).rpartition("/")[2] or None,
    )  # fmt: skip


def launch_permissions(wish: LaunchWish, inventory: Inventory) -> Iterator[Permission]:
    """List everything that has to be allowed for a launch by RunInstances, a launch template apart."""
    # "spot-instances-request" is evaluated only when the request is tagged (EC2 User Guide, Spot and IAM).
    tagged_request = ["spot-instances-request"] if "spot-instances-request" in wish.tags_by_kind else []
    yield from _created("RunInstances", wish.tags_by_kind, ["instance", "volume", *tagged_request])
    used = [
        *([(wish.image, "image")] if wish.image else []),
        *((subnet, "subnet") for subnet in ([wish.subnet] if wish.subnet else inventory.default_subnet_ids()[:1])),
        *((group, "security-group") for group in wish.groups or ["*"]),
        ("*", "network-interface"),
        *([(wish.key_name, "key-pair")] if wish.key_name else []),
    ]
    for resource_id, kind in used:
        yield Permission("ec2:RunInstances", ec2_arn(resource_id, kind))
    for role in inventory.role_arns_of_profile(wish.profile) if wish.profile else ():
        yield Permission("iam:PassRole", role, {"iam:passedtoservice": ["ec2.amazonaws.com"]})


def _templates(form: Mapping[str, str], prefix: str, inventory: Inventory) -> list[str]:
    """Ids of the launch templates that ``{prefix}LaunchTemplateId`` or ``…Name`` can mean."""
    given, name = form.get(f"{prefix}LaunchTemplateId"), form.get(f"{prefix}LaunchTemplateName")
    return [given] if given else list(inventory.launch_template_ids(name)) if name else []


def _use_templates(action: str, templates: Iterable[str], inventory: Inventory) -> Iterator[Permission]:
    for template in templates:
        context = tag_context("aws:ResourceTag", inventory.tags_of(template) or {})
        yield Permission(f"ec2:{action}", ec2_arn(template), context)
