"""moto's EC2 backend with instances that are real, take time, and refuse what EC2 refuses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from moto.ec2.exceptions import InvalidLaunchTemplateIdNotFound, InvalidLaunchTemplateNameNotFoundWithNameError
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, filter_dict_attribute_mapping, get_prefix

from runctl_jupyter.sandbox.control.ec2 import spot
from runctl_jupyter.sandbox.control.ec2.capacity import CODE as CAPACITY_CODE
from runctl_jupyter.sandbox.control.ec2.capacity import Capacity
from runctl_jupyter.sandbox.control.ec2.fleet import Fleet
from runctl_jupyter.sandbox.control.ec2.freshness import is_fresh
from runctl_jupyter.sandbox.control.ec2.images import IMAGES, SandboxAmi
from runctl_jupyter.sandbox.control.ec2.launch_rules import invalid_value, refuse
from runctl_jupyter.sandbox.control.ec2.machines import Machine, user_initiated
from runctl_jupyter.sandbox.control.ec2.quotas import Quotas
from runctl_jupyter.sandbox.control.ec2.spot import SpotRequest, spot_request
from runctl_jupyter.sandbox.control.ec2.volumes import VolumesBackend
from runctl_jupyter.sandbox.control.iam.propagation import Propagation
from runctl_jupyter.sandbox.control.requests.protocol_errors import ServiceError
from runctl_jupyter.sandbox.control.requests.regions import ENABLED
from runctl_jupyter.sandbox.control.settings import REGION

if TYPE_CHECKING:
    from runctl_jupyter.sandbox.control.ec2.launch_journal import LaunchJournal

_INSTANCE_ID = re.compile(r"i-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_IMAGE_ID = re.compile(r"ami-(?:[0-9a-f]{8}|[0-9a-f]{17})")

# Filters of DescribeInstances that moto lacks and whose attributes our instances have.
filter_dict_attribute_mapping.update(
    {
        "client-token": "client_token",
        "instance-lifecycle": "lifecycle",
        "reservation-id": "reservation_id",
        "spot-instance-request-id": "spot_instance_request_id",
        "root-device-name": "root_device_name",
    }
)


def check_instance_ids(instance_ids: Sequence[str]) -> None:
    """Refuse ids that cannot be instance ids."""
    for instance_id in instance_ids:
        if not _INSTANCE_ID.fullmatch(instance_id):
            raise refuse("InvalidInstanceID.Malformed", f'Invalid id: "{instance_id}"')


def _not_found(instance_ids: Sequence[str]) -> Exception:
    if len(instance_ids) == 1:
        text = f"The instance ID '{instance_ids[0]}' does not exist"
    else:
        text = f"The instance IDs '{', '.join(instance_ids)}' do not exist"
    found: Exception = refuse("InvalidInstanceID.NotFound", text)
    return found


def _not_in_state(machine: Machine, action: str) -> Exception:
    refused: Exception = refuse(
        "IncorrectSpotRequestState",
        f"You can't {action} the Spot Instance '{machine.id}' because the associated Spot Instance request is not in "
        f"an appropriate state to support {action}.",
    )
    return refused


def _pool(machine: Machine) -> tuple[str, str, str]:
    """Type, zone and market of an instance."""
    instance = machine.instance
    return str(instance.instance_type), str(instance.placement.zone), machine.market


class SandboxEC2Backend(VolumesBackend):
    """EC2 of one region. moto makes it at the first request; `fleet` is set before that."""

    __module__ = "moto.ec2.models"  # moto derives the service and its URLs from the module's name
    fleet: ClassVar[Fleet]
    capacity: ClassVar[Capacity]
    quotas: ClassVar[Quotas]
    propagation: ClassVar[Propagation]

    def __init__(self, region_name: str, account_id: str) -> None:
        self.template_tokens: dict[str, tuple[str, str]] = {}
        """Client tokens of CreateLaunchTemplate: digest of the request and id of the template."""
        self.journal: LaunchJournal | None = None
        """Keeps templates and fleets on disk; those of other regions end with the sandbox."""
        super().__init__(region_name, account_id)

    def keep_templates(self) -> None:
        """Keep launch templates on disk, after a change."""
        if self.journal is not None:
            self.journal.save_templates()

    def keep_fleets(self) -> None:
        """Keep fleets on disk, after a change."""
        if self.journal is not None:
            self.journal.save_fleets()

    def _load_amis(self) -> None:
        if self.region_name == REGION:
            self.amis.update({image.image_id: SandboxAmi(self, image) for image in IMAGES})

    def image(self, image_id: str) -> SandboxAmi:
        """Give an image; refuses ids that are malformed or unknown."""
        if not _IMAGE_ID.fullmatch(image_id):
            raise refuse("InvalidAMIID.Malformed", f'Invalid id: "{image_id}" (expecting "ami-...")')
        if image_id not in self.amis:
            raise refuse("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
        found: SandboxAmi = self.amis[image_id]
        return found

    def machines_of(self, instance_ids: Sequence[str]) -> list[Machine]:
        """Give the machines of ids; one that is malformed, unknown or too fresh to be known refuses them all."""
        check_instance_ids(instance_ids)
        # Machines are in one region; in the others their ids are unknown.
        here = self.region_name == REGION
        found = [self.fleet.machines.find(one) if here else None for one in instance_ids]
        missing = [one for one, machine in zip(instance_ids, found, strict=True) if machine is None]
        if missing:
            raise _not_found(missing)
        self.refuse_fresh(instance_ids)
        return [machine for machine in found if machine is not None]

    def refuse_fresh(self, instance_ids: Sequence[str]) -> None:
        """Refuse ids that are so new that other calls do not know them yet (eventual consistency)."""
        unseen = [one for one in instance_ids if not self.fleet.machines.visible(one)]
        if unseen:
            raise _not_found(unseen)

    def get_reservations_by_instance_ids(self, instance_ids: list[str], filters: Any = None) -> Any:
        """DescribeInstances by id."""
        self.machines_of(instance_ids)
        return super().get_reservations_by_instance_ids(list(dict.fromkeys(instance_ids)), filters)

    def all_reservations(self, filters: Any = None) -> Any:
        """DescribeInstances: moto's unknown filters are EC2's invalid ones."""
        if self.region_name == REGION:
            self.fleet.drop_ended(self)
        try:
            return super().all_reservations(filters)
        except NotImplementedError as error:
            names = [name for name in filters or {} if f"'{name}'" in str(error)]
            raise invalid_value(f"The filter '{names[0] if names else ''}' is invalid") from error

    def start_machines(self, instance_ids: Sequence[str]) -> list[tuple[Machine, str]]:
        """Start stopped instances; gives each with the state it had."""
        machines = self.machines_of(instance_ids)
        for machine in machines:
            if machine.state in ("stopping", "shutting-down", "terminated"):
                raise refuse(
                    "IncorrectInstanceState",
                    f"The instance '{machine.id}' is not in a state from which it can be started.",
                )
            request = spot_request(machine.instance)
            if request is not None and machine.state == "stopped" and request.state != "disabled":
                raise _not_in_state(machine, "start")  # only EC2 starts what an interruption has stopped
        before = [(machine, machine.state) for machine in machines]
        pools = {machine.id: _pool(machine) for machine, state in before if state == "stopped"}
        for (kind, market), count in Counter((kind, market) for kind, _, market in pools.values()).items():
            self.quotas.check(kind, market, count)
        if any(self.capacity.refuses(*pool) for pool in pools.values()):
            raise ServiceError(CAPACITY_CODE, "Insufficient capacity.", 500)
        for machine, _ in before:
            if machine.id in pools:
                self.fleet.machines.start(machine, self.capacity.fate(*pools[machine.id]))
        return before

    def stop_machines(self, instance_ids: Sequence[str]) -> list[tuple[Machine, str]]:
        """Stop running instances; gives each with the state it had."""
        machines = self.machines_of(instance_ids)
        for machine in machines:
            if machine.state in ("pending", "shutting-down", "terminated"):
                raise refuse(
                    "IncorrectInstanceState",
                    f"The instance '{machine.id}' is not in a state from which it can be stopped.",
                )
            if not machine.stoppable:
                raise refuse(
                    "UnsupportedOperation",
                    f"You can't stop the Spot Instance '{machine.id}' because it is associated with a one-time Spot "
                    "Instance request. You can only stop Spot Instances associated with persistent Spot Instance "
                    "requests.",
                )
            request = spot_request(machine.instance)
            if request is not None and machine.state == "running" and request.state != "active":
                raise _not_in_state(machine, "stop")
        before = []
        for machine in machines:
            was_running = self.fleet.machines.stop(machine, user_initiated())
            before.append((machine, "running" if was_running else machine.state))
        return before

    def terminate_machines(self, instance_ids: Sequence[str]) -> list[tuple[Machine, str]]:
        """Terminate instances in any state; gives each with the state it had."""
        return self.end_machines(self.machines_of(instance_ids))

    def end_machines(self, machines: Sequence[Machine]) -> list[tuple[Machine, str]]:
        """Terminate machines; one that is protected refuses them all."""
        for machine in machines:
            if machine.instance.disable_api_termination is True:
                raise refuse(
                    "OperationNotPermitted",
                    f"The instance '{machine.id}' may not be terminated. Modify its 'disableApiTermination' instance "
                    "attribute and try again.",
                )
        before = [(machine, machine.state) for machine in machines]
        for machine, state in before:
            if state not in ("shutting-down", "terminated"):
                request = spot_request(machine.instance)
                if request is not None and not request.persistent:
                    request.close(spot.BY_USER)
                self.fleet.machines.terminate(machine, user_initiated())
        return before

    def spot_request_of(self, request_id: str) -> SpotRequest:
        """Give a Spot request; refuses ids that are unknown or too fresh to be known."""
        request: SpotRequest | None = self.spot_instance_requests.get(request_id)
        if request is None or is_fresh(request):
            raise refuse(
                "InvalidSpotInstanceRequestID.NotFound", f"The spot instance request ID '{request_id}' does not exist"
            )
        return request

    def get_launch_template(self, template_id: str) -> Any:
        """Give a launch template; refuses ids that are unknown or too fresh to be known."""
        template = super().get_launch_template(template_id)
        if is_fresh(template):
            raise InvalidLaunchTemplateIdNotFound(template_id)
        return template

    def forget_template(self, template_id: str) -> None:
        """Forget what hung on a template that is deleted: its tags, and the tokens that made it."""
        self.tags.pop(template_id, None)
        self.launch_template_insert_order.remove(template_id)
        for token in [token for token, (_, made) in list(self.template_tokens.items()) if made == template_id]:
            del self.template_tokens[token]

    def get_launch_template_by_name(self, name: str) -> Any:
        """Give a launch template by its name, which is as fresh as its id."""
        try:
            return super().get_launch_template_by_name(name)
        except InvalidLaunchTemplateIdNotFound as error:
            raise InvalidLaunchTemplateNameNotFoundWithNameError(name) from error

    def cancel_spot_instance_requests(self, request_ids: list[str]) -> list[Any]:
        """Cancel Spot requests: their running instances go on, stopped ones are terminated (EC2 User Guide)."""
        requests = [self.spot_request_of(one) for one in request_ids]
        for request in requests:
            machine = self.fleet.machines.find(request.instance_id)
            state = machine.state if machine is not None else "terminated"
            request.cancel(running=state in ("pending", "running"))
            if machine is not None and state in ("stopping", "stopped"):
                self.fleet.machines.terminate(machine, user_initiated())
            self.fleet.save(request.instance_id)
        return requests

    def describe_tags(self, filters: dict[str, list[str]] | None = None) -> list[dict[str, str]]:
        """DescribeTags; those of one resource without a look at all tags of the account, as each resource asks."""
        ids = (filters or {}).get("resource-id", [])
        if filters is None or len(filters) != 1 or len(ids) != 1 or "*" in ids[0] or "?" in ids[0]:
            found: list[dict[str, str]] = super().describe_tags(filters)
            return found
        kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(ids[0]), "")
        return [
            {"resource_id": ids[0], "key": key, "value": value, "resource_type": kind}
            for key, value in list(self.tags.get(ids[0], {}).items())
        ]

    def describe_regions(self, region_names: list[str] | None = None) -> list[Any]:
        """DescribeRegions: those that the account has enabled, as without ``AllRegions``."""
        return [region for region in super().describe_regions(region_names) if region.name in ENABLED]

    def create_tags(self, resource_ids: list[str], tags: dict[str, str]) -> bool:
        """Tag resources and keep the tags of instances on disk."""
        done = super().create_tags(resource_ids, tags)
        for resource_id in resource_ids:
            self.fleet.save(resource_id)
        return bool(done)

    def modify_instance_attribute(self, instance_id: str, key: str, value: Any) -> Any:
        """Change an attribute; the type only of a stopped instance, the shutdown behaviour at any time."""
        self.refuse_fresh([instance_id])
        machine = self.fleet.machines.find(instance_id)
        if machine is not None and key in ("instance_type", "user_data") and machine.state != "stopped":
            raise refuse("IncorrectInstanceState", f"The instance '{instance_id}' is not in the 'stopped' state.")
        if machine is not None and machine.market == "spot" and key in ("instance_type", "disable_api_termination"):
            raise refuse("UnsupportedOperation", f"The {key} of the Spot Instance '{instance_id}' cannot be changed.")
        changed = super().modify_instance_attribute(instance_id, key, value)
        self.fleet.save(instance_id)
        return changed

    def modify_instance_security_groups(self, instance_id: str, new_group_id_list: list[str]) -> None:
        """Change the security groups, which is ModifyInstanceAttribute as well."""
        self.refuse_fresh([instance_id])
        super().modify_instance_security_groups(instance_id, new_group_id_list)
