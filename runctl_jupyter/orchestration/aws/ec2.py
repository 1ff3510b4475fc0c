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

from runctl_jupyter.orchestration.aws.failures import NOT_FOUND, aws_errors, code_of, masked
from runctl_jupyter.orchestration.errors import InstanceNotFound, InstanceProtected

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

_PASSING = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "Unavailable",
    }
)
"""Codes that another try may not meet (EC2 API reference, "Error codes"). Those of capacity are not among them."""
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

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """End instances that EC2 has described before, and their disks.

        A fresh id may be unknown to this call although the instance runs: it is asked again until it is known.

        Raises
        ------
        InstanceProtected
            One has EC2's own termination protection.
        """
        from botocore.exceptions import ClientError

        known = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, ClientError) and code_of(error) in NOT_FOUND),
            wait=wait_exponential(multiplier=0.25, max=5),
            stop=stop_after_delay(_UNKNOWN_ID_S),
            reraise=True,
        )
        with aws_errors(f"terminate {', '.join(instance_ids)}"):
            try:
                known(self._session.ec2.terminate_instances, InstanceIds=list(instance_ids))
            except ClientError as error:
                if code_of(error) != "OperationNotPermitted":
                    raise
                raise InstanceProtected(
                    f"EC2's termination protection is on: {masked(error.response['Error'].get('Message', ''))}",
                    "Take it off: aws ec2 modify-instance-attribute --no-disable-api-termination --instance-id ID",
                ) from error

    def set_tag(self, resource_id: str, key: str, value: str | None) -> None:
        """Set a tag, or remove it."""
        with aws_errors(f"tag {resource_id}"):
            if value is None:
                self._session.ec2.delete_tags(Resources=[resource_id], Tags=[{"Key": key}])
            else:
                self._session.ec2.create_tags(Resources=[resource_id], Tags=[{"Key": key, "Value": value}])

    def volumes_of(self, instance_id: str) -> list[VolumeTypeDef]:
        """Return the volumes that are attached to an instance."""
        with aws_errors(f"look at the disks of {instance_id}"):
            pages = self._session.ec2.get_paginator("describe_volumes").paginate(
                Filters=[{"Name": "attachment.instance-id", "Values": [instance_id]}]
            )
            return [volume for page in pages for volume in page["Volumes"]]

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
        retry=retry_if_exception(_may_pass),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        stop=stop_after_attempt(_LAUNCH_TRIES),
        reraise=True,
    )


def _may_pass(error: BaseException) -> bool:
    from botocore.exceptions import ClientError, HTTPClientError

    return code_of(error) in _PASSING if isinstance(error, ClientError) else isinstance(error, HTTPClientError)
