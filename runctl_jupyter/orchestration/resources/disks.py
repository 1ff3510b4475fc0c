"""Volumes, snapshots of them, and images made of those."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from runctl_jupyter.orchestration.costs.rates import HOURS_PER_MONTH, disk_per_hour
from runctl_jupyter.orchestration.instances.describe import tags_of
from runctl_jupyter.orchestration.instances.disks import to_disk
from runctl_jupyter.orchestration.resources.judging import Found
from runctl_jupyter.orchestration.resources.kind import Failures, Region, one_by_one

_FREE = ("available", "error")
"""States of a volume that can be deleted (EBS User Guide, "Amazon EBS volume lifecycle")."""


class Volumes:
    """EBS volumes."""

    name = "volume"

    def find(self, region: Region, ids: Sequence[str] | None = None) -> list[Found]:
        """Return volumes; see `Kind.find`."""
        found = []
        for each in region.owned.volumes(ids):
            machines = [str(one.get("InstanceId", "")) for one in each.get("Attachments", [])]
            state = str(each["State"])
            per_hour = disk_per_hour(to_disk(each), region.name)
            found.append(
                Found(
                    kind=self.name,
                    id=each["VolumeId"],
                    region=region.name,
                    state=state,
                    created_at=each.get("CreateTime"),
                    tags=tags_of(each),
                    detail=f"{each['Size']} GiB {each.get('VolumeType', '')}",
                    usd_per_month=None if per_hour is None else per_hour * HOURS_PER_MONTH,
                    in_use=f"attached to {', '.join(machines)}"
                    if machines
                    else ""
                    if state in _FREE
                    else f"is {state}",
                    left_over="no machine has it",
                )
            )
        return found

    def remove(self, region: Region, going: Sequence[Found]) -> Failures:
        """Delete volumes."""
        return one_by_one(going, lambda each: region.owned.delete_volume(each.id))


class Snapshots:
    """Snapshots of volumes. Their price is unknown: EBS keeps, and bills, only what differs from others."""

    name = "snapshot"

    def find(self, region: Region, ids: Sequence[str] | None = None) -> list[Found]:
        """Return snapshots; see `Kind.find`."""
        return [
            Found(
                kind=self.name,
                id=each["SnapshotId"],
                region=region.name,
                state=str(each.get("State", "")),
                created_at=each.get("StartTime"),
                tags=tags_of(each),
                detail=f"of {each.get('VolumeSize', '?')} GiB {each.get('VolumeId', '')}",
                usd_per_month=None,
                of_job=True,
            )
            for each in region.owned.snapshots(ids)
        ]

    def remove(self, region: Region, going: Sequence[Found]) -> Failures:
        """Delete snapshots."""
        return one_by_one(going, lambda each: region.owned.delete_snapshot(each.id))


class Images:
    """Machine images; what they cost is their snapshots."""

    name = "image"

    def find(self, region: Region, ids: Sequence[str] | None = None) -> list[Found]:
        """Return images; see `Kind.find`."""
        found = []
        for each in region.owned.images(ids):
            made = each.get("CreationDate")
            disks = [str(one.get("Ebs", {}).get("SnapshotId", "")) for one in each.get("BlockDeviceMappings", [])]
            found.append(
                Found(
                    kind=self.name,
                    id=each["ImageId"],
                    region=region.name,
                    state=str(each.get("State", "")),
                    created_at=datetime.fromisoformat(made) if made else None,
                    tags=tags_of(each),
                    name=each.get("Name", ""),
                    usd_per_month=0.0,
                    of_job=True,
                    uses=tuple(disk for disk in disks if disk),
                )
            )
        return found

    def remove(self, region: Region, going: Sequence[Found]) -> Failures:
        """Deregister images; their snapshots stay, and are left over then."""
        return one_by_one(going, lambda each: region.owned.deregister_image(each.id))
