"""Reads EC2's descriptions into instances with what they cost: prices and disks are looked up for all at once."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.costs.cost import Cost
from runctl_jupyter.orchestration.costs.machine import disks_cost, run_cost
from runctl_jupyter.orchestration.costs.rates import PUBLIC_IPV4_PER_HOUR, disk_per_hour
from runctl_jupyter.orchestration.errors import RunctlError
from runctl_jupyter.orchestration.instances.describe import is_spot, to_instance
from runctl_jupyter.run_record import now

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

    from runctl_jupyter.orchestration.costs.pricing import Prices
    from runctl_jupyter.orchestration.costs.rates import Disk
    from runctl_jupyter.orchestration.model import Instance

_log = logging.getLogger(__name__)

_WHEN = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")
"""EC2 tells when a machine was stopped in ``StateTransitionReason`` alone: ``User initiated (… GMT)``."""


class InstanceReader:
    """Reads descriptions of instances.

    Parameters
    ----------
    prices
        What they cost per hour.
    disks
        Lists the volumes of ours; asked when a description names one that is not known.
    region
        Where they are.
    """

    def __init__(self, prices: Prices, disks: Callable[[], Sequence[Disk]], region: str) -> None:
        self._prices, self._list_disks, self.region = prices, disks, region
        self._disks: dict[str, Disk] = {}
        self._asked_for: set[str] = set()
        self._lock = Lock()

    def read(self, described: Sequence[InstanceTypeDef]) -> list[Instance]:
        """Return EC2's descriptions as instances, in their order."""
        spot = [each["InstanceType"] for each in described if is_spot(each)]
        self._prices.expect((each["InstanceType"] for each in described if not is_spot(each)), spot)
        disks = self._disks_of(described)
        return [self._instance(each, disks) for each in described]

    def read_one(self, described: InstanceTypeDef) -> Instance:
        """Return EC2's description as an instance."""
        return self.read([described])[0]

    def _instance(self, described: InstanceTypeDef, disks: Mapping[str, Disk]) -> Instance:
        zone = described.get("Placement", {}).get("AvailabilityZone")
        price = self._prices.market(described["InstanceType"], zone, spot=is_spot(described))
        instance = to_instance(described, price)
        ids = _volume_ids(described)
        own = [disks[each] for each in ids if each in disks]
        # Right after a launch EC2 names no disks yet.
        all_known = bool(ids) and len(own) == len(ids)
        address = described.get("PublicIpAddress") is not None
        beside = {"address": PUBLIC_IPV4_PER_HOUR} if address else {}
        rates = [disk_per_hour(disk, self.region) for disk in own]
        known = [rate for rate in rates if rate is not None]
        if all_known and len(known) == len(rates):
            beside["disk"] = sum(known)
        stopped_at = None if instance.runs else _stopped_at(described)
        cost = self._run(instance, stopped_at, address=address)
        if instance.state != "terminated":
            cost += disks_cost(own, instance.launched_at, now(), self.region)
            cost += Cost() if all_known else Cost.of(disk=None)
        return replace(instance, beside_per_hour=beside, stopped_at=stopped_at, cost_parts=cost.to_dict())

    def _run(self, instance: Instance, stopped_at: datetime | None, *, address: bool) -> Cost:
        """Return what the last start has cost, without disks."""
        if instance.runs:
            return run_cost(instance.price_per_hour, instance.launched_at, now(), address=address)
        if stopped_at is None:
            return Cost.of(machine=None)
        # Whether it had an address then is not told any more.
        return run_cost(instance.price_per_hour, instance.launched_at, stopped_at, address=False)

    def _disks_of(self, described: Sequence[InstanceTypeDef]) -> Mapping[str, Disk]:
        """Return what is known of the disks of instances; EC2 is asked once for each that is new."""
        wanted = {each for one in described for each in _volume_ids(one)}
        with self._lock:
            if wanted - self._disks.keys() - self._asked_for:
                try:
                    self._disks.update({disk.id: disk for disk in self._list_disks()})
                    # One that is not ours, or is gone already, is not looked for again.
                    self._asked_for |= wanted
                except RunctlError as error:
                    _log.info("disks are not known: %s", error.what)
            return dict(self._disks)


def _stopped_at(described: InstanceTypeDef) -> datetime | None:
    told = _WHEN.search(described.get("StateTransitionReason", ""))
    if told is None:
        return None
    moment = datetime.strptime(told[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    return max(moment, described["LaunchTime"])


def _volume_ids(described: InstanceTypeDef) -> list[str]:
    mappings = described.get("BlockDeviceMappings", [])
    return [each["Ebs"]["VolumeId"] for each in mappings if "Ebs" in each and "VolumeId" in each["Ebs"]]
