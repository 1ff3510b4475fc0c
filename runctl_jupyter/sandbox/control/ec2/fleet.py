"""From moto's instances to real machines and back from disk: specs, role credentials, records, restore."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from moto.ec2.models import EC2Backend
from moto.ec2.models.instance_types import INSTANCE_TYPES

from runctl_jupyter.sandbox.control.ec2 import spot
from runctl_jupyter.sandbox.control.ec2.machines import (
    SANDBOX_RESTART,
    STATE_CODES,
    Machine,
    Machines,
    Reason,
    set_reason,
)
from runctl_jupyter.sandbox.control.ec2.spot import SpotRequest, SpotTerms, add_spot_request, spot_request
from runctl_jupyter.sandbox.control.faults.faults import Caller
from runctl_jupyter.sandbox.control.iam.account import Account
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID, REGION, Settings
from runctl_jupyter.sandbox.control.store import StateStore
from runctl_jupyter.sandbox.hosts.base import HostFactory, HostServices, HostSpec, RoleCredentials

log = logging.getLogger(__name__)


@dataclass
class Launch:
    """What RunInstances was called with for one instance, in JSON values, so that a restart can repeat it."""

    arguments: dict[str, Any]
    """Arguments of moto's ``EC2Backend.run_instances``, for one instance."""
    client_token: str | None
    digest: str
    """Digest of the request without its token: same token and other digest is a mismatch."""
    profile_arn: str | None
    devices: list[dict[str, Any]]
    user_data: str | None
    spot_price: str | None = None
    """Written by earlier versions; `spot_terms` says it now."""
    spot_terms: dict[str, Any] | None = None
    """Fields of `SpotTerms`; None for on-demand."""
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By resource type; those of volumes stand in `arguments`."""

    @property
    def terms(self) -> SpotTerms | None:
        """What the Spot request asks for."""
        return None if self.spot_terms is None else SpotTerms(**self.spot_terms)


class Fleet:
    """The machines of the account and what is kept of them on disk.

    Parameters
    ----------
    unplugged
        Whether a fault keeps a machine, by its id, from reaching anything.
    """

    def __init__(
        self,
        settings: Settings,
        factory: HostFactory,
        store: StateStore,
        account: Account,
        url: str,
        unplugged: Callable[[str], bool],
    ) -> None:
        self.settings = settings
        self.launch_lock = threading.Lock()
        self.lost_at_restart: list[str] = []
        self.reopened: Callable[[SpotRequest, Launch], None] | None = None
        """Called when a Spot request wants another instance."""
        self.machines = Machines(settings, self._changed, self._end)
        self._factory = factory
        self._store = store
        self._account = account
        self._url = url
        self._unplugged = unplugged
        self._launches: dict[str, Launch] = {}
        self._save_lock = threading.Lock()
        self._credentials: dict[str, RoleCredentials | None] = {}
        self._callers: dict[str, Caller] = {}

    def create(self, instance: Any, launch: Launch) -> Machine:
        """Make the machine of a new instance; it is ``pending`` and not yet booted."""
        self._launches[instance.id] = launch
        machine = Machine(instance, self._host(instance, launch))
        _dress(instance, machine.host.private_ip, launch)
        instance._state.name, instance._state.code = "pending", STATE_CODES["pending"]  # noqa: SLF001
        set_reason(instance, Reason())
        self.machines.add(machine)
        return machine

    def launched_with(self, client_token: str) -> list[tuple[Machine, Launch]]:
        """Machines that a RunInstances call with this token made."""
        made = [(machine, self._launches.get(machine.id)) for machine in self.machines.all()]
        return [(machine, launch) for machine, launch in made if launch and launch.client_token == client_token]

    def launch_of(self, instance_id: str) -> Launch | None:
        """Give what made an instance."""
        return self._launches.get(instance_id)

    def profile_of(self, instance_id: str) -> str | None:
        """ARN of the instance's profile."""
        launch = self._launches.get(instance_id)
        return launch.profile_arn if launch else None

    def find(self, reference: str) -> list[Machine]:
        """Give the machine of an instance id, or those that live and have this tag ``Name``."""
        machine = self.machines.find(reference)
        if machine is not None:
            return [machine]
        alive = (one for one in self.machines.all() if one.state not in ("shutting-down", "terminated"))
        return [one for one in alive if tags_on(one.instance).get("Name") == reference]

    def caller_of(self, access_key_id: str, address: str) -> Caller:
        """Tell a machine's request from others: by its role's key, or by the address its gateway calls from."""
        found = self._callers.get(access_key_id)
        if found is not None:
            return found
        machines = (one.id for one in self.machines.all() if one.host.gateway_address == address)
        return Caller(next(machines, None))

    def renew_credentials(self, instance_id: str | None) -> None:
        """Let the metadata service of one machine, or of all, hand out new credentials from now on."""
        for one in [instance_id] if instance_id else list(self._credentials):
            self._credentials.pop(one, None)

    def save(self, instance_id: str) -> None:
        """Keep on disk what changed outside of a change of state (tags, attributes)."""
        machine = self.machines.find(instance_id)
        if machine is not None:
            self._save(machine)

    def drop_ended(self, backend: Any) -> None:
        """Forget instances that ended long ago, here, in moto and on disk."""
        for instance_id in self.machines.forget_ended():
            with self._save_lock:
                self._launches.pop(instance_id, None)
                self._store.forget_instance(instance_id)
            self._credentials.pop(instance_id, None)
            backend.tags.pop(instance_id, None)
            for reservation_id, reservation in list(backend.reservations.items()):
                reservation.instances = [one for one in reservation.instances if one.id != instance_id]
                if not reservation.instances:
                    del backend.reservations[reservation_id]

    def restore(self, backend: Any) -> None:
        """Bring back the instances of the sandbox that ran before in this home."""
        for instance_id, record in self._store.instances().items():
            machine = self._restored(backend, instance_id, record)
            before = machine.state
            # As when a host fails: an on-demand instance is stopped and keeps its disk, a Spot Instance is gone.
            ends = not machine.stoppable
            if before in {"terminated", "stopped"}:
                self.machines.add(machine)
            elif before == "shutting-down" or ends:
                self.lost_at_restart.append(f"instance {instance_id} was {before} and is terminated now, with its disk")
                self.machines.add(machine)
                if not self.machines.terminate(machine, SANDBOX_RESTART):
                    self.machines.resume_termination(machine)
            else:
                self.lost_at_restart.append(f"processes of instance {instance_id}: it was {before} and is stopped now")
                instance = machine.instance
                instance._state.name, instance._state.code = "stopped", STATE_CODES["stopped"]  # noqa: SLF001
                if (request := spot_request(instance)) is not None and request.state == "active":
                    request.set_status(spot.MARKED_FOR_STOP)
                set_reason(instance, _reason_of(record) if before == "stopping" else SANDBOX_RESTART)
                self.machines.add(machine)

    def _host(self, instance: Any, launch: Launch) -> Any:
        spec = _spec(instance, launch)
        services = HostServices(
            state_dir=self.settings.home,
            endpoint_urls={"default": self._url},
            credentials=lambda: self._role_credentials(spec.instance_id),
            on_guest_shutdown=self.machines.guest_shutdown,
            on_guest_reboot=self.machines.guest_reboot,
            on_agent_restart=self.machines.agent_restarted,
            unplugged=lambda: self._unplugged(spec.instance_id),
        )
        return self._factory.create(spec, services)

    def _role_credentials(self, instance_id: str) -> RoleCredentials | None:
        profile = self.profile_of(instance_id)
        if profile is None:
            return None
        before = self._credentials.get(instance_id)
        current = self._account.role_credentials(profile, instance_id, before)
        self._credentials[instance_id] = current
        if current is not None and current is not before:
            self._callers[current.access_key_id] = Caller(instance_id, time.monotonic())
        return current

    def _end(self, machine: Machine) -> None:
        """Close the Spot request of a machine, and give its volumes and network interfaces back to moto."""
        instance, backend = machine.instance, machine.instance.ec2_backend
        request = spot_request(instance)
        if request is not None:
            by_aws = str(instance.state_reason.code).startswith("Server.")
            request.close(spot.NO_CAPACITY if by_aws else spot.BY_USER)
            if request.state == "open" and self.reopened is not None:
                self.reopened(request, self._launches[machine.id])
        volumes = [block.volume_id for _, block in instance.get_block_device_mapping]
        # What `Instance.terminate` does but for the state, which would show before all is given back.
        for interface in instance.nics.values():
            if interface.delete_on_termination:
                interface.delete()
                backend.tags.pop(interface.id, None)
        instance.teardown_defaults()
        for volume_id in volumes:
            if volume_id not in backend.volumes:
                backend.tags.pop(volume_id, None)
        if association := backend.iam_instance_profile_associations.get(machine.id):
            backend.disassociate_iam_instance_profile(association_id=association.association_id)

    def _changed(self, machine: Machine) -> None:
        request = spot_request(machine.instance)
        if request is not None and request.instance_id == machine.id:
            request.follow(machine.state)
        self._save(machine)

    def _save(self, machine: Machine) -> None:
        with self._save_lock:  # or an older picture could be written over a newer one, or over what is forgotten
            launch = self._launches.get(machine.id)
            if launch is not None:
                self._store.save_instance(machine.id, self._record(machine, launch))

    @staticmethod
    def _record(machine: Machine, launch: Launch) -> dict[str, Any]:
        instance = machine.instance
        request = spot_request(instance)
        return {
            "launch": vars(launch),
            "reservation_id": instance.reservation_id,
            "launch_time": instance.launch_time.isoformat(),
            "ended_at": machine.ended_at.isoformat() if machine.ended_at else None,
            "state": machine.state,
            "reason": [instance.state_reason.code, instance.state_reason.message.partition(": ")[2], instance._reason],  # noqa: SLF001
            "tags": tags_on(instance),
            "volumes": {
                device: {"id": block.volume_id, "tags": tags_on(instance.ec2_backend.get_volume(block.volume_id))}
                for device, block in instance.get_block_device_mapping
            },
            "shutdown_behavior": instance.instance_initiated_shutdown_behavior,
            "instance_type": instance.instance_type,
            "spot": request.record() if request else None,
        }  # fmt: skip

    def _restored(self, backend: Any, instance_id: str, record: Mapping[str, Any]) -> Machine:
        launch = Launch(**record["launch"])
        arguments = json.loads(json.dumps(launch.arguments))
        reservation = EC2Backend.run_instances(backend, **arguments)
        instance = reservation.instances[0]
        del backend.reservations[reservation.id]
        kept = backend.reservations.setdefault(record["reservation_id"], reservation)
        if kept is not reservation:
            kept.instances.append(instance)
        kept.id = instance.reservation_id = record["reservation_id"]
        backend.tags.pop(instance.id, None)
        instance.id = instance_id
        instance.launch_time = datetime.fromisoformat(record["launch_time"])
        instance.instance_initiated_shutdown_behavior = record["shutdown_behavior"]
        instance.instance_type = record["instance_type"]
        instance._state.name, instance._state.code = record["state"], STATE_CODES[record["state"]]  # noqa: SLF001
        set_reason(instance, _reason_of(record))
        instance.add_tags(record["tags"])
        _rename_volumes(backend, instance, record["volumes"])
        if record["state"] == "terminated":
            for device in list(instance.block_device_mapping.keys()):
                volume_id = instance.block_device_mapping[device].volume_id
                del instance.block_device_mapping[device]
                del backend.volumes[volume_id]
        elif launch.profile_arn:
            backend.associate_iam_instance_profile(instance_id, iam_instance_profile_arn=launch.profile_arn)
        if record["spot"]:
            terms = SpotTerms(**record["spot"].get("terms", {"price": launch.spot_price}))
            request = add_spot_request(backend, instance, record["spot"]["id"], terms, record["spot"]["tags"])
            request.state = record["spot"]["state"]
            request.set_status(tuple(record["spot"]["status"]))
        self._launches[instance_id] = launch
        machine = Machine(instance, self._host(instance, launch))
        machine.created_at -= self.settings.visible_s
        machine.ended_at = datetime.fromisoformat(record["ended_at"]) if record["ended_at"] else None
        _dress(instance, machine.host.private_ip, launch)
        return machine


def _reason_of(record: Mapping[str, Any]) -> Reason:
    return Reason(*record["reason"])


def tags_on(resource: Any) -> dict[str, str]:
    """Give the tags of a resource of moto's."""
    return {tag["key"]: tag["value"] for tag in resource.get_tags()}


def _rename_volumes(backend: Any, instance: Any, kept: Mapping[str, Any]) -> None:
    for device, block in instance.get_block_device_mapping:
        if device in kept:
            volume = backend.volumes.pop(block.volume_id)
            volume.id = block.volume_id = kept[device]["id"]
            backend.volumes[volume.id] = volume
            volume.add_tags(kept[device]["tags"])


def _dress(instance: Any, private_ip: str, launch: Launch) -> None:
    """Set what moto leaves out or invents: the host's address, no public one, the market, volume performance."""
    for interface in instance.nics.values():
        interface.private_ip_address = private_ip
        interface.private_ip_addresses = [{"Primary": True, "PrivateIpAddress": private_ip}]
        interface.public_ip = None
    instance.client_token = launch.client_token
    performance = {one["DeviceName"]: one["Ebs"] for one in launch.devices}
    for device, block in instance.get_block_device_mapping:
        volume = instance.ec2_backend.get_volume(block.volume_id)
        volume.iops = performance[device].get("Iops") or volume.iops
        volume.initialization_rate = performance[device].get("VolumeInitializationRate")
        volume.throughput = performance[device].get("Throughput") or (125 if volume.volume_type == "gp3" else None)


def _spec(instance: Any, launch: Launch) -> HostSpec:
    kind = INSTANCE_TYPES[instance.instance_type]
    gpus = kind.get("GpuInfo", {}).get("Gpus", [])
    gpu = gpus[0] if gpus else {}
    root = next(one for one in launch.devices if one["DeviceName"] == instance.root_device_name)
    in_metadata = instance.metadata_options.instance_metadata_tags == "enabled"
    return HostSpec(
        instance_id=instance.id,
        instance_type=instance.instance_type,
        image_id=instance.image_id,
        account_id=ACCOUNT_ID,
        region=REGION,
        zone=instance.placement.zone,
        vcpus=kind["VCpuInfo"]["DefaultVCpus"],
        memory_mib=kind["MemoryInfo"]["SizeInMiB"],
        root_gib=root["Ebs"]["VolumeSize"],
        lifecycle=instance.lifecycle or "on-demand",
        user_data=base64.b64decode(launch.user_data) if launch.user_data else None,
        tags_in_metadata=tags_on(instance) if in_metadata else {},
        gpus=gpu.get("Count", 0),
        gpu_name=f"{gpu.get('Manufacturer', '')} {gpu.get('Name', '')}".strip(),
        gpu_memory_mib=gpu.get("MemoryInfo", {}).get("SizeInMiB", 0),
        instance_store_gib=kind.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0),
    )
