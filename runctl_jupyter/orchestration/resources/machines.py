"""Machines, and what asks for machines: Spot requests, fleets, launch templates, schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.costs.rates import HOURS_PER_MONTH, PUBLIC_IPV4_PER_HOUR
from runctl_jupyter.orchestration.instances.describe import LIVE, is_spot, tags_of, to_instance
from runctl_jupyter.orchestration.model import RUNNING_STATES
from runctl_jupyter.orchestration.resources.judging import Found
from runctl_jupyter.orchestration.resources.kind import Failures, Region, one_by_one

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

SCHEDULES = "runctl"
"""How the groups of our schedules are called, or begin to be."""


class Instances:
    """EC2 instances that have not ended."""

    name = "instance"

    def find(self, region: Region, ids: Sequence[str] | None = None) -> list[Found]:
        """Return instances; see `Kind.find`."""
        described = region.owned.instances(LIVE, ids)
        running = [each for each in described if each["State"]["Name"] in RUNNING_STATES]
        region.prices.expect(
            {str(each["InstanceType"]) for each in running if not is_spot(each)},
            {str(each["InstanceType"]) for each in running if is_spot(each)},
        )
        return [self._found(region, each) for each in described]

    def _found(self, region: Region, described: InstanceTypeDef) -> Found:
        runs = described["State"]["Name"] in RUNNING_STATES
        zone = described.get("Placement", {}).get("AvailabilityZone")
        price = region.prices.market(described["InstanceType"], zone, spot=is_spot(described)) if runs else None
        instance = to_instance(described, price)
        # A stopped one costs its disks, and those are rows of their own.
        per_hour = instance.price_per_hour if runs else 0.0
        if per_hour is not None and described.get("PublicIpAddress") is not None:
            per_hour += PUBLIC_IPV4_PER_HOUR
        disks = [str(each.get("Ebs", {}).get("VolumeId", "")) for each in described.get("BlockDeviceMappings", [])]
        return Found(
            kind=self.name,
            id=instance.id,
            region=region.name,
            state=instance.state,
            created_at=instance.launched_at,
            tags=instance.tags,
            detail=f"{instance.instance_type}{' spot' if instance.spot else ''}",
            usd_per_month=None if per_hour is None else per_hour * HOURS_PER_MONTH,
            expires_at=instance.expires_at if runs else None,
            in_use="" if instance.state == "stopped" else f"is {instance.state}",
            uses=tuple(disk for disk in disks if disk),
            keys=() if instance.spot_request_id is None else (instance.spot_request_id,),
        )

    def remove(self, region: Region, going: Sequence[Found]) -> Failures:
        """Terminate instances; first cancel the Spot requests that would launch them anew."""
        requests = {request: each.id for each in going for request in each.keys}
        described = region.owned.spot_requests(list(requests)) if requests else []
        lasting = [each["SpotInstanceRequestId"] for each in described if each.get("Type") == "persistent"]
        failed = {requests[request]: error for request, error in region.owned.cancel_spot_requests(lasting).items()}
        return failed | region.owned.terminate([each.id for each in going if each.id not in failed])


class SpotRequests:
    """Spot requests: one that is open launches a machine when there is capacity, whenever that is."""

    name = "spot-request"

    def find(self, region: Region, ids: Sequence[str] | None = None) -> list[Found]:
        """Return requests that can still lead to a machine, or have; see `Kind.find`."""
        found = []
        for each in region.owned.spot_requests(ids):
            machine = each.get("InstanceId")
            state, kind = str(each.get("State", "")), str(each.get("Type", "one-time"))
            waits = state == "open" and not machine
            found.append(
                Found(
                    kind=self.name,
                    id=each["SpotInstanceRequestId"],
                    region=region.name,
                    state=state,
                    created_at=each.get("CreateTime"),
                    tags=tags_of(each),
                    detail=f"{kind} {each.get('LaunchSpecification', {}).get('InstanceType', '')}".strip(),
                    usd_per_month=0.0,
                    left_over="it is open and has no machine; it would launch one some day" if waits else "",
                    in_use="" if waits else f"has {machine or 'a machine'}",
                )
            )
        return found

    def remove(self, region: Region, going: Sequence[Found]) -> Failures:
        """Cancel requests."""
        return region.owned.cancel_spot_requests([each.id for each in going])


class Fleets:
    """Fleets that EC2 keeps up, and so would launch machines again; we never ask for one to stay."""

    name = "fleet"

    def find(self, region: Region, ids: Sequence[str] | None = None) -> list[Found]:
        """Return fleets; see `Kind.find`."""
        return [
            Found(
                kind=self.name,
                id=each["FleetId"],
                region=region.name,
                state=str(each.get("FleetState", "")),
                created_at=each.get("CreateTime"),
                tags=tags_of(each),
                detail=str(each.get("Type", "")),
                usd_per_month=0.0,
                left_over="it is left of a launch, and EC2 keeps launching for it",
            )
            for each in region.owned.fleets()
        ]

    def remove(self, region: Region, going: Sequence[Found]) -> Failures:
        """Delete fleets; their machines go on and are judged by themselves."""
        return one_by_one(going, lambda each: region.owned.delete_fleet(each.id))


class LaunchTemplates:
    """Launch templates: a launch by fleet makes one and deletes it."""

    name = "launch-template"

    def find(self, region: Region, ids: Sequence[str] | None = None) -> list[Found]:
        """Return templates; see `Kind.find`."""
        return [
            Found(
                kind=self.name,
                id=each["LaunchTemplateId"],
                region=region.name,
                state="",
                created_at=each.get("CreateTime"),
                tags=tags_of(each),
                name=each.get("LaunchTemplateName", ""),
                usd_per_month=0.0,
                left_over="it is left of a launch",
            )
            for each in region.owned.launch_templates()
        ]

    def remove(self, region: Region, going: Sequence[Found]) -> Failures:
        """Delete templates."""
        return one_by_one(going, lambda each: region.owned.delete_launch_template(each.id))


class Schedules:
    """Schedules that end machines from outside; their names say which: ``ANYTHING-i-0123456789abcdef0``."""

    name = "schedule"

    def find(self, region: Region, ids: Sequence[str] | None = None) -> list[Found]:
        """Return schedules in our groups; see `Kind.find`."""
        found = []
        for each, tags in region.owned.schedules(SCHEDULES):
            before, mark, number = each["Name"].rpartition("i-")
            named = mark and (not before or before.endswith("-"))
            found.append(
                Found(
                    kind=self.name,
                    id=f"{each['GroupName']}/{each['Name']}",
                    region=region.name,
                    state=str(each.get("State", "")),
                    created_at=each.get("CreationDate"),
                    tags=tags,
                    name=each["Name"],
                    usd_per_month=0.0,
                    machine=f"i-{number}" if named else None,
                )
            )
        return found

    def remove(self, region: Region, going: Sequence[Found]) -> Failures:
        """Delete schedules."""
        return one_by_one(going, lambda each: region.owned.delete_schedule(*each.id.split("/", 1)))
