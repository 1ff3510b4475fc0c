"""EC2's actions on instances, as the API answers them."""

from __future__ import annotations

import copy
import hashlib
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.core.types import Base64EncodedString
from moto.ec2.models import EC2Backend
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES
from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends

from runctl_jupyter.sandbox.control import launch_rules as rules
from runctl_jupyter.sandbox.control.ec2_pages import PagedLists
from runctl_jupyter.sandbox.control.fleet import Launch, add_spot_request
from runctl_jupyter.sandbox.control.launch_rules import invalid_value, refuse
from runctl_jupyter.sandbox.control.machines import STATE_CODES, Machine
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID, REGION


class SandboxEC2Response(PagedLists):
    """Actions whose moto version does not do what EC2 does."""

    def run_instances(self) -> ActionResult:
        """RunInstances: validated, idempotent by ClientToken, real machines."""
        self.error_on_dryrun()
        request = copy.deepcopy(dict(self.params))
        with self.ec2_backend.fleet.launch_lock:
            earlier = self._launched_before(request)
            return ActionResult(earlier if earlier is not None else self._launch(request))

    def _launched_before(self, request: Mapping[str, Any]) -> Any:
        """Give the reservation that the same token made; refuses a token whose parameters changed."""
        token = request.get("ClientToken")
        known = self.ec2_backend.fleet.launched_with(token) if token else []
        if not known:
            return None
        machine, launch = known[0]
        if launch.digest != _digest(request):
            raise refuse(
                "IdempotentParameterMismatch",
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
            )
        return self.ec2_backend.reservations[machine.instance.reservation_id]

    def _launch(self, request: dict[str, Any]) -> Any:
        backend, fleet = self.ec2_backend, self.ec2_backend.fleet
        if request.get("LaunchTemplate"):
            raise NotImplementedError("RunInstances with a launch template")
        if "ImageId" not in request:
            raise refuse("MissingParameter", "The request must contain the parameter ImageId")
        rules.check_counts(request)
        rules.check_combinations(request)
        spot = rules.check_spot(request)
        rules.check_tags(request, spot=spot is not None)
        rules.check_metadata_options(request)
        user_data = rules.check_user_data(request)
        image = backend.image(request["ImageId"])
        self._check_type(request.setdefault("InstanceType", "m1.small"), image)
        devices = rules.block_devices(request, image)
        profile_arn = _profile_arn(request)
        subnet_id = self._subnet(request)
        count = self._count_within_limit(request, spot=spot is not None)

        tags = rules.tags_of(request)
        arguments = {
            "image_id": image.id,
            "count": 1,
            "user_data": None,
            "security_group_names": request.get("SecurityGroups", []),
            "instance_type": request["InstanceType"],
            "is_instance_type_default": False,
            "placement": None,
            "region_name": REGION,
            "subnet_id": None if request.get("NetworkInterfaces") else subnet_id,
            "key_name": request.get("KeyName"),
            "security_group_ids": request.get("SecurityGroupIds", []),
            "nics": request.get("NetworkInterfaces", []),
            "associate_public_ip": False,
            "tags": {"volume": tags.get("volume", {})},
            "instance_initiated_shutdown_behavior": request.get("InstanceInitiatedShutdownBehavior", "stop"),
            "disable_api_termination": request.get("DisableApiTermination", False),
            "metadata_options": request.get("MetadataOptions", {}),
            "block_device_mappings": devices,
            "launch_template": {},
        }
        launch = Launch(
            arguments=arguments,
            client_token=request.get("ClientToken"),
            digest=_digest(request),
            profile_arn=profile_arn,
            devices=devices,
            user_data=request["UserData"] if user_data is not None else None,
            spot_price=(spot or {}).get("MaxPrice"),
        )
        reservation, machines = None, []
        for index in range(count):
            made = EC2Backend.run_instances(backend, **copy.deepcopy(arguments))
            instance = made.instances[0]
            instance.ami_launch_index = index
            if reservation is None:
                reservation = made
            else:
                del backend.reservations[made.id]
                reservation.instances.append(instance)
            instance.reservation_id = reservation.id
            instance.user_data = Base64EncodedString(launch.user_data) if launch.user_data else None
            instance.add_tags(tags.get("instance", {}))
            if spot is not None:
                request_id = f"sir-{secrets.token_hex(4)}"
                add_spot_request(
                    backend, instance, request_id, launch.spot_price, tags.get("spot-instances-request", {})
                )
            if profile_arn:
                backend.associate_iam_instance_profile(instance.id, iam_instance_profile_arn=profile_arn)
            machines.append(fleet.create(instance, launch))
        for machine in machines:
            fleet.machines.boot(machine)
        return reservation

    @staticmethod
    def _check_type(name: str, image: Any) -> None:
        if name not in INSTANCE_TYPES:
            raise invalid_value(f"Invalid value '{name}' for InstanceType.")
        architectures = INSTANCE_TYPES[name]["ProcessorInfo"]["SupportedArchitectures"]
        if image.architecture not in architectures:
            raise invalid_value(
                f"The architecture '{','.join(architectures)}' of the specified instance type does not match the "
                f"architecture '{image.architecture}' of the specified AMI. Specify an instance type and an AMI that "
                "have matching architectures, and try again. You can use 'describe-instance-types' or "
                "'describe-images' to discover the architecture of the instance type or AMI."
            )

    def _subnet(self, request: Mapping[str, Any]) -> str:
        """Subnet of the launch: the one asked for, or the default one of a zone that offers the type."""
        backend, kind = self.ec2_backend, request["InstanceType"]
        offered = {
            offer["Location"]
            for offer in INSTANCE_TYPE_OFFERINGS["availability-zone"][REGION]
            if offer["InstanceType"] == kind
        }
        interfaces = request.get("NetworkInterfaces") or [{}]
        asked = request.get("SubnetId") or interfaces[0].get("SubnetId")
        defaults = backend.get_default_subnets()
        zone = (request.get("Placement") or {}).get("AvailabilityZone")
        if asked:
            zone = backend.get_subnet(asked).availability_zone
        elif zone and zone not in defaults:
            raise invalid_value(f"Invalid availability zone: [{zone}]")
        zone = zone or min(offered & set(defaults), default=None)
        if zone not in offered:
            raise refuse(
                "Unsupported",
                f"Your requested instance type ({kind}) is not supported in your requested Availability Zone ({zone}). "
                "Please retry your request by not specifying an Availability Zone or choosing "
                f"{', '.join(sorted(offered)) or 'another region'}.",
            )
        return str(asked or defaults[zone].id)

    def _count_within_limit(self, request: Mapping[str, Any], *, spot: bool) -> int:
        fleet = self.ec2_backend.fleet
        limit = fleet.settings.max_instances
        least, most = int(request["MinCount"]), int(request["MaxCount"])
        left = limit - len(fleet.machines.live())
        if least > left:
            if spot:
                raise refuse("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
            raise refuse(
                "InstanceLimitExceeded",
                f"You have requested more instances ({least + limit - left}) than your current instance limit "
                f"of {limit} allows for the specified instance type. Please visit "
                "http://aws.amazon.com/contact-us/ec2-request to "
                "request an adjustment to this limit.",
            )
        return int(min(most, left))

    def describe_instances(self) -> ActionResult:
        """DescribeInstances, with EC2's range of MaxResults."""
        most = self._get_param("MaxResults")
        if most is not None and not 5 <= int(most) <= 1000:
            raise invalid_value(f"Value ( {most} ) for parameter maxResults is invalid. Expecting a value in 5-1000.")
        return super().describe_instances()

    def start_instances(self) -> ActionResult:
        """StartInstances."""
        self.error_on_dryrun()
        return self._changes("StartingInstances", self.ec2_backend.start_machines(self._get_param("InstanceIds", [])))

    def stop_instances(self) -> ActionResult:
        """StopInstances."""
        self.error_on_dryrun()
        return self._changes("StoppingInstances", self.ec2_backend.stop_machines(self._get_param("InstanceIds", [])))

    def terminate_instances(self) -> ActionResult:
        """TerminateInstances."""
        self.error_on_dryrun()
        changes = self.ec2_backend.terminate_machines(self._get_param("InstanceIds", []))
        return self._changes("TerminatingInstances", changes)

    def reboot_instances(self) -> ActionResult:
        """RebootInstances."""
        self.error_on_dryrun()
        for machine in self.ec2_backend.machines_of(self._get_param("InstanceIds", [])):
            if machine.state != "running":
                raise refuse("IncorrectInstanceState", f"The instance '{machine.id}' is not in the 'running' state.")
            self.ec2_backend.fleet.machines.reboot(machine)
        return EmptyResult()

    @staticmethod
    def _changes(name: str, changes: list[tuple[Machine, str]]) -> ActionResult:
        def word(state: str) -> dict[str, Any]:
            return {"Name": state, "Code": STATE_CODES[state]}

        return ActionResult({name: [
            {"InstanceId": machine.id, "PreviousState": word(before), "CurrentState": word(machine.state)}
            for machine, before in changes
        ]})  # fmt: skip

    def get_console_output(self) -> ActionResult:
        """GetConsoleOutput: what the machine really wrote."""
        (machine,) = self.ec2_backend.machines_of([self._get_param("InstanceId")])
        output = machine.host.console_output().decode("utf-8", "replace")
        return ActionResult({
            "InstanceId": machine.id,
            "Timestamp": datetime.now(UTC),
            "Output": Base64EncodedString.from_raw_string(output),
        })  # fmt: skip

    def request_spot_instances(self) -> ActionResult:
        """Launch by RequestSpotInstances, which would make instances without machines."""
        raise NotImplementedError("RequestSpotInstances")

    def request_spot_fleet(self) -> ActionResult:
        """Launch by RequestSpotFleet, which would make instances without machines."""
        raise NotImplementedError("RequestSpotFleet")

    def create_fleet(self) -> ActionResult:
        """Launch by CreateFleet, which would make instances without machines."""
        raise NotImplementedError("CreateFleet")


def _digest(request: Mapping[str, Any]) -> str:
    relevant = {name: value for name, value in request.items() if name not in ("ClientToken", "DryRun", "Action")}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True, default=str).encode()).hexdigest()


def _profile_arn(request: Mapping[str, Any]) -> str | None:
    """ARN of the instance profile asked for; refuses one that EC2 cannot use."""
    asked = request.get("IamInstanceProfile") or {}
    if not asked:
        return None
    kind = "name" if "Name" in asked else "arn"
    value = str(asked.get("Name") or asked.get("Arn"))
    complaint = f"Value ({value}) for parameter iamInstanceProfile.{kind} is invalid. "
    try:
        profile = iam_backends[ACCOUNT_ID]["aws"].get_instance_profile(value.rpartition("/")[2])
    except NotFoundException as error:
        words = "Name" if kind == "name" else "ARN"
        raise invalid_value(f"{complaint}Invalid IAM Instance Profile {words}") from error
    if not profile.roles:
        raise invalid_value(f'{complaint}IAM Instance Profile "{profile.arn}" has no associated IAM Roles')
    return str(profile.arn)
