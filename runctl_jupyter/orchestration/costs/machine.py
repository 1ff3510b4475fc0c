"""What a machine costs between two moments: the instance while it runs, its disks as long as they are there."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from runctl_jupyter.orchestration.costs.cost import Cost
from runctl_jupyter.orchestration.costs.prices import billed_seconds, cost_between
from runctl_jupyter.orchestration.costs.rates import PUBLIC_IPV4_PER_HOUR, Disk, disk_per_hour


def run_cost(per_hour: float | None, begin: datetime, end: datetime, *, address: bool) -> Cost:
    """Return what one start of an instance costs until `end`, without its disks.

    Parameters
    ----------
    per_hour
        Price of the instance as it was bought; None when unknown.
    address
        Whether it has a public IPv4 address.
    """
    parts: dict[str, float | None] = {"machine": cost_between(per_hour, begin, end)}
    if address:
        parts["address"] = PUBLIC_IPV4_PER_HOUR * billed_seconds(begin, end) / 3600
    return Cost.of(**parts)


def disks_cost(disks: Iterable[Disk], begin: datetime, end: datetime, region: str | None) -> Cost:
    """Return what disks cost from `begin` to `end`, or since they exist; they are billed while a machine is stopped."""
    cost = Cost()
    for disk in disks:
        since = max(disk.created_at, begin)
        if since < end:
            # By the second, 60 at least (EBS pricing).
            cost += Cost.of(disk=cost_between(disk_per_hour(disk, region), since, end))
    return cost
