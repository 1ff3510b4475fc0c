"""The EC2 calls we make, with our errors. Answers stay as boto3 gives them; `instances` reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenacity import Retrying, retry_if_exception, retry_if_exception_type, stop_after_delay, wait_exponential

from runctl_jupyter.orchestration.aws.failures import CAPACITY, NOT_FOUND, aws_errors, code_of, masked
from runctl_jupyter.orchestration.aws.launches import patiently
from runctl_jupyter.orchestration.aws.network import Network
from runctl_jupyter.orchestration.errors import InstanceNotFound, InstanceProtected, LaunchRefused

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import (
        ImageTypeDef,
        InstanceTypeDef,
        InstanceTypeInfoTypeDef,
        SpotInstanceRequestTypeDef,
        VolumeTypeDef,
    )

    from runctl_jupyter.orchestration.aws.session import AwsSession

_FRESH_ID_S = 30.0
"""A new id may be unknown to other calls for some seconds (EC2 developer guide, "Eventual consistency")."""
_UNKNOWN_ID_S = 60.0

_NAMES_A_CALL = 100


@dataclass(frozen=True)
class Subnet:
    """A subnet that machines can be launched in."""

    id: str
    zone: str
    needs_address: bool = False
    """Whether a machine reaches AWS only with a public address, and the subnet gives none: only default subnets do so
    unasked (VPC User Guide, "IP addressing for your VPCs and subnets")."""


class Ec2:
    """EC2 of one session."""

    def __init__(self, session: AwsSession) -> None:
        self._session = session
        self._network = Network(session)

    def describe(self, filters: Mapping[str, Sequence[str]]) -> list[InstanceTypeDef]:
        """Return the instances that match all `filters`, every page."""
        with aws_errors("list instances"):
            pages = self._session.ec2.get_paginator("describe_instances").paginate(
                Filters=[{"Name": name, "Values": list(values)} for name, values in filters.items()]
            )
            return [i for page in pages for r in page["Reservations"] for i in r.get("Instances", [])]

    def volumes(self, filters: Mapping[str, Sequence[str]]) -> list[VolumeTypeDef]:
        """Return the volumes that match all `filters`, every page."""
        with aws_errors("list volumes"):
            pages = self._session.ec2.get_paginator("describe_volumes").paginate(
                Filters=[{"Name": name, "Values": list(values)} for name, values in filters.items()]
            )
            return [volume for page in pages for volume in page["Volumes"]]

    def describe_one(self, instance_id: str) -> InstanceTypeDef:
        """Return one instance by id.

        Raises
        ------
        InstanceNotFound
            EC2 knows no such id (also one that ended more than an hour ago).
        """
        from botocore.exceptions import ClientError

        with aws_errors(f"look at {instance_id}"):
            try:
                answer = self._session.ec2.describe_instances(InstanceIds=[instance_id])
            except ClientError as error:
                if code_of(error) in NOT_FOUND:
                    raise InstanceNotFound(
                        f"EC2 knows no instance {instance_id}.", "See yours with: runctl list --all"
                    ) from error
                raise
        return answer["Reservations"][0]["Instances"][0]

    def new(self, instance_id: str) -> InstanceTypeDef:
        """Return an instance that has just been launched, once EC2 admits to know it."""
        consistent = Retrying(
            retry=retry_if_exception_type(InstanceNotFound),
            wait=wait_exponential(multiplier=0.1, max=2),
            stop=stop_after_delay(_FRESH_ID_S),
            reraise=True,
        )
        return consistent(self.describe_one, instance_id)

    def start(self, instance_id: str) -> None:
        """Start a stopped instance.

        Raises
        ------
        LaunchRefused
            Its zone has no capacity now, or a quota is reached.
        """
        from botocore.exceptions import ClientError

        start = self._session.launcher.start_instances
        with aws_errors(f"start {instance_id}"):
            try:
                once_known()(lambda: patiently()(start, InstanceIds=[instance_id]))
            except ClientError as error:
                if code_of(error) not in CAPACITY:
                    raise
                raise LaunchRefused(
                    f"EC2 has no capacity now to start {instance_id} again [{code_of(error)}].",
                    "It can start only in its own zone, where its disk is, and as its type. Try again in some minutes, "
                    "or go on elsewhere: runctl create TYPE, runctl resume JOB",
                ) from error

    def stop(self, instance_id: str) -> None:
        """Stop a running instance; its disk stays and is billed."""
        with aws_errors(f"stop {instance_id}"):
            once_known()(self._session.ec2.stop_instances, InstanceIds=[instance_id])

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """End instances that EC2 has described before, and their disks.

        A fresh id may be unknown to this call although the instance runs: it is asked again until it is known.

        Raises
        ------
        InstanceProtected
            One has EC2's own termination protection.
        """
        from botocore.exceptions import ClientError

        with aws_errors(f"terminate {', '.join(instance_ids)}"):
            try:
                once_known()(self._session.ec2.terminate_instances, InstanceIds=list(instance_ids))
            except ClientError as error:
                if code_of(error) in NOT_FOUND:
                    raise InstanceNotFound(
                        f"EC2 did not know {', '.join(instance_ids)} for {_UNKNOWN_ID_S:.0f} s: not ended.",
                        "It may run all the same. Look, and try again: runctl list",
                    ) from error
                if code_of(error) != "OperationNotPermitted":
                    raise
                raise InstanceProtected(
                    f"EC2's termination protection is on: {masked(error.response['Error'].get('Message', ''))}",
                    "Take it off: aws ec2 modify-instance-attribute --no-disable-api-termination --instance-id ID",
                ) from error

    def set_tag(self, resource_id: str, key: str, value: str | None) -> None:
        """Set a tag, or remove it."""
        client = self._session.ec2
        with aws_errors(f"tag {resource_id}"):
            if value is None:
                once_known()(client.delete_tags, Resources=[resource_id], Tags=[{"Key": key}])
            else:
                once_known()(client.create_tags, Resources=[resource_id], Tags=[{"Key": key, "Value": value}])

    def spot_request(self, request_id: str) -> SpotInstanceRequestTypeDef | None:
        """Return a Spot request; None when EC2 has forgotten it, some hours after its end."""
        from botocore.exceptions import ClientError

        with aws_errors(f"look at spot request {request_id}"):
            try:
                found = self._session.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[request_id])
            except ClientError as error:
                if code_of(error) == "InvalidSpotInstanceRequestID.NotFound":
                    return None
                raise
        return next(iter(found["SpotInstanceRequests"]), None)

    def cancel_spot_request(self, request_id: str) -> None:
        """Cancel a Spot request: a persistent one would launch another instance when its own is terminated."""
        with aws_errors(f"cancel spot request {request_id}"):
            self._session.ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[request_id])

    def instance_types(self, names: Sequence[str]) -> list[InstanceTypeInfoTypeDef]:
        """Return what EC2 says of instance types; those that it does not know are left out.

        A hundred names a call at most (EC2 API reference, DescribeInstanceTypes).
        """
        from botocore.exceptions import ClientError

        found: list[InstanceTypeInfoTypeDef] = []
        for start in range(0, len(names), _NAMES_A_CALL):
            batch = names[start : start + _NAMES_A_CALL]
            with aws_errors(f"look up instance type {batch[0]}"):
                try:
                    # EC2's names are an enumeration in the stubs; ours are what a person typed.
                    answer = self._session.ec2.describe_instance_types(InstanceTypes=batch)  # type: ignore[arg-type]
                except ClientError as error:
                    if code_of(error) not in ("InvalidInstanceType", "InvalidParameterValue"):
                        raise
                    # One unknown name refuses them all.
                    if len(batch) > 1:
                        found += [each for name in batch for each in self.instance_types([name])]
                    continue
            found += answer["InstanceTypes"]
        return found

    def gpu_types(self) -> list[InstanceTypeInfoTypeDef]:
        """Return the instance types that have GPUs, every page."""
        with aws_errors("look up instance types with GPUs"):
            pages = self._session.ec2.get_paginator("describe_instance_types").paginate(
                Filters=[{"Name": "instance-type", "Values": ["g*", "p*"]}],
                PaginationConfig={"PageSize": _NAMES_A_CALL},
            )
            return [each for page in pages for each in page["InstanceTypes"] if each.get("GpuInfo", {}).get("Gpus")]

    def subnets(self, chosen: Sequence[str]) -> list[Subnet]:
        """Return the subnets of these ids, or the default one of each zone."""
        with aws_errors("list subnets"):
            if chosen:
                answer = self._session.ec2.describe_subnets(SubnetIds=list(chosen))
            else:
                answer = self._session.ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])
        found = [each for each in answer["Subnets"] if each.get("State", "available") == "available"]
        giving_none = [each for each in found if not each.get("MapPublicIpOnLaunch", True)]
        needing = self._network.public(giving_none) if giving_none else set()
        return [
            Subnet(each["SubnetId"], each["AvailabilityZone"], each["SubnetId"] in needing)
            for each in sorted(found, key=lambda each: each["AvailabilityZone"])
        ]

    def zones_offering(self, names: Sequence[str]) -> dict[str, set[str]]:
        """Return in which zones each of these types is offered."""
        zones: dict[str, set[str]] = {name: set() for name in names}
        with aws_errors("list the zones of instance types"):
            pages = self._session.ec2.get_paginator("describe_instance_type_offerings").paginate(
                LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": list(names)}]
            )
            for page in pages:
                for each in page["InstanceTypeOfferings"]:
                    zones.setdefault(each["InstanceType"], set()).add(each["Location"])
        return zones

    def newest_image(self, owner: str, name: str) -> ImageTypeDef | None:
        """Return the newest AMI of an owner with such a name (``*`` stands for anything)."""
        with aws_errors(f"look for an image {name}"):
            answer = self._session.ec2.describe_images(
                Owners=[owner],
                Filters=[{"Name": "name", "Values": [name]}, {"Name": "state", "Values": ["available"]}],
            )
        return max(answer["Images"], key=lambda image: image.get("CreationDate", ""), default=None)

    def image(self, image_id: str) -> ImageTypeDef | None:
        """Return what EC2 says of an AMI; None when it does not know it, or we may not see it."""
        from botocore.exceptions import ClientError

        with aws_errors(f"look up image {image_id}"):
            try:
                images = self._session.ec2.describe_images(ImageIds=[image_id])["Images"]
            except ClientError as error:
                if code_of(error).startswith("InvalidAMIID"):
                    return None
                raise
        return images[0] if images else None


def once_known() -> Retrying:
    """Return what tries again while EC2 does not know an instance: a fresh id may be unknown although it runs."""
    from botocore.exceptions import ClientError

    return Retrying(
        retry=retry_if_exception(
            lambda error: isinstance(error, ClientError) and code_of(error) == "InvalidInstanceID.NotFound"
        ),
        wait=wait_exponential(multiplier=0.25, max=5),
        stop=stop_after_delay(_UNKNOWN_ID_S),
        reraise=True,
    )
