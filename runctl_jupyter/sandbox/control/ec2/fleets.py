"""EC2 Fleet of type ``instant``: one synchronous attempt over several pools, which may succeed in part.

A pool is an instance type in a zone, in one market. Sources: EC2 API reference (CreateFleet, DescribeFleets,
DeleteFleets), EC2 User Guide ("EC2 Fleet request types", "Allocation strategies"). That at most three pools are tried
and the others answer ``UnfulfillableCapacity`` was measured by others on AWS (2026-10).
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.responses._base_response import EC2BaseResponse
from moto.ec2.utils import random_fleet_id

from runctl_jupyter.sandbox.control.access.acting import demand
from runctl_jupyter.sandbox.control.access.ec2_permissions import launch_permissions, wish_of_request
from runctl_jupyter.sandbox.control.ec2 import launch_rules as rules
from runctl_jupyter.sandbox.control.ec2.fleet_rules import check_fleet, targets_of
from runctl_jupyter.sandbox.control.ec2.launch_rules import refuse
from runctl_jupyter.sandbox.control.ec2.launch_templates import find_template, merge_template, template_tags
from runctl_jupyter.sandbox.control.ec2.launching import Origin, launch, offered_zones, require_machines_here, zone_of
from runctl_jupyter.sandbox.control.ec2.paging import page
from runctl_jupyter.sandbox.control.ec2.spot_prices import on_demand_price, spot_price
from runctl_jupyter.sandbox.control.iam.account import AccountInventory
from runctl_jupyter.sandbox.control.requests.protocol_errors import ServiceError

log = logging.getLogger(__name__)

POOLS_TRIED = 3
_FLEET_ID = re.compile(r"fleet-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UNTRIED = (
    "UnfulfillableCapacity",
    "Unable to fulfill capacity due to your request configuration. Please adjust your request and try again.",
)


@dataclass(frozen=True)
class Pool:
    """One override: what would be launched, in which market, and how it is named in the answer."""

    market: str
    request: dict[str, Any]
    template: Any
    version: Any
    overrides: Mapping[str, Any]
    zone: str | None

    @property
    def instance_type(self) -> str:
        """Instance type; empty when neither template nor override has one."""
        return str(self.request.get("InstanceType", ""))

    @property
    def zones(self) -> list[str]:
        """The pool's zone; without one, all that offer its type."""
        return [self.zone] if self.zone else sorted(offered_zones(self.instance_type))

    @property
    def price(self) -> float:
        """Dollars per hour now, in the pool's cheapest zone."""
        if self.market == "on-demand":
            return on_demand_price(self.instance_type)
        return min((spot_price(self.instance_type, zone) for zone in self.zones), default=float("inf"))

    def named(self) -> dict[str, Any]:
        """Give ``LaunchTemplateAndOverrides`` of the answer."""
        return {
            "LaunchTemplateSpecification": {
                "LaunchTemplateId": self.template.id, "Version": str(self.version.number),
            },
            "Overrides": {**self.overrides, "InstanceType": self.instance_type},
        }  # fmt: skip


class InstantFleet(TaggedEC2Resource):  # type: ignore[misc]
    """What is kept of a fleet."""

    __module__ = "moto.ec2.models.fleets"  # moto derives the service from the module's name

    def __init__(self, backend: Any, fleet_id: str, digest: str, request: Mapping[str, Any]) -> None:
        self.ec2_backend = backend
        self.id = fleet_id
        self.digest = digest
        self.client_token = request.get("ClientToken")
        self.request = request
        self.create_time = datetime.now(UTC)
        self.state = "active"
        self.instances: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []

    @property
    def instance_ids(self) -> list[str]:
        """Ids of all that was launched."""
        return [one for group in self.instances for one in group["InstanceIds"]]

    def answer(self) -> dict[str, Any]:
        """Give what CreateFleet answers."""
        return {"FleetId": self.id, "Instances": self.instances, "Errors": self.errors}

    def shown(self) -> dict[str, Any]:
        """Give what DescribeFleets shows."""
        counts = {market: sum(len(one["InstanceIds"]) for one in self.instances if one["Lifecycle"] == market)
                  for market in ("on-demand", "spot")}  # fmt: skip
        targets = targets_of(self.request)
        return {
            "FleetId": self.id,
            "FleetState": self.state,
            "ActivityStatus": "fulfilled" if sum(counts.values()) >= sum(targets.values()) else "error",
            "Type": "instant",
            "CreateTime": self.create_time,
            "ClientToken": self.client_token,
            "ExcessCapacityTerminationPolicy": "termination",
            "FulfilledCapacity": float(sum(counts.values())),
            "FulfilledOnDemandCapacity": float(counts["on-demand"]),
            "LaunchTemplateConfigs": self.request["LaunchTemplateConfigs"],
            "TargetCapacitySpecification": {
                "TotalTargetCapacity": sum(targets.values()),
                "OnDemandTargetCapacity": targets["on-demand"],
                "SpotTargetCapacity": targets["spot"],
                "DefaultTargetCapacityType": _default_market(self.request),
            },
            "TerminateInstancesWithExpiration": False,
            "ReplaceUnhealthyInstances": False,
            "SpotOptions": self.request.get("SpotOptions"),
            "OnDemandOptions": self.request.get("OnDemandOptions"),
            "Tags": self.get_tags(),
            "Errors": self.errors,
            "Instances": self.instances,
        }


def _default_market(request: Mapping[str, Any]) -> str:
    return str(request["TargetCapacitySpecification"].get("DefaultTargetCapacityType", "on-demand"))


class FleetActions(EC2BaseResponse):  # type: ignore[misc]
    """CreateFleet and its kin."""

    inventory: AccountInventory

    def create_fleet(self) -> ActionResult:
        """CreateFleet: HTTP 200 whatever was launched; what was not stands in ``Errors``."""
        backend = self.ec2_backend
        require_machines_here(backend)
        request = copy.deepcopy(dict(self.params))
        check_fleet(request)
        templates = [find_template(backend, one["LaunchTemplateSpecification"])
                     for one in request["LaunchTemplateConfigs"]]  # fmt: skip
        self.error_on_dryrun()
        digest = rules.request_digest(request)
        with backend.fleet.launch_lock:
            fleet = _fleet_of_token(backend, request.get("ClientToken"), digest)
            if fleet is None:
                fleet = InstantFleet(backend, random_fleet_id(), digest, request)
                backend.fleets[fleet.id] = fleet
                fleet.add_tags(rules.tags_of(request).get("fleet", {}))
                for market, target in targets_of(request).items():
                    if target:
                        self._fill(fleet, market, target, templates)
                backend.keep_fleets()
        return ActionResult(fleet.answer())

    def _fill(self, fleet: InstantFleet, market: str, target: int, templates: Sequence[tuple[Any, Any]]) -> None:
        """Launch up to `target` instances of one market, pool after pool."""
        backend, missing = self.ec2_backend, target
        pools = _in_order(backend, fleet.request, _pools(backend, fleet.request, market, templates), market)
        for number, pool in enumerate(pools):
            if not missing:
                break
            if number >= POOLS_TRIED:
                fleet.errors.append(_error(pool, *_UNTRIED))
                continue
            try:
                launched = self._launch(fleet, pool, missing)
            except (EC2ClientError, ServiceError) as error:
                log.info("fleet %s: %s in %s: %s", fleet.id, pool.instance_type, pool.zone, error.code)
                fleet.errors.append(_error(pool, error.code, error.message))
                continue
            missing -= len(launched)
            fleet.instances.append({
                "LaunchTemplateAndOverrides": pool.named(),
                "Lifecycle": market,
                "InstanceIds": [one.id for one in launched],
                "InstanceType": pool.instance_type,
                "AvailabilityZone": launched[0].placement.zone,
                "SubnetId": launched[0].subnet_id,
            })  # fmt: skip

    def _launch(self, fleet: InstantFleet, pool: Pool, count: int) -> Sequence[Any]:
        if pool.zone is not None and pool.zone not in offered_zones(pool.instance_type):
            # Also what EC2 says of a type that does not exist at all.
            raise refuse(
                "InvalidFleetConfiguration",
                f"Your requested instance type ({pool.instance_type}) is not supported in your requested Availability "
                f"Zone ({pool.zone}).",
            )
        request = copy.deepcopy({**pool.request, "MinCount": 1, "MaxCount": count})
        demand(launch_permissions(wish_of_request(request), self.inventory))
        tags = {"aws:ec2:fleet-id": fleet.id, **template_tags(pool.template, pool.version)}
        reservation = launch(self.ec2_backend, request, Origin(fleet.digest, None, tags))
        instances: Sequence[Any] = reservation.instances
        return instances

    def describe_fleets(self) -> ActionResult:
        """DescribeFleets: instant fleets appear only when they are asked for by id (EC2 API reference)."""
        fleets = [self._known(fleet_id) for fleet_id in self._get_param("FleetIds", [])]
        self.error_on_dryrun()
        shown, following = page([one.shown() for one in fleets], self.params, least=1, most=1000)
        return ActionResult({"Fleets": shown, "NextToken": following})

    def describe_fleet_instances(self) -> ActionResult:
        """DescribeFleetInstances does not work with instant fleets (EC2 User Guide)."""
        self._known(self._get_param("FleetId"))
        raise refuse("UnsupportedOperation", "DescribeFleetInstances is not supported for fleets of type instant.")

    def delete_fleets(self) -> ActionResult:
        """DeleteFleets: an instant fleet ends with its instances, or not at all."""
        self.error_on_dryrun()
        ended, kept = [], []
        for fleet_id in self._get_param("FleetIds", []):
            fleet = self._known(fleet_id)
            if not self._get_bool_param("TerminateInstances"):
                words = {"Code": "NoTerminateInstancesNotSupported",
                         "Message": "NoTerminateInstances option is not supported for instant fleet"}  # fmt: skip
                kept.append({"FleetId": fleet_id, "Error": words})
                continue
            before, fleet.state = fleet.state, "deleted_terminating"
            machines = [self.ec2_backend.fleet.machines.find(one) for one in fleet.instance_ids]
            self.ec2_backend.end_machines([one for one in machines if one is not None])
            ended.append({"FleetId": fleet_id, "CurrentFleetState": fleet.state, "PreviousFleetState": before})
        self.ec2_backend.keep_fleets()
        return ActionResult({"SuccessfulFleetDeletions": ended, "UnsuccessfulFleetDeletions": kept})

    def _known(self, fleet_id: Any) -> InstantFleet:
        if not _FLEET_ID.fullmatch(str(fleet_id)):
            raise refuse("InvalidFleetId.Malformed", f"The fleet ID '{fleet_id}' is malformed")
        found: InstantFleet | None = self.ec2_backend.fleets.get(fleet_id)
        if found is None:
            raise refuse("InvalidFleetId.NotFound", f"The fleet ID '{fleet_id}' does not exist")
        return found


def _fleet_of_token(backend: Any, token: str | None, digest: str) -> InstantFleet | None:
    known: InstantFleet | None = next(
        (one for one in backend.fleets.values() if token and one.client_token == token), None
    )
    if known is not None and known.digest != digest:
        raise rules.token_mismatch()
    return known


def _pools(backend: Any, request: Mapping[str, Any], market: str, templates: Sequence[tuple[Any, Any]]) -> list[Pool]:
    """List the pools of a request: every override of every template, or the template alone."""
    tags = [one for one in request.get("TagSpecifications") or [] if one["ResourceType"] != "fleet"]
    pools = []
    for config, (template, version) in zip(request["LaunchTemplateConfigs"], templates, strict=True):
        for overrides in config.get("Overrides") or [{}]:
            asked = merge_template(version.data, {**_launched_with(overrides), "TagSpecifications": tags})
            if asked.get("NetworkInterfaces") and overrides.get("SubnetId"):
                asked["NetworkInterfaces"][0]["SubnetId"] = asked.pop("SubnetId")
            if market == "spot":
                options = {"SpotInstanceType": "one-time"}
                if overrides.get("MaxPrice"):
                    options["MaxPrice"] = overrides["MaxPrice"]
                asked["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": options}
            pools.append(Pool(market, asked, template, version, overrides, zone_of(backend, asked)))
    return pools


def _launched_with(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of RunInstances that an override stands for."""
    same = ("InstanceType", "SubnetId", "ImageId", "KeyName", "BlockDeviceMappings", "IamInstanceProfile",
            "MetadataOptions", "Placement")  # fmt: skip
    asked = {name: overrides[name] for name in same if overrides.get(name)}
    if overrides.get("AvailabilityZone"):
        asked["Placement"] = {**asked.get("Placement", {}), "AvailabilityZone": overrides["AvailabilityZone"]}
    return asked


def _in_order(backend: Any, request: Mapping[str, Any], pools: list[Pool], market: str) -> list[Pool]:
    """Sort pools by the allocation strategy. Those that look at capacity know which pools are empty."""
    options = request.get("SpotOptions" if market == "spot" else "OnDemandOptions") or {}
    strategy = options.get("AllocationStrategy", "lowest-price")

    def priority(pool: Pool) -> float:  # the lower the number, the higher the priority; without one the lowest
        return float(pool.overrides.get("Priority", float("inf")))

    def empty(pool: Pool) -> bool:
        return bool(backend.capacity.known_empty(pool.instance_type, pool.zones, market))

    if strategy == "prioritized":
        return sorted(pools, key=priority)
    if strategy == "capacity-optimized-prioritized":
        return sorted(pools, key=lambda pool: (empty(pool), priority(pool)))
    if strategy in ("price-capacity-optimized", "capacity-optimized"):
        return sorted(pools, key=lambda pool: (empty(pool), pool.price))
    return sorted(pools, key=lambda pool: pool.price)


def _error(pool: Pool, code: str, message: str) -> dict[str, Any]:
    return {"LaunchTemplateAndOverrides": pool.named(), "Lifecycle": pool.market, "ErrorCode": code,
            "ErrorMessage": message}  # fmt: skip
