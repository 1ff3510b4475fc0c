"""EC2's lists of instances and of their types, in pages and with the limits of each.

Source: EC2 API reference (DescribeInstances, DescribeInstanceStatus, DescribeInstanceTypes,
DescribeInstanceTypeOfferings).
"""

from __future__ import annotations

from collections.abc import Sequence

from moto.core.responses import ActionResult
from moto.ec2.responses._base_response import EC2BaseResponse

from runctl_jupyter.sandbox.control.ec2.launch_rules import invalid_value, refuse
from runctl_jupyter.sandbox.control.ec2.paging import page

_IDS_OF_STATUS = 100
_TYPES_BY_NAME = 100


class InstanceLists(EC2BaseResponse):  # type: ignore[misc]
    """Describes of instances and instance types."""

    def describe_instances(self) -> ActionResult:
        """DescribeInstances."""
        ids, filters = self._get_param("InstanceIds", []), self._filters_from_querystring()
        self._refuse_pages_of_ids(ids)
        self.error_on_dryrun()
        if ids:
            found = self.ec2_backend.get_reservations_by_instance_ids(ids, filters=filters)
        else:
            found = self.ec2_backend.describe_instances(filters=filters)
        shown, following = page(found, self.params, least=5, most=1000)
        return ActionResult({"Reservations": shown, "NextToken": following})

    def describe_instance_status(self) -> ActionResult:
        """DescribeInstanceStatus: running instances, unless all are asked for."""
        ids = self._get_param("InstanceIds", [])
        self._refuse_pages_of_ids(ids)
        if len(ids) > _IDS_OF_STATUS:
            raise invalid_value(f"The number of instance IDs must not exceed {_IDS_OF_STATUS}.")
        if ids:  # moto's own check knows nothing of ids that are fresh or malformed
            self.ec2_backend.get_reservations_by_instance_ids(ids)
        found = super().describe_instance_status().result["InstanceStatuses"]
        shown, following = page(found, self.params, least=5, most=1000)
        return ActionResult({"InstanceStatuses": shown, "NextToken": following})

    def describe_instance_types(self) -> ActionResult:
        """DescribeInstanceTypes."""
        if len(self._get_param("InstanceTypes", [])) > _TYPES_BY_NAME:
            raise invalid_value(f"The number of instance types must not exceed {_TYPES_BY_NAME}.")
        found = super().describe_instance_types().result["InstanceTypes"]
        shown, following = page(found, self.params, least=5, most=100)
        return ActionResult({"InstanceTypes": shown, "NextToken": following})

    def describe_instance_type_offerings(self) -> ActionResult:
        """DescribeInstanceTypeOfferings."""
        found = super().describe_instance_type_offerings().result["InstanceTypeOfferings"]
        shown, following = page(found, self.params, least=5, most=1000)
        return ActionResult({"InstanceTypeOfferings": shown, "NextToken": following})

    def _refuse_pages_of_ids(self, ids: Sequence[str]) -> None:
        if ids and self._get_param("MaxResults") is not None:
            raise refuse(
                "InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults"
            )
