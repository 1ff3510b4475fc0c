"""Reads EC2's description of an instance into ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.costs.prices import cost_between
from runctl_jupyter.orchestration.instances import reasons
from runctl_jupyter.orchestration.listing import Column
from runctl_jupyter.orchestration.model import RUNNING_STATES, Instance
from runctl_jupyter.orchestration.units import age_text, money_text, rate_text
from runctl_jupyter.run_record import now

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

    from runctl_jupyter.orchestration.costs.price import Price

TAG_MANAGED = "runctl:managed"
TAG_OWNER = "runctl:owner"
TAG_TTL = "runctl:ttl"
"""Seconds that the machine lives after each start; its end is the start plus this."""
TAG_IDLE_STOP = "runctl:idle-stop"
"""Seconds without any use after which the machine powers itself off."""
TAG_LAUNCH = "runctl:launch"
"""Which launch made it: one launch makes one machine, whatever becomes of requests and answers."""
TAG_JOB = "runctl:job"
TAG_ATTEMPT = "runctl:attempt"
"""Which attempt of that job: a job that was resumed has had other machines before."""
TAG_PROTECTED = "runctl:protected"
"""``true`` (see `is_protected`): nothing of ours terminates it, whatever is insisted on; its own time limit
does all the same."""

LIVE = ("pending", "running", "stopping", "stopped")
"""States of an instance that can still be used."""


def tags_of(described: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of EC2's description of anything."""
    return {tag["Key"]: tag["Value"] for tag in described.get("Tags", [])}


def is_spot(described: InstanceTypeDef) -> bool:
    """Return whether an instance was bought on the spot market."""
    return described.get("InstanceLifecycle") == "spot"


def is_ours(described: InstanceTypeDef) -> bool:
    """Return whether we launched it: we never touch what does not carry our tag."""
    return tags_of(described).get(TAG_MANAGED) == "true"


def is_protected(tags: Mapping[str, str]) -> bool:
    """Return whether a tag keeps a thing from being removed: ``true``, ``yes``, ``1``, and what nobody knows too."""
    return tags.get(TAG_PROTECTED, "false").strip().lower() not in ("false", "no", "0")


def to_instance(described: InstanceTypeDef, price: Price | None = None) -> Instance:
    """Return EC2's description as an `Instance`.

    Parameters
    ----------
    price
        Of the instance as it was bought; None when unknown.
    """
    tags = tags_of(described)
    zone = described.get("Placement", {}).get("AvailabilityZone", "")
    state = described["State"]["Name"]
    launched: datetime = described["LaunchTime"]
    per_hour = price.per_hour if price else None
    running = state in RUNNING_STATES
    ttl = tags.get(TAG_TTL)
    return Instance(
        id=described["InstanceId"],
        name=tags.get("Name", ""),
        state=state,
        instance_type=described["InstanceType"],
        spot=is_spot(described),
        availability_zone=zone,
        launched_at=launched,
        price_per_hour=per_hour,
        cost_usd=cost_between(per_hour, launched, now()) if running else None,
        tags=tags,
        private_ip=described.get("PrivateIpAddress"),
        owner=tags.get(TAG_OWNER, ""),
        expires_at=launched + timedelta(seconds=float(ttl)) if ttl else None,
        price_source=price.source_text if price else "",
        state_reason=reasons.words(described),
        state_reason_code=reasons.code_of(described),
        spot_request_id=described.get("SpotInstanceRequestId"),
        protected=is_protected(tags),
    )


COLUMNS = (
    Column[Instance]("id", lambda i: i.id),
    Column[Instance]("name", lambda i: i.name),
    Column[Instance]("state", lambda i: i.state),
    Column[Instance]("type", lambda i: f"{i.instance_type}{' spot' if i.spot else ''}"),
    Column[Instance]("zone", lambda i: i.availability_zone),
    Column[Instance]("up", lambda i: age_text(i.launched_at) if i.state == "running" else "", right=True),
    Column[Instance]("price", lambda i: rate_text(i.price_per_hour), right=True),
    Column[Instance]("cost", lambda i: money_text(i.cost_usd) if i.state == "running" else "", right=True),
    Column[Instance]("owner", lambda i: i.owner),
    Column[Instance]("price from", lambda i: i.price_source),
)
REASON = Column[Instance]("why", lambda i: i.state_reason)
"""A further column, where one of the instances has stopped or ended."""
