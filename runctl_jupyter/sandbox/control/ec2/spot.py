"""Spot requests of RunInstances and fleets, which moto does not keep: their states, and why they changed.

Sources: EC2 User Guide ("Spot Instance request status", "Stop a Spot Instance", "Terminate a Spot Instance", "Cancel a
Spot Instance request").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from moto.ec2.exceptions import FilterNotImplementedError
from moto.ec2.models.core import TaggedEC2Resource

Status = tuple[str, str]
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
STOPPED_BY_USER = ("instance-stopped-by-user", "You stopped your Spot Instance.")
MARKED_FOR_STOP = ("marked-for-stop", "Your Spot Instance is marked for stop due to a lack of available Spot capacity.")
STOPPED_NO_CAPACITY = (
    "instance-stopped-no-capacity",
    "Your Spot Instance was stopped due to a lack of available Spot capacity.",
)
CAPACITY_NOT_AVAILABLE = (
    "capacity-not-available",
    "There is no Spot capacity available that matches your request.",
)
PRICE_TOO_LOW = ("price-too-low", "Your Spot request price is lower than the minimum required Spot price.")
PENDING = ("pending-evaluation", "Your Spot request has been submitted for review, and is pending evaluation.")
BAD_PARAMETERS = ("bad-parameters", "One or more parameters for your Spot request are not valid.")
EXPIRED = ("schedule-expired", "Your Spot request expired before it was fulfilled.")
CANCELED = ("canceled-before-fulfillment", "Your Spot request was canceled before it was fulfilled.")


@dataclass(frozen=True)
class SpotTerms:
    """What a request asks for, in JSON values."""

    kind: str = "one-time"
    """``one-time`` or ``persistent``."""
    behavior: str = "terminate"
    """What an interruption does: ``terminate`` or ``stop``."""
    price: str | None = None
    valid_until: str | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> SpotTerms:
        """Read the ``SpotOptions`` of a launch."""
        until = options.get("ValidUntil")
        return cls(
            kind=str(options.get("SpotInstanceType", "one-time")),
            behavior=str(options.get("InstanceInterruptionBehavior", "terminate")),
            price=options.get("MaxPrice"),
            valid_until=until.isoformat() if isinstance(until, datetime) else until,
        )


class SpotRequest(TaggedEC2Resource):  # type: ignore[misc]
    """A Spot request as DescribeSpotInstanceRequests shows it; attributes carry the API's names."""

    __module__ = "moto.ec2.models.spot_requests"  # moto derives the service from the module's name

    def __init__(self, backend: Any, request_id: str, instance: Any, terms: SpotTerms) -> None:
        self.ec2_backend = backend
        self.id = self.spot_instance_request_id = request_id
        self.terms = terms
        self.spot_price = terms.price
        self.type = terms.kind
        self.instance_interruption_behavior = terms.behavior
        self.valid_until = _in_utc(terms.valid_until) if terms.valid_until else None
        self.product_description = "Linux/UNIX"
        self.create_time = datetime.now(UTC)
        self.state = "active"
        self.status: dict[str, Any] = {}
        self.fulfil(instance)
        self.launch_specification = {
            "ImageId": instance.image_id,
            "InstanceType": instance.instance_type,
            "SubnetId": instance.subnet_id,
        }

    def fulfil(self, instance: Any) -> None:
        """Have an instance."""
        self.instance = instance
        self.instance_id = str(instance.id)
        self.launched_availability_zone = instance.placement.zone
        self.state = "active"
        self.set_status(FULFILLED)

    @property
    def persistent(self) -> bool:
        """Whether it outlives its instance."""
        return self.type == "persistent"

    @property
    def expired(self) -> bool:
        """Whether its ``ValidUntil`` is over."""
        return self.valid_until is not None and self.valid_until <= datetime.now(UTC)

    def set_status(self, status: Status) -> None:
        """Set status code and message, now."""
        self.status = {"Code": status[0], "Message": status[1], "UpdateTime": datetime.now(UTC)}

    def follow(self, instance_state: str) -> None:
        """Change with the state of the instance; only persistent requests have instances that stop."""
        if instance_state == "stopping" and self.state == "active" and self.status["Code"] != MARKED_FOR_STOP[0]:
            self.state = "disabled"
            self.set_status(STOPPED_BY_USER)
        elif instance_state == "stopped" and self.status["Code"] == MARKED_FOR_STOP[0]:
            self.state = "open"
            self.set_status(STOPPED_NO_CAPACITY)
        elif instance_state == "pending" and self.state in ("disabled", "open"):
            self.state = "active"
            self.set_status(FULFILLED)

    def close(self, status: Status) -> None:
        """End with the instance, or, when persistent and not cancelled, open again and want another one.

        A reclaim that was announced before keeps its status.
        """
        if self.persistent and self.state != "cancelled" and not self.expired:
            self.state = "open"
            self.set_status(PENDING)
            return
        self.state = "cancelled" if self.state == "cancelled" else "closed"
        if self.status["Code"] != NO_CAPACITY[0]:
            self.set_status(status)

    def give_up(self, status: Status) -> None:
        """End without another instance, if it still waits for one."""
        if self.state == "open":
            self.state = "closed"
            self.set_status(status)

    def cancel(self, *, running: bool) -> None:
        """End for good; an instance that runs goes on."""
        was_closed = self.state == "closed"
        self.state = "cancelled"
        if running:
            self.set_status(CANCELED_RUNNING)
        elif not was_closed:
            self.set_status(CANCELED)

    def record(self) -> dict[str, Any]:
        """Give what is kept of it on disk."""
        tags = {tag["key"]: tag["value"] for tag in self.get_tags()}
        return {"id": self.id, "state": self.state, "status": [self.status["Code"], self.status["Message"]],
                "tags": tags, "terms": asdict(self.terms)}  # fmt: skip

    def get_filter_value(self, filter_name: str, method_name: str | None = None) -> Any:
        """Value that a filter of DescribeSpotInstanceRequests compares with."""
        values = {
            "spot-instance-request-id": self.id,
            "state": self.state,
            "status-code": self.status["Code"],
            "status-message": self.status["Message"],
            "instance-id": self.instance_id,
            "type": self.type,
            "spot-price": self.spot_price,
            "product-description": self.product_description,
            "launched-availability-zone": self.launched_availability_zone,
            "launch.image-id": self.launch_specification["ImageId"],
            "launch.instance-type": self.launch_specification["InstanceType"],
        }
        if filter_name in values:
            return values[filter_name]
        if filter_name.startswith("tag"):
            return super().get_filter_value(filter_name, method_name)
        raise FilterNotImplementedError(filter_name, method_name)


def _in_utc(time: str) -> datetime:
    at = datetime.fromisoformat(time)
    return at if at.tzinfo else at.replace(tzinfo=UTC)  # moto reads times without a zone


def spot_request(instance: Any) -> Any:
    """Give the Spot request of an instance, or None."""
    request_id = getattr(instance, "spot_instance_request_id", None)
    return instance.ec2_backend.spot_instance_requests.get(request_id) if request_id else None


def add_spot_request(
    backend: Any, instance: Any, request_id: str, terms: SpotTerms, tags: Mapping[str, str]
) -> SpotRequest:
    """Record the Spot request that made an instance."""
    request = SpotRequest(backend, request_id, instance, terms)
    backend.spot_instance_requests[request_id] = request
    request.add_tags(dict(tags))
    serve_spot_request(instance, request)
    return request


def serve_spot_request(instance: Any, request: SpotRequest) -> None:
    """Let an instance be the one that a Spot request has."""
    instance.lifecycle = "spot"
    instance.spot_type = request.type
    instance.spot_instance_request_id = request.id
    request.fulfil(instance)
