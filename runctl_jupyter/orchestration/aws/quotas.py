"""Service Quotas, and what counts against those of EC2."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from runctl_jupyter.orchestration.aws.failures import aws_errors, code_of

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef
    from mypy_boto3_service_quotas.type_defs import ServiceQuotaTypeDef

    from runctl_jupyter.orchestration.aws.session import AwsSession

_NAMES_AT_ONCE = 100
"""Types that one DescribeInstanceTypes takes (EC2 API reference)."""


class Use(NamedTuple):
    """A machine, or an open request for one, that counts against a quota of vCPUs."""

    instance_type: str
    spot: bool
    vcpus: int


class ServiceQuotas:
    """Limits of the account for EC2 in the session's region, and their use."""

    def __init__(self, session: AwsSession) -> None:
        self._session = session

    @property
    def region(self) -> str:
        """The region that the quotas are of."""
        return self._session.region

    def limit(self, code: str) -> tuple[str, float] | None:
        """Return name and value of a quota; None when AWS knows no such code here.

        A quota that was never changed may have no value of its own: its default holds then
        (Service Quotas API reference, GetAWSDefaultServiceQuota).
        """
        from botocore.exceptions import ClientError

        client = self._session.service_quotas
        with aws_errors(f"read quota {code}"):
            for ask in (client.get_service_quota, client.get_aws_default_service_quota):
                try:
                    return _name_and_value(ask(ServiceCode="ec2", QuotaCode=code)["Quota"])
                except ClientError as error:
                    if code_of(error) != "NoSuchResourceException":
                        raise
        return None

    def instances(self) -> list[Use]:
        """Return every machine of the account that counts, ours or not."""
        with aws_errors("list the account's instances"):
            pages = self._session.ec2.get_paginator("describe_instances").paginate(
                Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}]
            )
            found = [i for page in pages for r in page["Reservations"] for i in r.get("Instances", [])]
        by_type = self._vcpus({i["InstanceType"] for i in found if _own_vcpus(i) is None})
        return [
            Use(i["InstanceType"], i.get("InstanceLifecycle") == "spot", _own_vcpus(i) or by_type[i["InstanceType"]])
            for i in found
        ]

    def open_requests(self) -> list[Use]:
        """Return the spot requests that no machine serves yet: they count as much."""
        with aws_errors("list spot requests"):
            pages = self._session.ec2.get_paginator("describe_spot_instance_requests").paginate(
                Filters=[{"Name": "state", "Values": ["open"]}]
            )
            found = [r for page in pages for r in page["SpotInstanceRequests"] if not r.get("InstanceId")]
        types = [kind for r in found if (kind := r.get("LaunchSpecification", {}).get("InstanceType"))]
        vcpus = self._vcpus(types)
        return [Use(kind, True, vcpus[kind]) for kind in types]

    def _vcpus(self, types: Iterable[str]) -> Mapping[str, int]:
        wanted = sorted(set(types))
        found: dict[str, int] = {}
        with aws_errors("look up instance types"):
            for begin in range(0, len(wanted), _NAMES_AT_ONCE):
                names = wanted[begin : begin + _NAMES_AT_ONCE]
                answer = self._session.ec2.describe_instance_types(
                    Filters=[{"Name": "instance-type", "Values": names}], MaxResults=_NAMES_AT_ONCE
                )
                found |= {str(t["InstanceType"]): t["VCpuInfo"]["DefaultVCpus"] for t in answer["InstanceTypes"]}
        return found


def _name_and_value(quota: ServiceQuotaTypeDef) -> tuple[str, float]:
    return quota["QuotaName"], quota["Value"]


def _own_vcpus(instance: InstanceTypeDef) -> int | None:
    """Return the vCPUs that a machine has, where EC2 says so: fewer than its type's when it was launched with fewer."""
    options = instance.get("CpuOptions", {})
    return options.get("CoreCount", 0) * options.get("ThreadsPerCore", 0) or None
