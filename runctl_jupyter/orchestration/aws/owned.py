"""Lists of what carries a tag, in one region, a page at a time; and what removes each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.aws.failures import aws_errors
from runctl_jupyter.orchestration.errors import RunctlError

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import (
        FleetDataTypeDef,
        ImageTypeDef,
        InstanceTypeDef,
        LaunchTemplateTypeDef,
        SnapshotTypeDef,
        SpotInstanceRequestTypeDef,
        VolumeTypeDef,
    )
    from mypy_boto3_scheduler.type_defs import ScheduleSummaryTypeDef

    from runctl_jupyter.orchestration.aws.session import AwsSession

_PAGE = 1000
"""Most that EC2 gives at once (EC2 API reference, "Pagination"); of launch templates 200."""
_TEMPLATE_PAGE = 200
_FILTER_VALUES = 200
"""Most values of a filter (EC2 API reference, "Filter")."""
_AT_ONCE = 100
"""Ids in a request that ends things; DeleteFleets takes 100, TerminateInstances 1,000."""


def enabled_regions(session: AwsSession) -> list[str]:
    """Return the regions that the account has enabled."""
    with aws_errors("list the regions of the account"):
        return sorted(region["RegionName"] for region in session.ec2.describe_regions()["Regions"])


def known_regions(session: AwsSession, named: Iterable[str]) -> list[str]:
    """Return the regions that there are: those that boto3 knows, and when one of `named` is newer, those of EC2."""
    found = session.boto3_session.get_available_regions(
        "ec2", partition_name=session.boto3_session.get_partition_for_region(session.region)
    )
    if not set(named) <= set(found):
        with aws_errors("list the regions of AWS"):
            found += [each["RegionName"] for each in session.ec2.describe_regions(AllRegions=True)["Regions"]]
    return found


class Owned:
    """EC2 and EventBridge Scheduler of one region.

    Parameters
    ----------
    tag
        Key and value that a thing carries to be listed.
    """

    def __init__(self, session: AwsSession, tag: tuple[str, str]) -> None:
        self._session, self._tag = session, tag

    @property
    def region(self) -> str:
        """Name of the region."""
        return self._session.region

    def instances(self, states: Sequence[str], ids: Sequence[str] | None = None) -> list[InstanceTypeDef]:
        """Return instances in these states."""
        extra = {"instance-state-name": states}
        pages = self._all("describe_instances", "Reservations", self._filters("instance-id", ids, extra))
        return [each for reservation in pages for each in reservation.get("Instances", [])]

    def volumes(self, ids: Sequence[str] | None = None) -> list[VolumeTypeDef]:
        """Return volumes."""
        return self._all("describe_volumes", "Volumes", self._filters("volume-id", ids))

    def snapshots(self, ids: Sequence[str] | None = None) -> list[SnapshotTypeDef]:
        """Return snapshots of this account."""
        return self._all("describe_snapshots", "Snapshots", self._filters("snapshot-id", ids), OwnerIds=["self"])

    def images(self, ids: Sequence[str] | None = None) -> list[ImageTypeDef]:
        """Return images of this account."""
        return self._all("describe_images", "Images", self._filters("image-id", ids), Owners=["self"])

    def spot_requests(self, ids: Sequence[str] | None = None) -> list[SpotInstanceRequestTypeDef]:
        """Return Spot requests that may still lead to a machine, or have one."""
        extra = {"state": ["open", "active", "disabled"]}
        filters = self._filters("spot-instance-request-id", ids, extra)
        return self._all("describe_spot_instance_requests", "SpotInstanceRequests", filters)

    def launch_templates(self) -> list[LaunchTemplateTypeDef]:
        """Return launch templates; there is no filter by id."""
        filters = self._filters("", None)
        return self._all("describe_launch_templates", "LaunchTemplates", filters, page=_TEMPLATE_PAGE)

    def fleets(self) -> list[FleetDataTypeDef]:
        """Return fleets that are not deleted. Those of type ``instant`` are not listed, and end by themselves.

        EC2 API reference, "DescribeFleets": there is no filter by tag.
        """
        state = {"Name": "fleet-state", "Values": ["submitted", "active", "modifying"]}
        found: list[FleetDataTypeDef] = self._all("describe_fleets", "Fleets", [[state]])
        key, value = self._tag
        alive = [each for each in found if str(each.get("FleetState")) in state["Values"]]
        return [each for each in alive if {"Key": key, "Value": value} in each.get("Tags", [])]

    def schedules(self, prefix: str) -> list[tuple[ScheduleSummaryTypeDef, dict[str, str]]]:
        """Return schedules, with the tags of their group: only groups have tags.

        Parameters
        ----------
        prefix
            How the names of groups begin.
        """
        client, found = self._session.scheduler, []
        with aws_errors(f"list schedules in {self.region}"):
            for page in client.get_paginator("list_schedule_groups").paginate(NamePrefix=prefix):
                for group in page["ScheduleGroups"]:
                    said = client.list_tags_for_resource(ResourceArn=group["Arn"]).get("Tags", [])
                    tags = {each["Key"]: each["Value"] for each in said}
                    if tags.get(self._tag[0]) != self._tag[1]:
                        continue
                    for listed in client.get_paginator("list_schedules").paginate(GroupName=group["Name"]):
                        found += [(each, tags) for each in listed["Schedules"]]
        return found

    def terminate(self, ids: Sequence[str]) -> dict[str, RunctlError]:
        """End instances; return what could not be, by id."""
        return _in_groups(ids, lambda some: self._session.ec2.terminate_instances(InstanceIds=some), "terminate")

    def cancel_spot_requests(self, ids: Sequence[str]) -> dict[str, RunctlError]:
        """Cancel Spot requests; return what could not be, by id. Their running instances go on."""
        cancel = self._session.ec2.cancel_spot_instance_requests
        return _in_groups(ids, lambda some: cancel(SpotInstanceRequestIds=some), "cancel Spot request")

    def delete_fleet(self, fleet_id: str) -> None:
        """Delete a fleet; its machines go on."""
        with aws_errors(f"delete fleet {fleet_id}"):
            done = self._session.ec2.delete_fleets(FleetIds=[fleet_id], TerminateInstances=False)
            for failed in done.get("UnsuccessfulFleetDeletions", []):
                raise _as_client_error(failed.get("Error", {}), "DeleteFleets")

    def delete_launch_template(self, template_id: str) -> None:
        """Delete a launch template."""
        with aws_errors(f"delete launch template {template_id}"):
            self._session.ec2.delete_launch_template(LaunchTemplateId=template_id)

    def delete_volume(self, volume_id: str) -> None:
        """Delete a volume that is attached to nothing."""
        with aws_errors(f"delete volume {volume_id}"):
            self._session.ec2.delete_volume(VolumeId=volume_id)

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Delete a snapshot."""
        with aws_errors(f"delete snapshot {snapshot_id}"):
            self._session.ec2.delete_snapshot(SnapshotId=snapshot_id)

    def deregister_image(self, image_id: str) -> None:
        """Deregister an image; its snapshots stay."""
        with aws_errors(f"deregister image {image_id}"):
            self._session.ec2.deregister_image(ImageId=image_id)

    def delete_schedule(self, group: str, name: str) -> None:
        """Delete a schedule."""
        with aws_errors(f"delete schedule {name}"):
            self._session.scheduler.delete_schedule(GroupName=group, Name=name)

    def _filters(
        self, name: str, ids: Sequence[str] | None, extra: Mapping[str, Sequence[str]] | None = None
    ) -> list[list[dict[str, Any]]]:
        """Return lists of filters, one for each request: an id filter takes so many values."""
        key, value = self._tag
        common = [{"Name": f"tag:{key}", "Values": [value]}]
        common += [{"Name": each, "Values": list(values)} for each, values in (extra or {}).items()]
        if ids is None:
            return [common]
        parts = [list(ids[at : at + _FILTER_VALUES]) for at in range(0, len(ids), _FILTER_VALUES)]
        return [[*common, {"Name": name, "Values": part}] for part in parts]

    def _all(
        self,
        operation: Any,
        key: str,
        filters: Iterable[list[dict[str, Any]]],
        *,
        page: int = _PAGE,
        **request: Any,
    ) -> list[Any]:
        found: list[Any] = []
        with aws_errors(f"list {key.lower()} in {self.region}"):
            for each in filters:
                pages = self._session.ec2.get_paginator(operation).paginate(
                    Filters=each, PaginationConfig={"PageSize": page}, **request
                )
                for answer in pages:
                    found += answer[key]
        return found


def _in_groups(ids: Sequence[str], end: Callable[[list[str]], object], verb: str) -> dict[str, RunctlError]:
    """End many with few requests. One that EC2 refuses fails its whole request: then each gets its own."""
    failed: dict[str, RunctlError] = {}
    for at in range(0, len(ids), _AT_ONCE):
        some = list(ids[at : at + _AT_ONCE])
        try:
            with aws_errors(f"{verb} {some[0] if len(some) == 1 else f'{len(some)} of them'}"):
                end(some)
        except RunctlError as error:
            if len(some) == 1:
                failed[some[0]] = error
                continue
            for each in some:
                failed |= _in_groups([each], end, verb)
    return failed


def _as_client_error(error: Mapping[str, Any], operation: str) -> Exception:
    from botocore.exceptions import ClientError

    return ClientError(
        {"Error": {"Code": str(error.get("Code", "")), "Message": str(error.get("Message", ""))}}, operation
    )
