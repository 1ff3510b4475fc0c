"""EBS volumes of ours, as far as they cost money."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.costs.rates import Disk
from runctl_jupyter.orchestration.instances.describe import TAG_MANAGED

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import VolumeTypeDef

    from runctl_jupyter.orchestration.aws.ec2 import Ec2


def disks_of_ours(ec2: Ec2) -> list[Disk]:
    """Return the volumes that carry our tag, attached or not.

    Raises
    ------
    RunctlError
        AWS does not tell.
    """
    return [to_disk(each) for each in ec2.volumes({f"tag:{TAG_MANAGED}": ["true"]})]


def to_disk(described: VolumeTypeDef) -> Disk:
    """Return EC2's description of a volume as a `Disk`."""
    attached = [each.get("InstanceId") for each in described.get("Attachments", []) if each.get("State") != "detached"]
    tags = {tag.get("Key"): tag.get("Value", "") for tag in described.get("Tags", [])}
    return Disk(
        id=described["VolumeId"],
        kind=described.get("VolumeType", ""),
        gib=described["Size"],
        iops=described.get("Iops"),
        mibps=described.get("Throughput"),
        created_at=described["CreateTime"],
        instance_id=next((each for each in attached if each), None),
        name=tags.get("Name", ""),
    )
