"""EC2's actions on volumes and snapshots, with the limits that EC2 has (sources: see `volumes`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.utils import generic_filter

from runctl_jupyter.sandbox.control.ec2 import launch_rules as rules
from runctl_jupyter.sandbox.control.ec2.launch_rules import invalid_value, refuse
from runctl_jupyter.sandbox.control.ec2.paging import page
from runctl_jupyter.sandbox.control.ec2.volumes import (
    PENDING_SNAPSHOTS_PER_VOLUME,
    SandboxVolume,
    attachment_state,
    modification_state,
    modified_lately,
)
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID

_DEVICE_NAME = re.compile(r"/dev/sd[a-z]\d{0,2}|/dev/xvd[a-z]{1,2}|sd[a-z]\d{0,2}|xvd[a-z]{1,2}")
_NITRO_ATTACHMENTS = 28
"""Shared by network interfaces, EBS volumes and NVMe disks (EC2 User Guide, "Instance volume limits")."""


def _tags(resource: Any) -> list[dict[str, str]]:
    return [{"Key": tag["key"], "Value": tag["value"]} for tag in resource.get_tags()]


def _attachment(attachment: Any) -> dict[str, Any]:
    block = attachment.instance.block_device_mapping.get(attachment.device)
    return {
        "VolumeId": attachment.volume.id,
        "InstanceId": attachment.instance.id,
        "Device": attachment.device,
        "State": attachment_state(attachment),
        "AttachTime": attachment.attach_time,
        "DeleteOnTermination": bool(block and block.delete_on_termination),
    }


def _volume(volume: Any) -> dict[str, Any]:
    return {
        "VolumeId": volume.id,
        "VolumeType": volume.volume_type,
        "Size": volume.size,
        "Iops": volume.iops,
        "Throughput": volume.throughput,
        "SnapshotId": volume.snapshot_id or "",
        "AvailabilityZone": volume.availability_zone,
        "State": volume.status,
        "CreateTime": volume.create_time,
        "Encrypted": bool(volume.encrypted),
        "KmsKeyId": volume.kms_key_id,
        "MultiAttachEnabled": bool(volume.multi_attach_enabled),
        "VolumeInitializationRate": getattr(volume, "initialization_rate", None),
        "Attachments": [_attachment(one) for one in volume.attachments],
        "Tags": _tags(volume) or None,
    }


def _snapshot(snapshot: Any) -> dict[str, Any]:
    return {
        "SnapshotId": snapshot.id,
        "VolumeId": snapshot.volume_id,
        "VolumeSize": snapshot.volume_size,
        "State": snapshot.status,
        "Progress": snapshot.progress,
        "StartTime": snapshot.start_time,
        "OwnerId": snapshot.owner_id,
        "Description": snapshot.description or "",
        "Encrypted": bool(snapshot.encrypted),
        "StorageTier": snapshot.storage_tier,
        "Tags": _tags(snapshot) or None,
    }


def _modification(modification: Any) -> dict[str, Any]:
    state, progress = modification_state(modification)
    volume = modification.volume
    return {
        "VolumeId": volume.id,
        "ModificationState": state,
        "Progress": progress,
        "StartTime": modification.start_time,
        "OriginalSize": modification.original_size or volume.size,
        "TargetSize": modification.target_size or volume.size,
        "OriginalVolumeType": modification.original_volume_type or volume.volume_type,
        "TargetVolumeType": modification.target_volume_type or volume.volume_type,
        "OriginalIops": modification.original_iops or volume.iops,
        "TargetIops": modification.target_iops or volume.iops,
    }


class VolumeActions:
    """Mixed into the EC2 response before moto's."""

    params: Mapping[str, Any]
    ec2_backend: Any
    error_on_dryrun: Any

    def create_volume(self) -> ActionResult:
        """CreateVolume: limits by type, in a zone that exists, idempotent by ClientToken; gp2 by default."""
        request, backend = dict(self.params), self.ec2_backend
        rules.check_tags(request, spot=False, kinds=("volume",))
        kind, snapshot_id = request.get("VolumeType", "gp2"), request.get("SnapshotId")
        zone = request.get("AvailabilityZone")
        if zone is None:
            raise refuse("MissingParameter", "The request must contain the parameter availabilityZone")
        if backend.get_zone_by_name(zone) is None:
            raise refuse("InvalidZone.NotFound", f"The zone '{zone}' does not exist.")
        snapshot = backend.snapshot_of(snapshot_id) if snapshot_id else None
        if snapshot is not None and snapshot.status != "completed":
            raise refuse("IncorrectState", f"Snapshot '{snapshot_id}' is not 'completed'.")
        size = request.get("Size", snapshot.volume_size if snapshot else None)
        if size is None:
            raise refuse("MissingParameter", "The request must contain the parameter size or snapshotId")
        if snapshot is not None and size < snapshot.volume_size:
            raise invalid_value(
                f"The size of a volume cannot be smaller than that of its snapshot, {snapshot.volume_size} GiB."
            )
        self._check_performance(request, kind, int(size))
        self.error_on_dryrun()
        token = request.get("ClientToken")
        for earlier in backend.volumes.values() if token else ():
            if getattr(earlier, "client_token", None) == token:
                if earlier.digest != rules.request_digest(request):
                    raise rules.token_mismatch()
                return ActionResult(_volume(earlier))
        volume: SandboxVolume = backend.create_volume(
            size=int(size), zone_name=zone, snapshot_id=snapshot_id, encrypted=bool(request.get("Encrypted", False)),
            kms_key_id=request.get("KmsKeyId"), volume_type=kind, iops=request.get("Iops"),
            throughput=request.get("Throughput") or (125 if kind == "gp3" else None),
            multi_attach_enabled=request.get("MultiAttachEnabled"),
        )  # fmt: skip
        volume.client_token, volume.digest = token, rules.request_digest(request)
        volume.initialization_rate = request.get("VolumeInitializationRate")
        volume.add_tags(rules.tags_of(request).get("volume", {}))
        backend.begin_volume(volume)
        return ActionResult({**_volume(volume), "State": "creating"})

    @staticmethod
    def _check_performance(request: Mapping[str, Any], kind: str, size: int) -> None:
        same = ("Iops", "Throughput", "SnapshotId", "VolumeInitializationRate")
        ebs = {"VolumeType": kind, "VolumeSize": size, **{name: request.get(name) for name in same}}
        rules.check_volume("", ebs, least_gib=0)
        if request.get("MultiAttachEnabled") and kind not in ("io1", "io2"):
            raise refuse("InvalidParameterCombination", f"Multi-Attach is not supported for {kind} volumes.")

    def describe_volumes(self) -> ActionResult:
        """DescribeVolumes, by pages."""
        self.ec2_backend.settle_detachments()
        rows, token = self._described("VolumeIds", self.ec2_backend.volumes, self.ec2_backend.volume_of)
        return ActionResult({"Volumes": [_volume(one) for one in rows], "NextToken": token})

    def describe_snapshots(self) -> ActionResult:
        """DescribeSnapshots: of the owners asked for, by pages."""
        rows, token = self._described(
            "SnapshotIds", self.ec2_backend.snapshots, self.ec2_backend.snapshot_of, owners=self.params.get("OwnerIds")
        )
        return ActionResult({"Snapshots": [_snapshot(one) for one in rows], "NextToken": token})

    def _described(
        self, parameter: str, kept: Mapping[str, Any], find: Any, owners: Sequence[str] | None = None
    ) -> tuple[list[Any], str | None]:
        ids = self.params.get(parameter) or []
        if ids and self.params.get("MaxResults") is not None:
            raise refuse(
                "InvalidParameterCombination", f"The parameter {parameter} cannot be used with the parameter maxResults"
            )
        found = [find(one) for one in ids] if ids else list(kept.values())
        if owners:
            wanted = {ACCOUNT_ID if one == "self" else one for one in owners}
            amazon = "amazon" in wanted
            found = [one for one in found if one.owner_id in wanted or (amazon and one.owner_id != ACCOUNT_ID)]
        filters = {one["Name"]: one.get("Values", []) for one in self.params.get("Filters") or []}
        return page(generic_filter(filters, found), self.params, least=5, most=1000)

    def attach_volume(self) -> ActionResult:
        """AttachVolume: one that is available, in the instance's zone, under a name that is free."""
        backend, device = self.ec2_backend, str(self.params["Device"])
        volume = backend.volume_of(self.params["VolumeId"])
        (machine,) = backend.machines_of([self.params["InstanceId"]])
        instance = machine.instance
        if not _DEVICE_NAME.fullmatch(device):
            raise invalid_value(
                f"Value ({device}) for parameter device is invalid. {device} is not a valid EBS device name."
            )
        if volume.availability_zone != instance.placement.zone:
            raise refuse(
                "InvalidVolume.ZoneMismatch",
                f"The volume '{volume.id}' is not in the same availability zone as instance '{machine.id}'",
            )
        if volume.attachment is not None:
            raise refuse("VolumeInUse", f"{volume.id} is already attached to an instance")
        if volume.status != "available":
            raise refuse("IncorrectState", f"{volume.id} is not 'available'.")
        if machine.state not in ("running", "stopped"):
            raise refuse("IncorrectState", f"Instance '{machine.id}' is not 'running'.")
        if device in instance.block_device_mapping:
            raise invalid_value(f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use")
        disks = INSTANCE_TYPES[instance.instance_type].get("InstanceStorageInfo", {}).get("Disks", [])
        taken = len(instance.nics) + len(instance.block_device_mapping) + sum(one["Count"] for one in disks)
        if taken >= _NITRO_ATTACHMENTS:
            raise refuse("AttachmentLimitExceeded", f"The maximum number of attachments of '{machine.id}' is reached")
        self.error_on_dryrun()
        attachment = backend.attach_volume(volume.id, machine.id, device)
        backend.begin_attachment(attachment)
        backend.fleet.save(machine.id)
        return ActionResult({**_attachment(attachment), "State": "attaching"})

    def detach_volume(self) -> ActionResult:
        """DetachVolume: in use until it is over; the root volume only of a stopped instance."""
        backend = self.ec2_backend
        volume = backend.volume_of(self.params["VolumeId"])
        attachment = volume.attachment
        if attachment is None:
            raise refuse("IncorrectState", f"Volume '{volume.id}' is in the 'available' state.")
        instance, device = attachment.instance, self.params.get("Device", attachment.device)
        if self.params.get("InstanceId", instance.id) != instance.id or device != attachment.device:
            raise refuse("InvalidAttachment.NotFound", f"The volume {volume.id} is not attached like that")
        (machine,) = backend.machines_of([instance.id])
        if attachment.device == instance.root_device_name and machine.state != "stopped":
            raise refuse(
                "OperationNotPermitted", f"Unable to detach root volume '{volume.id}' from instance '{machine.id}'"
            )
        if attachment_state(attachment) == "detaching":
            raise refuse("IncorrectState", f"Volume '{volume.id}' is in the 'detaching' state.")
        self.error_on_dryrun()
        backend.begin_detachment(volume)
        return ActionResult(_attachment(attachment))

    def delete_volume(self) -> ActionResult:
        """DeleteVolume: one that is attached to nothing."""
        volume = self.ec2_backend.volume_of(self.params["VolumeId"])
        if volume.attachment is not None:
            raise refuse("VolumeInUse", f"Volume {volume.id} is currently attached to {volume.attachment.instance.id}")
        if volume.status != "available":
            raise refuse("IncorrectState", f"The volume '{volume.id}' is in the '{volume.status}' state.")
        self.error_on_dryrun()
        self.ec2_backend.delete_volume(volume.id)
        return EmptyResult()

    def modify_volume(self) -> ActionResult:
        """ModifyVolume: never smaller, within the limits of the type, once in six hours."""
        request = self.params
        volume = self.ec2_backend.volume_of(request["VolumeId"])
        size, kind = int(request.get("Size", volume.size)), request.get("VolumeType", volume.volume_type)
        if size < volume.size:
            raise invalid_value("New size cannot be smaller than existing size")
        iops = request.get("Iops", volume.iops if kind == volume.volume_type else None)
        self._check_performance({**request, "Iops": iops, "SnapshotId": None}, kind, size)
        if volume.status not in ("available", "in-use"):
            raise refuse("IncorrectModificationState", f"Volume {volume.id} is in state {volume.status}.")
        if modified_lately(volume.modifications):
            raise refuse(
                "VolumeModificationRateExceeded",
                "You've reached the maximum modification rate per volume limit. Wait at least 6 hours between "
                "modifications per EBS volume.",
            )
        self.error_on_dryrun()
        self.ec2_backend.modify_volume(
            volume.id, request.get("Size"), request.get("VolumeType"), request.get("Iops"), request.get("Throughput"),
            request.get("MultiAttachEnabled"),
        )  # fmt: skip
        self.ec2_backend.begin_modification(volume.modifications[-1])
        return ActionResult({"VolumeModification": _modification(volume.modifications[-1])})

    def describe_volumes_modifications(self) -> ActionResult:
        """DescribeVolumesModifications."""
        ids = self.params.get("VolumeIds") or []
        volumes = [self.ec2_backend.volume_of(one) for one in ids] or list(self.ec2_backend.volumes.values())
        rows = [_modification(one) for volume in volumes for one in volume.modifications]
        return ActionResult({"VolumesModifications": rows})

    def create_snapshot(self) -> ActionResult:
        """CreateSnapshot: five may be pending per volume."""
        rules.check_tags(self.params, spot=False, kinds=("snapshot",))
        volume = self.ec2_backend.volume_of(self.params["VolumeId"])
        if volume.status == "creating":
            raise refuse("IncorrectState", f"The volume '{volume.id}' is in the 'creating' state.")
        pending = [
            one for one in self.ec2_backend.snapshots.values() if one.volume is volume and one.status == "pending"
        ]
        if len(pending) >= PENDING_SNAPSHOTS_PER_VOLUME:
            raise refuse(
                "ConcurrentSnapshotLimitExceeded", "Maximum allowed in-progress snapshots for a single volume exceeded."
            )
        self.error_on_dryrun()
        snapshot = self.ec2_backend.create_snapshot(volume.id, self.params.get("Description"))
        snapshot.add_tags(rules.tags_of(self.params).get("snapshot", {}))
        return ActionResult({**_snapshot(snapshot), "State": "pending"})

    def delete_snapshot(self) -> ActionResult:
        """DeleteSnapshot: not one that an image uses."""
        snapshot = self.ec2_backend.snapshot_of(self.params["SnapshotId"])
        if snapshot.from_ami in self.ec2_backend.amis:
            raise refuse(
                "InvalidSnapshot.InUse", f"The snapshot {snapshot.id} is currently in use by {snapshot.from_ami}"
            )
        self.error_on_dryrun()
        del self.ec2_backend.snapshots[snapshot.id]
        return EmptyResult()
