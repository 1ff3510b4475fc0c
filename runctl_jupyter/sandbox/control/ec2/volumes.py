"""EBS volumes and snapshots over time: states that take as long as they take, whatever asks for them.

Sources: EC2 API reference (CreateVolume, AttachVolume, DetachVolume, ModifyVolume, CreateSnapshot), EBS User Guide
("EBS volume lifecycle", "Request modifications to your EBS volumes"). A volume has no block device in a machine yet:
it exists in the control plane only.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.models import EC2Backend
from moto.ec2.models.elastic_block_store import Snapshot, Volume, VolumeAttachment

from runctl_jupyter.sandbox.control.ec2.freshness import hide, is_fresh
from runctl_jupyter.sandbox.control.ec2.launch_rules import invalid_value, refuse
from runctl_jupyter.sandbox.control.settings import Settings

MODIFICATION_COOLDOWN_S = 6 * 3600
PENDING_SNAPSHOTS_PER_VOLUME = 5


class SandboxVolume(Volume):  # type: ignore[misc]
    """A volume whose states take time."""

    __module__ = "moto.ec2.models.elastic_block_store"  # moto derives the service from the module's name
    ready_at = 0.0
    """When it stops being ``creating`` (`time.monotonic`)."""
    initialization_rate: int | None = None
    client_token: str | None = None
    digest = ""

    @property
    def status(self) -> str:
        """Its state as DescribeVolumes names it."""
        return "creating" if time.monotonic() < self.ready_at else str(super().status)

    def get_filter_value(self, filter_name: str, method_name: str | None = None) -> Any:
        """Give what a filter looks at."""
        if filter_name == "volume-type":
            return self.volume_type
        if filter_name == "attachment.status" and self.attachment is not None:
            return attachment_state(self.attachment)
        return super().get_filter_value(filter_name, method_name)


class SandboxSnapshot(Snapshot):  # type: ignore[misc]
    """A snapshot that is pending until everything is uploaded."""

    __module__ = "moto.ec2.models.elastic_block_store"
    begun_at = 0.0
    done_at = 0.0
    gib = 0
    """Size of the volume when it was taken."""

    @property
    def status(self) -> str:
        """``pending`` or ``completed``."""
        return "pending" if time.monotonic() < self.done_at else "completed"

    @status.setter
    def status(self, _state: str) -> None:
        """Leave the state to time; moto sets it once."""

    @property
    def progress(self) -> str:
        """Percentage, as DescribeSnapshots writes it."""
        whole = self.done_at - self.begun_at
        share = 1.0 if whole <= 0 else min(1.0, (time.monotonic() - self.begun_at) / whole)
        return f"{int(100 * share)}%"

    @property
    def volume_size(self) -> int:
        """GiB of a volume made of it."""
        return self.gib or int(super().volume_size)


def attachment_state(attachment: VolumeAttachment) -> str:
    """``attaching``, ``attached`` or ``detaching``."""
    now = time.monotonic()
    if getattr(attachment, "detached_at", None) is not None:
        return "detaching"
    return "attaching" if now < getattr(attachment, "attached_at", 0.0) else "attached"


def modification_state(modification: Any) -> tuple[str, int]:
    """State and percentage of a modification."""
    began, done = getattr(modification, "began_at", 0.0), getattr(modification, "done_at", 0.0)
    now = time.monotonic()
    if now >= done:
        return "completed", 100
    share = (now - began) / (done - began)
    return ("modifying" if share < 0.5 else "optimizing"), int(100 * share)


class VolumesBackend(EC2Backend):  # type: ignore[misc]
    """The part of the EC2 backend that has volumes and snapshots."""

    __module__ = "moto.ec2.models"

    def _settings(self) -> Settings:
        settings: Settings = self.fleet.settings
        return settings

    def create_volume(self, *arguments: Any, **named: Any) -> SandboxVolume:
        """Make a volume that is at first unknown to others, and ``creating``."""
        made = super().create_volume(*arguments, **named)
        volume = SandboxVolume.__new__(SandboxVolume)
        volume.__dict__.update(vars(made))
        self.volumes[volume.id] = volume
        return volume

    def create_snapshot(
        self, volume_id: str, description: str, owner_id: str | None = None, from_ami: str | None = None
    ) -> SandboxSnapshot:
        """Take a snapshot, ``pending`` for a while."""
        made = super().create_snapshot(volume_id, description, owner_id, from_ami)
        snapshot = SandboxSnapshot.__new__(SandboxSnapshot)
        snapshot.__dict__.update({name: value for name, value in vars(made).items() if name != "status"})
        if from_ami is None:
            snapshot.begun_at = time.monotonic()
            snapshot.done_at = snapshot.begun_at + self._settings().snapshot_s
            snapshot.gib = made.volume.size
        self.snapshots[snapshot.id] = snapshot
        return snapshot

    def begin_volume(self, volume: SandboxVolume) -> None:
        """Start the clock of a volume that somebody asked for by CreateVolume."""
        hide(volume, self._settings().visible_s)
        volume.ready_at = time.monotonic() + self._settings().volume_s

    def begin_attachment(self, attachment: Any) -> None:
        """Start the clock of an attachment."""
        attachment.attached_at = time.monotonic() + self._settings().volume_s

    def begin_detachment(self, volume: Any) -> None:
        """Start the clock of a detachment; until it is over the volume is in use."""
        volume.attachment.detached_at = time.monotonic() + self._settings().volume_s

    def begin_modification(self, modification: Any) -> None:
        """Start the clock of a modification."""
        modification.began_at = time.monotonic()
        modification.done_at = modification.began_at + 2 * self._settings().volume_s

    def settle_detachments(self) -> None:
        """Let go of volumes whose detachment is over."""
        for volume in list(self.volumes.values()):
            attachment = volume.attachment
            over = getattr(attachment, "detached_at", None) if attachment else None
            if over is not None and time.monotonic() >= over:
                self.detach_volume(volume.id, attachment.instance.id, attachment.device)

    def volume_of(self, volume_id: str) -> SandboxVolume:
        """Give a volume that others know already; refuses ids that are malformed or unknown."""
        check_id(volume_id, "vol", "volumeId")
        self.settle_detachments()
        volume = self.volumes.get(volume_id)
        if volume is None or is_fresh(volume):
            raise refuse("InvalidVolume.NotFound", f"The volume '{volume_id}' does not exist.")
        found: SandboxVolume = volume
        return found

    def snapshot_of(self, snapshot_id: str) -> Any:
        """Give a snapshot; refuses ids that are malformed or unknown."""
        check_id(snapshot_id, "snap", "snapshotId")
        if snapshot_id not in self.snapshots:
            raise refuse("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
        return self.snapshots[snapshot_id]


def check_id(resource_id: str, prefix: str, parameter: str) -> None:
    """Refuse what cannot be an id of this kind."""
    kind, _, number = resource_id.partition("-")
    if kind != prefix or len(number) not in (8, 17) or set(number) - set("0123456789abcdef"):
        raise invalid_value(f"Value ({resource_id}) for parameter {parameter} is invalid. Expected: '{prefix}-...'.")


def modified_lately(modifications: Sequence[Any]) -> bool:
    """Whether the last modification of a volume is so fresh that it cannot be modified again."""
    if not modifications:
        return False
    began: datetime = modifications[-1].start_time
    elapsed: float = (utcnow() - began).total_seconds()
    return elapsed < MODIFICATION_COOLDOWN_S
