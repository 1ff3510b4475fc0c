"""What RunInstances refuses. moto accepts nearly everything; these are EC2's rules for what runctl sends.

Sources: EC2 API reference (RunInstances, EbsBlockDevice, InstanceMetadataOptionsRequest, SpotMarketOptions), EC2
User Guide ("Amazon EBS volume types", "Tag restrictions"), botocore's service model.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from moto.ec2.exceptions import EC2ClientError

Request = Mapping[str, Any]

USER_DATA_BYTES = 16 * 1024
CLIENT_TOKEN_LENGTH = 64
TAGS_PER_RESOURCE = 50
LEAST_SPOT_PRICE = 0.001
"""Dollars per hour (EC2 API reference, SpotMarketOptions)."""
TAG_RESOURCE_TYPES = ("instance", "volume", "network-interface", "spot-instances-request")


def refuse(code: str, message: str) -> EC2ClientError:
    """Make the error of a refused request (HTTP 400)."""
    return EC2ClientError(code, message)


def invalid_value(message: str) -> EC2ClientError:
    """Make an ``InvalidParameterValue``."""
    return refuse("InvalidParameterValue", message)


def token_mismatch() -> EC2ClientError:
    """Make the error of a client token that comes again with other parameters."""
    return refuse(
        "IdempotentParameterMismatch",
        "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
    )


def request_digest(request: Request) -> str:
    """Digest of what a client token stands for."""
    relevant = {name: value for name, value in request.items() if name not in ("ClientToken", "DryRun", "Action")}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True, default=str).encode()).hexdigest()


def check_client_token(request: Request) -> None:
    """Refuse a token that is longer than 64 characters, or has others than ASCII (EC2 API reference)."""
    token = str(request.get("ClientToken") or "")
    if len(token) > CLIENT_TOKEN_LENGTH or not token.isascii():
        raise invalid_value(
            f"Value ({token}) for parameter clientToken is invalid. It must be at most {CLIENT_TOKEN_LENGTH} ASCII "
            "characters."
        )


def check_counts(request: Request) -> None:
    """Refuse impossible counts."""
    least, most = int(request["MinCount"]), int(request["MaxCount"])
    if least < 1:
        raise invalid_value(f"Value ({least}) for parameter minCount is invalid. Expected a positive integer.")
    if least > most:
        raise refuse("InvalidParameterCombination", "The parameter MinCount is greater than MaxCount")


def check_combinations(request: Request) -> None:
    """Refuse parameters that exclude each other."""
    if request.get("NetworkInterfaces"):
        for name, text in (
            ("SubnetId", "an instance-level subnet ID"),
            ("SecurityGroupIds", "instance-level security groups"),
            ("SecurityGroups", "instance-level security groups"),
            ("PrivateIpAddress", "an instance-level private IP address"),
        ):
            if request.get(name):
                raise refuse(
                    "InvalidParameterCombination",
                    f"Network interfaces and {text} may not be specified on the same request",
                )
        interfaces = request["NetworkInterfaces"]
        if len(interfaces) > 1 and any(one.get("AssociatePublicIpAddress") for one in interfaces):
            raise refuse(
                "InvalidParameterCombination",
                "The associatePublicIPAddress parameter cannot be specified when launching with multiple network "
                "interfaces.",
            )
    profile = request.get("IamInstanceProfile") or {}
    if "Name" in profile and "Arn" in profile:
        raise refuse(
            "InvalidParameterCombination",
            "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'",
        )


def check_user_data(request: Request) -> bytes | None:
    """Decode the user data; refuses what is not base64 or too long."""
    encoded = request.get("UserData")
    if not encoded:
        return None
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise refuse("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data") from error
    if len(decoded) > USER_DATA_BYTES:
        raise invalid_value("User data is limited to 16384 bytes")
    return decoded


def check_metadata_options(request: Request) -> None:
    """Refuse a hop limit outside 1-64 and tag keys that IMDS could not serve."""
    options = request.get("MetadataOptions") or {}
    hops = options.get("HttpPutResponseHopLimit")
    if hops is not None and not 1 <= int(hops) <= 64:
        raise invalid_value(
            f"Value ({hops}) for parameter HttpPutResponseHopLimit is invalid. The value must be between 1 and 64."
        )
    if options.get("InstanceMetadataTags") == "enabled":
        for key in tags_of(request).get("instance", {}):
            if not re.fullmatch(r"[0-9A-Za-z\-_+=,.@:]+", key) or key in (".", "..", "_index"):
                raise invalid_value(f"'{key}' is not a valid tag key for instance metadata tags.")


def tags_of(request: Request) -> dict[str, dict[str, str]]:
    """Tags by resource type."""
    return {
        specification["ResourceType"]: {tag["Key"]: tag.get("Value", "") for tag in specification.get("Tags", [])}
        for specification in request.get("TagSpecifications") or []
    }


def check_tags(request: Request, *, spot: bool, kinds: Sequence[str] = TAG_RESOURCE_TYPES) -> None:
    """Refuse tag specifications that EC2 refuses; `kinds` are the resource types that can be tagged here."""
    seen: set[str] = set()
    for specification in request.get("TagSpecifications") or []:
        kind = specification.get("ResourceType", "")
        if kind not in kinds:
            raise invalid_value(f"'{kind}' is not a valid taggable resource type for this operation.")
        if kind in seen:
            raise invalid_value(f"Tag specification resource type '{kind}' is specified more than once.")
        if kind == "spot-instances-request" and not spot:
            raise invalid_value("'spot-instances-request' is not a valid taggable resource type for this operation.")
        seen.add(kind)
        check_tag_list(specification.get("Tags") or [])


def check_tag_key(key: str) -> None:
    """Refuse keys that are AWS's own or too long."""
    if key.lower().startswith("aws:"):
        raise invalid_value("Tag keys starting with 'aws:' are reserved for internal use")
    if not 1 <= len(key) <= 128:
        raise invalid_value(f"Tag key exceeds the maximum length of 128 characters: '{key[:32]}...'")


def check_tag_list(tags: Sequence[Mapping[str, str]]) -> None:
    """Refuse tags that no resource can have."""
    keys = [str(tag.get("Key", "")) for tag in tags]
    if not keys:
        raise invalid_value("Tag specification must have at least one tag")
    for key in keys:
        check_tag_key(key)
        if keys.count(key) > 1:
            raise invalid_value(f"Duplicate tag key '{key}' specified.")
    for tag in tags:
        if len(tag.get("Value") or "") > 256:
            raise invalid_value(f"Tag value exceeds the maximum length of 256 characters for key '{tag['Key']}'")
    if len(keys) > TAGS_PER_RESOURCE:
        raise refuse("TagLimitExceeded", f"The maximum number of Tags for a resource is {TAGS_PER_RESOURCE}.")


def check_max_price(price: str | None) -> None:
    """Refuse what is no price; EC2 wants more than a tenth of a cent per hour."""
    if price is not None and not (re.fullmatch(r"\d*\.?\d+", str(price)) and float(price) >= LEAST_SPOT_PRICE):
        raise invalid_value(f"Invalid value '{price}' for maxPrice. It must be at least {LEAST_SPOT_PRICE}.")


def check_spot(request: Request) -> Mapping[str, Any] | None:
    """Give the spot options of a spot request, or None for on-demand; refuses what cannot be."""
    market = request.get("InstanceMarketOptions") or {}
    if not market or market.get("MarketType") == "on-demand":
        return None
    if market.get("MarketType") != "spot":
        raise refuse(
            "UnsupportedOperation", f"The market type '{market.get('MarketType')}' is not supported by the sandbox."
        )
    options: Mapping[str, Any] = market.get("SpotOptions") or {}
    kind, behaviour = options.get("SpotInstanceType", "one-time"), options.get("InstanceInterruptionBehavior")
    if kind == "persistent" and behaviour in (None, "terminate"):
        raise refuse(
            "InvalidParameterCombination",
            "Instance interruption behavior 'terminate' is not supported for persistent Spot requests by RunInstances",
        )
    if behaviour == "hibernate":
        raise refuse("UnsupportedOperation", "Hibernation is not supported by the sandbox.")
    if kind != "persistent" and behaviour == "stop":
        raise refuse(
            "InvalidParameterCombination",
            f"Instance interruption behavior '{behaviour}' is not supported for one-time Spot requests",
        )
    if options.get("BlockDurationMinutes") is not None:
        raise refuse("UnsupportedOperation", "Spot Instances with a defined duration are no longer available.")
    if request.get("DisableApiTermination") is True:
        raise refuse("UnsupportedOperation", "Termination protection is not supported for Spot Instances.")
    check_max_price(options.get("MaxPrice"))
    if options.get("ValidUntil") is not None and kind != "persistent":
        raise refuse("InvalidParameterCombination", "ValidUntil is supported only for persistent Spot requests")
    return options


_DEVICE_NAME = re.compile(r"(/dev/)?(sd[a-z]\d*|xvd[a-z]{1,2}\d*)")
_VOLUME_GIB = {"gp3": (1, 65_536), "gp2": (1, 16_384), "io1": (4, 16_384), "io2": (4, 65_536), "st1": (125, 16_384),
               "sc1": (125, 16_384), "standard": (1, 1_024)}  # fmt: skip
_VOLUME_IOPS = {"gp3": (3_000, 80_000), "io1": (100, 64_000), "io2": (100, 256_000)}
_GP3_THROUGHPUT_MIB = (125, 2_000)
_INITIALIZATION_MIB = (100, 300)


def block_devices(request: Request, image: Any) -> list[dict[str, Any]]:
    """Complete the block device mappings with the image's root volume and EC2's defaults; refuses impossible ones.

    `DeleteOnTermination` defaults to true for the root and false for others (EC2 User Guide).
    """
    root = image.block_device_mappings[0]
    given = {str(mapping.get("DeviceName")): mapping for mapping in request.get("BlockDeviceMappings") or []}
    if len(given) != len(request.get("BlockDeviceMappings") or []):
        raise invalid_value("Duplicate device name in block device mappings")
    complete = []
    for name in dict.fromkeys([root["DeviceName"], *given]):
        mapping = given.get(name, {})
        if not _DEVICE_NAME.fullmatch(name):
            raise invalid_value(f"Invalid device name {name}")
        added: Mapping[str, Any] = {"DeleteOnTermination": False, "VolumeType": "gp3"}
        defaults = root["Ebs"] if name == root["DeviceName"] else added
        ebs = {**defaults, **(mapping.get("Ebs") or {})}
        check_volume(name, ebs, least_gib=int(defaults.get("VolumeSize") or 0))
        complete.append({"DeviceName": name, "Ebs": ebs})
    return complete


def check_volume(device: str, ebs: Mapping[str, Any], least_gib: int) -> None:
    """Refuse a volume that its type does not allow; `device` is for the words."""
    kind, size = ebs["VolumeType"], ebs.get("VolumeSize")
    if kind not in _VOLUME_GIB:
        raise invalid_value(f"Invalid value '{kind}' for VolumeType.")
    if size is None:
        raise refuse("MissingParameter", f"The request must contain the parameter size or snapshotId for {device}")
    if size < least_gib:
        raise refuse(
            "InvalidBlockDeviceMapping",
            f"Volume of size {size}GB is smaller than snapshot '{ebs.get('SnapshotId')}', expect size>= {least_gib}GB",
        )
    low, high = _VOLUME_GIB[kind]
    if not low <= size <= high:
        raise invalid_value(f"Volume of {size}GiB is invalid for {kind}; valid sizes are {low}-{high} GiB.")
    iops, throughput = ebs.get("Iops"), ebs.get("Throughput")
    if iops is not None:
        _check_iops(kind, iops, size)
    elif kind in ("io1", "io2"):
        raise refuse("MissingParameter", f"The parameter iops must be specified for {kind} volumes.")
    if throughput is not None:
        _check_throughput(kind, throughput, iops)
    check_initialization_rate(ebs.get("VolumeInitializationRate"), from_snapshot=bool(ebs.get("SnapshotId")))


def check_initialization_rate(rate: int | None, *, from_snapshot: bool) -> None:
    """Refuse a rate at which EBS cannot fill a volume from its snapshot."""
    if rate is None:
        return
    if not from_snapshot:
        raise refuse("InvalidParameterCombination", "VolumeInitializationRate needs a snapshot")
    low, high = _INITIALIZATION_MIB
    if not low <= int(rate) <= high:
        raise invalid_value(f"Value ({rate}) for parameter volumeInitializationRate is invalid: {low} to {high} MiB/s.")


def _check_iops(kind: str, iops: int, size: int) -> None:
    if kind not in _VOLUME_IOPS:
        raise refuse("InvalidParameterCombination", f"The parameter iops is not supported for {kind} volumes.")
    low, high = _VOLUME_IOPS[kind]
    if not low <= iops <= high:
        raise invalid_value(f"Volume iops of {iops} is invalid; valid values are {low}-{high} for {kind}.")
    if kind == "gp3" and iops > max(3_000, 500 * size):
        raise invalid_value(f"Iops to volume size ratio of {iops / size:.0f} is too high; maximum is 500.")


def _check_throughput(kind: str, throughput: int, iops: int | None) -> None:
    low, high = _GP3_THROUGHPUT_MIB
    if kind != "gp3":
        raise refuse("InvalidParameterCombination", f"The parameter throughput is not supported for {kind} volumes.")
    if not low <= throughput <= high:
        raise invalid_value(f"Volume throughput of {throughput} is invalid; valid values are {low}-{high} MiB/s.")
    if throughput > 0.25 * (iops or 3_000):
        raise invalid_value("Throughput (MiBps) to iops ratio is too high; maximum is 0.25 MiBps per iops.")
