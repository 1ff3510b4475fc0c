"""One launch: a request that is checked, placed in a zone that has room for it, and made into machines."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from moto.core.responses import ActionResult
from moto.core.types import Base64EncodedString
from moto.ec2.models import EC2Backend
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES
from moto.ec2.responses._base_response import EC2BaseResponse
from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends

from runctl_jupyter.sandbox.control.access.acting import demand
from runctl_jupyter.sandbox.control.access.ec2_permissions import launch_permissions, wish_of_request
from runctl_jupyter.sandbox.control.ec2 import launch_rules as rules
from runctl_jupyter.sandbox.control.ec2.capacity import no_capacity
from runctl_jupyter.sandbox.control.ec2.fleet import Launch
from runctl_jupyter.sandbox.control.ec2.freshness import hide
from runctl_jupyter.sandbox.control.ec2.launch_rules import invalid_value, refuse
from runctl_jupyter.sandbox.control.ec2.launch_templates import find_template, merge_template, template_tags
from runctl_jupyter.sandbox.control.ec2.spot import SpotRequest, SpotTerms, add_spot_request, serve_spot_request
from runctl_jupyter.sandbox.control.ec2.spot_prices import spot_price
from runctl_jupyter.sandbox.control.ec2.spot_role import require_spot_role
from runctl_jupyter.sandbox.control.iam.account import AccountInventory
from runctl_jupyter.sandbox.control.iam.propagation import Propagation
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID, REGION


@dataclass(frozen=True)
class Checked:
    """A request that EC2 would accept, capacity and quota aside."""

    request: Mapping[str, Any]
    image: Any
    devices: list[dict[str, Any]]
    profile_arn: str | None
    spot: Mapping[str, Any] | None
    """Spot options; None for on-demand."""
    user_data: str | None
    """As it came, in base64."""
    tags: Mapping[str, Mapping[str, str]]

    @property
    def instance_type(self) -> str:
        """Instance type."""
        return str(self.request["InstanceType"])

    @property
    def market(self) -> str:
        """``spot`` or ``on-demand``."""
        return "on-demand" if self.spot is None else "spot"


@dataclass(frozen=True)
class Origin:
    """What a launch says about where it comes from."""

    digest: str
    client_token: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    """AWS's own tags (``aws:…``) of the instances."""


class LaunchActions(EC2BaseResponse):  # type: ignore[misc]
    """RunInstances."""

    inventory: AccountInventory

    def run_instances(self) -> ActionResult:
        """RunInstances: validated, idempotent by ClientToken, real machines."""
        require_machines_here(self.ec2_backend)
        rules.check_client_token(self.params)
        request = copy.deepcopy(dict(self.params))
        origin = Origin(rules.request_digest(request), request.get("ClientToken"))
        if named := request.get("LaunchTemplate"):
            template, version = find_template(self.ec2_backend, named)
            request = merge_template(version.data, request)
            demand(launch_permissions(wish_of_request(request), self.inventory))
            origin = Origin(origin.digest, origin.client_token, template_tags(template, version))
        self.error_on_dryrun()
        with self.ec2_backend.fleet.launch_lock:
            earlier = self._launched_before(origin)
            return ActionResult(earlier if earlier is not None else launch(self.ec2_backend, request, origin))

    def _launched_before(self, origin: Origin) -> Any:
        """Give the reservation that the same token made; refuses a token whose parameters changed."""
        token = origin.client_token
        known = self.ec2_backend.fleet.launched_with(token) if token else []
        if not known:
            return None
        machine, earlier = known[0]
        if earlier.digest != origin.digest:
            raise rules.token_mismatch()
        return self.ec2_backend.reservations[machine.instance.reservation_id]


def require_machines_here(backend: Any) -> None:
    """Refuse to launch in a region in which the sandbox has no machines."""
    if backend.region_name != REGION:
        raise refuse(
            "UnsupportedOperation",
            f"The sandbox has machines only in {REGION}, not in {backend.region_name}. Launch there.",
        )


def launch(backend: Any, request: dict[str, Any], origin: Origin) -> Any:
    """Launch `MinCount` to `MaxCount` instances; gives their reservation. Call it with the fleet's launch lock.

    Raises
    ------
    EC2ClientError, ServiceError
        EC2 refuses; nothing was launched.
    """
    rules.check_counts(request)
    checked = check(backend, request)
    if checked.spot is not None:
        require_spot_role()
    zones = _zones(backend, checked)
    count = _count_within_limit(backend, checked)
    return _make(backend, checked, origin, _place(backend, checked, zones), count)


def check(backend: Any, request: dict[str, Any]) -> Checked:
    """Refuse what EC2 refuses in a request."""
    if "ImageId" not in request:
        raise refuse("MissingParameter", "The request must contain the parameter ImageId")
    rules.check_combinations(request)
    spot = rules.check_spot(request)
    rules.check_tags(request, spot=spot is not None)
    rules.check_metadata_options(request)
    user_data = rules.check_user_data(request)
    image = backend.image(request["ImageId"])
    _check_type(request.setdefault("InstanceType", "m1.small"), image)
    return Checked(
        request=request,
        image=image,
        devices=rules.block_devices(request, image),
        profile_arn=_profile_arn(request, backend.propagation),
        spot=spot,
        user_data=request["UserData"] if user_data is not None else None,
        tags=rules.tags_of(request),
    )


def offered_zones(instance_type: str) -> set[str]:
    """Zones in which a type can be had at all."""
    offers = INSTANCE_TYPE_OFFERINGS["availability-zone"][REGION]
    return {offer["Location"] for offer in offers if offer["InstanceType"] == instance_type}


def _asked_subnet(request: Mapping[str, Any]) -> str | None:
    asked: str | None = request.get("SubnetId") or (request.get("NetworkInterfaces") or [{}])[0].get("SubnetId")
    return asked


def zone_of(backend: Any, request: Mapping[str, Any]) -> str | None:
    """Zone that a request asks for, by its subnet or by name."""
    if asked := _asked_subnet(request):
        return str(backend.get_subnet(asked).availability_zone)
    zone = (request.get("Placement") or {}).get("AvailabilityZone")
    return str(zone) if zone else None


def _zones(backend: Any, checked: Checked) -> Sequence[str]:
    """Zones that come into question: the one asked for, or all that offer the type and have a default subnet."""
    kind, zone = checked.instance_type, zone_of(backend, checked.request)
    offered, defaults = offered_zones(kind), backend.get_default_subnets()
    if zone and zone not in defaults and not _asked_subnet(checked.request):
        raise invalid_value(f"Invalid availability zone: [{zone}]")
    candidates = [zone] if zone else sorted(offered & set(defaults))
    if not set(candidates) & offered:
        raise refuse(
            "Unsupported",
            f"Your requested instance type ({kind}) is not supported in your requested Availability Zone ({zone}). "
            "Please retry your request by not specifying an Availability Zone or choosing "
            f"{', '.join(sorted(offered)) or 'another region'}.",
        )
    return candidates


def _place(backend: Any, checked: Checked, zones: Sequence[str]) -> str:
    """Subnet of the launch, in the first of `zones` that has room for it at the price."""
    asked = _asked_subnet(checked.request)
    most = (checked.spot or {}).get("MaxPrice")
    cheap_enough = within_price(checked.instance_type, zones, most)
    zone = backend.capacity.choose(checked.instance_type, cheap_enough, checked.market)
    if zone is not None:
        return str(asked or backend.get_default_subnets()[zone].id)
    named = zone_of(backend, checked.request)
    raise no_capacity(checked.instance_type, checked.market, named, offered_zones(checked.instance_type))


def within_price(instance_type: str, zones: Sequence[str], most: str | None) -> Sequence[str]:
    """Give the zones whose Spot price is no higher than the request says."""
    if most is None:
        return zones
    prices = {zone: spot_price(instance_type, zone) for zone in zones}
    lowest = min(prices.values())
    if float(most) < lowest:
        raise refuse(
            "SpotMaxPriceTooLow",
            f"Your Spot request price of {most} is lower than the minimum required Spot request fulfillment price of "
            f"{lowest}.",
        )
    return [zone for zone, price in prices.items() if price <= float(most)]


def _count_within_limit(backend: Any, checked: Checked) -> int:
    """Give how many are launched: within the account's quota and what this computer can carry."""
    fleet, request = backend.fleet, checked.request
    limit = fleet.settings.max_instances
    least, most = int(request["MinCount"]), int(request["MaxCount"])
    backend.quotas.check(checked.instance_type, checked.market, least)
    room = backend.quotas.room(checked.instance_type, checked.market)
    most = most if room is None else min(most, room)
    left = limit - len(fleet.machines.live())
    if least > left:
        if checked.spot is not None:
            raise refuse("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
        raise refuse(
            "InstanceLimitExceeded",
            f"You have requested more instances ({least + limit - left}) than your current instance limit "
            f"of {limit} allows for the specified instance type. Please visit "
            "http://aws.amazon.com/contact-us/ec2-request to "
            "request an adjustment to this limit.",
        )
    return int(min(most, left))


def _make(backend: Any, checked: Checked, origin: Origin, subnet_id: str, count: int) -> Any:
    request, tags, fleet = checked.request, checked.tags, backend.fleet
    arguments = {
        "image_id": checked.image.id,
        "count": 1,
        "user_data": None,
        "security_group_names": request.get("SecurityGroups", []),
        "instance_type": checked.instance_type,
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
        "block_device_mappings": checked.devices,
        "launch_template": {},
    }
    launched = Launch(
        arguments=arguments,
        client_token=origin.client_token,
        digest=origin.digest,
        profile_arn=checked.profile_arn,
        devices=checked.devices,
        user_data=checked.user_data,
        spot_terms=None if checked.spot is None else asdict(SpotTerms.of(checked.spot)),
        tags={**tags, "instance": {**tags.get("instance", {}), **origin.tags}},
    )
    reservation, machines = None, []
    for index in range(count):
        instance = build(backend, launched)
        instance.ami_launch_index = index
        made = backend.reservations[instance.reservation_id]
        if reservation is None:
            reservation = made
        else:
            del backend.reservations[made.id]
            reservation.instances.append(instance)
        instance.reservation_id = reservation.id
        machines.append(fleet.create(instance, launched))
    for machine in machines:
        zone = machine.instance.placement.zone
        fleet.machines.boot(machine, backend.capacity.fate(checked.instance_type, zone, checked.market))
    return reservation


def build(backend: Any, launched: Launch, request: SpotRequest | None = None) -> Any:
    """Let moto make an instance, with the tags and the Spot request that moto leaves out.

    Parameters
    ----------
    request
        The Spot request that it serves, if there is one already.
    """
    reservation = EC2Backend.run_instances(backend, **copy.deepcopy(launched.arguments))
    instance = reservation.instances[0]
    instance.reservation_id = reservation.id
    try:
        _furnish(backend, instance, launched)
    except Exception:
        instance.terminate()
        del backend.reservations[reservation.id]
        raise
    if request is not None:
        serve_spot_request(instance, request)
    elif launched.terms is not None:
        request_id, request_tags = f"sir-{secrets.token_hex(4)}", launched.tags.get("spot-instances-request", {})
        made = add_spot_request(backend, instance, request_id, launched.terms, request_tags)
        hide(made, backend.fleet.settings.visible_s)
    return instance


def _furnish(backend: Any, instance: Any, launched: Launch) -> None:
    tags = launched.tags
    instance.user_data = Base64EncodedString(launched.user_data) if launched.user_data else None
    instance.add_tags(dict(tags.get("instance", {})))
    for interface in instance.nics.values():
        if not launched.arguments["nics"]:
            interface.delete_on_termination = True  # what EC2 makes for a launch ends with the instance
        interface.add_tags(dict(tags.get("network-interface", {})))
    if launched.profile_arn:
        backend.associate_iam_instance_profile(instance.id, iam_instance_profile_arn=launched.profile_arn)


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


def _profile_arn(request: Mapping[str, Any], propagation: Propagation) -> str | None:
    """ARN of the instance profile asked for; refuses one that EC2 cannot use."""
    asked = request.get("IamInstanceProfile") or {}
    if not asked:
        return None
    kind = "name" if "Name" in asked else "arn"
    value = str(asked.get("Name") or asked.get("Arn"))
    complaint = f"Value ({value}) for parameter iamInstanceProfile.{kind} is invalid. "
    unknown = invalid_value(f"{complaint}Invalid IAM Instance Profile {'name' if kind == 'name' else 'ARN'}")
    try:
        profile = iam_backends[ACCOUNT_ID]["aws"].get_instance_profile(value.rpartition("/")[2])
    except NotFoundException as error:
        raise unknown from error
    if not propagation.arrived(profile.name):
        raise unknown
    if not profile.roles:
        raise invalid_value(f'{complaint}IAM Instance Profile "{profile.arn}" has no associated IAM Roles')
    return str(profile.arn)
