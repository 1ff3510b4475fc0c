"""The EC2 calls we make, with our errors. Answers stay as boto3 gives them; `instances` reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tenacity import (
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
    wait_random_exponential,
)

from runctl_jupyter.orchestration.aws.failures import NOT_FOUND, aws_errors, code_of, may_pass
from runctl_jupyter.orchestration.errors import InstanceNotFound

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import ImageTypeDef, InstanceTypeDef, InstanceTypeInfoTypeDef, VolumeTypeDef

    from runctl_jupyter.orchestration.aws.session import AwsSession

_FRESH_ID_S = 30.0
"""A new id may be unknown to other calls for some seconds (EC2 developer guide, "Eventual consistency")."""

_LAUNCH_TRIES = 8


class Ec2:
    """EC2 of one session."""

    def __init__(self, session: AwsSession) -> None:
        self._session = session

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

    def run(self, request: Mapping[str, Any]) -> InstanceTypeDef:
        """Launch one instance with ``RunInstances`` and return it once EC2 admits to know it."""
        with aws_errors(f"launch {request['InstanceType']}"):
            # With the same ClientToken: what an earlier try has launched, whose answer was lost, is what comes back.
            launched = _patiently()(self._session.launcher.run_instances, **request)["Instances"][0]
        consistent = Retrying(
            retry=retry_if_exception_type(InstanceNotFound),
            wait=wait_exponential(multiplier=0.1, max=2),
            stop=stop_after_delay(_FRESH_ID_S),
            reraise=True,
        )
        return consistent(self.describe_one, launched["InstanceId"])

    def start(self, instance_id: str) -> None:
        """Start a stopped instance."""
        with aws_errors(f"start {instance_id}"):
            _patiently()(self._session.launcher.start_instances, InstanceIds=[instance_id])

    def stop(self, instance_id: str) -> None:
        """Stop a running instance; its disk stays and is billed."""
        with aws_errors(f"stop {instance_id}"):
            self._session.ec2.stop_instances(InstanceIds=[instance_id])

    def terminate(self, instance_id: str) -> None:
        """End an instance and its disk."""
        with aws_errors(f"terminate {instance_id}"):
            self._session.ec2.terminate_instances(InstanceIds=[instance_id])

    def instance_type(self, name: str) -> InstanceTypeInfoTypeDef | None:
        """Return what EC2 says of an instance type, or None when there is none of that name."""
        from botocore.exceptions import ClientError

        with aws_errors(f"look up instance type {name}"):
            try:
                # EC2's names are an enumeration in the stubs; ours is what a person typed.
                found = self._session.ec2.describe_instance_types(InstanceTypes=[name])  # type: ignore[list-item]
            except ClientError as error:
                if code_of(error) in ("InvalidInstanceType", "InvalidParameterValue"):
                    return None
                raise
        return found["InstanceTypes"][0] if found["InstanceTypes"] else None

    def image(self, image_id: str) -> ImageTypeDef:
        """Return what EC2 says of an AMI."""
        with aws_errors(f"look up image {image_id}"):
            return self._session.ec2.describe_images(ImageIds=[image_id])["Images"][0]


def _patiently() -> Retrying:
    """Return what tries again where that may help; botocore's own retries would also ask for capacity again."""
    return Retrying(
        retry=retry_if_exception(may_pass),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        stop=stop_after_attempt(_LAUNCH_TRIES),
        reraise=True,
    )
