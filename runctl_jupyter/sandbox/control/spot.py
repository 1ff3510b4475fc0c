"""Spot requests of RunInstances, which moto does not keep."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from moto.ec2.exceptions import FilterNotImplementedError
from moto.ec2.models.core import TaggedEC2Resource

FULFILLED = ("fulfilled", "Your Spot request is fulfilled.")
NO_CAPACITY = (
    "instance-terminated-no-capacity",
    "Your Spot Instance was terminated due to a lack of available Spot capacity.",
)
BY_USER = ("instance-terminated-by-user", "You terminated your Spot Instance.")
CANCELED_RUNNING = (
    "request-canceled-and-instance-running",
    "Your Spot request is canceled, but your Spot Instance is still running.",
)


class SpotRequest(TaggedEC2Resource):  # type: ignore[misc]
    """A one-time Spot request as DescribeSpotInstanceRequests shows it; attributes carry the API's names."""

    __module__ = "moto.ec2.models.spot_requests"  # moto derives the service from the module's name

    def __init__(self, backend: Any, request_id: str, instance: Any, price: str | None) -> None:
        self.ec2_backend = backend
        self.id = self.spot_instance_request_id = request_id
        self.instance = instance
        self.instance_id = str(instance.id)
        self.spot_price = price
        self.type = "one-time"
        self.state = "active"
        self.product_description = "Linux/UNIX"
        self.instance_interruption_behavior = "terminate"
        self.create_time = datetime.now(UTC)
        self.launched_availability_zone = instance.placement.zone
        self.launch_specification = {
            "ImageId": instance.image_id,
            "InstanceType": instance.instance_type,
            "SubnetId": instance.subnet_id,
        }
        self.status: dict[str, Any] = {}
        self.set_status(FULFILLED)

    def set_status(self, status: tuple[str, str]) -> None:
        """Set status code and message, now."""
        self.status = {"Code": status[0], "Message": status[1], "UpdateTime": datetime.now(UTC)}

    def close(self, status: tuple[str, str] | None = None) -> None:
        """End the request with its instance; a reclaim that was announced before keeps its status."""
        self.state = "cancelled" if self.state == "cancelled" else "closed"
        if status is not None and self.status["Code"] in (FULFILLED[0], CANCELED_RUNNING[0]):
            self.set_status(status)

    def get_filter_value(self, filter_name: str, method_name: str | None = None) -> Any:
        """Value that a filter of DescribeSpotInstanceRequests compares with."""
        values = {
            "spot-instance-request-id": self.id,
            "state": self.state,
            "status-code": self.status["Code"],
            "instance-id": self.instance_id,
            "type": self.type,
            "launched-availability-zone": self.launched_availability_zone,
        }
        if filter_name in values:
            return values[filter_name]
        if filter_name.startswith("tag"):
            return super().get_filter_value(filter_name, method_name)
        raise FilterNotImplementedError(filter_name, method_name)
