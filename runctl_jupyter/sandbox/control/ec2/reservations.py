"""Capacity reservations and capacity blocks: this account has none, and nobody offers it any.

Source: EC2 API reference, DescribeCapacityReservations and DescribeCapacityBlockOfferings.
"""

from __future__ import annotations

import re

from moto.core.responses import ActionResult
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.responses._base_response import EC2BaseResponse

from runctl_jupyter.sandbox.control.ec2.launch_rules import invalid_value, refuse

_ID = re.compile(r"cr-[0-9a-f]{8,17}")
_DAY_H, _WEEK_H = 24, 7 * 24
_SHORT_H, _LONGEST_H = 14 * _DAY_H, 182 * _DAY_H
_FAMILIES = re.compile(r"(p4d|p4de|p5|p5e|p5en|p6[a-z0-9-]*|trn[12][a-z]*)\.")
_MOST_INSTANCES = 64


class ReservationActions(EC2BaseResponse):  # type: ignore[misc]
    """What can be asked about reserved capacity."""

    def describe_capacity_reservations(self) -> ActionResult:
        """DescribeCapacityReservations: none can be made here, so each id is unknown."""
        self.error_on_dryrun()
        for one in self._get_param("CapacityReservationIds", []):
            if not _ID.fullmatch(one):
                raise refuse("InvalidCapacityReservationId.Malformed", f"Invalid id: '{one}' (expecting 'cr-...')")
            raise refuse("InvalidCapacityReservationId.NotFound", f"The capacity reservation ID '{one}' does not exist")
        return ActionResult({"CapacityReservations": []})

    def describe_capacity_block_offerings(self) -> ActionResult:
        """DescribeCapacityBlockOfferings: checked as EC2 does, and nothing is on offer."""
        self.error_on_dryrun()
        hours, kind = int(self._get_param("CapacityDurationHours")), self._get_param("InstanceType")
        step = _DAY_H if hours <= _SHORT_H else _WEEK_H
        if not _DAY_H <= hours <= _LONGEST_H or hours % step:
            raise invalid_value(
                f"Value ({hours}) for parameter CapacityDurationHours is invalid: steps of a day up to 14 days, then "
                "steps of 7 days up to 182 days."
            )
        if kind is not None and (kind not in INSTANCE_TYPES or not _FAMILIES.match(kind)):
            raise invalid_value(f"Value ({kind}) for parameter InstanceType is invalid for Capacity Blocks.")
        count = int(self._get_param("InstanceCount", 1))
        if not 1 <= count <= _MOST_INSTANCES:
            raise invalid_value(f"Value ({count}) for parameter InstanceCount is invalid: 1 to {_MOST_INSTANCES}.")
        return ActionResult({"CapacityBlockOfferings": []})
