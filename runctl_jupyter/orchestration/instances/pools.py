"""Where a machine may be had: each pool is a type in a zone, at a price, spot or on-demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import InvalidRequest, LaunchRefused
from runctl_jupyter.run_record import MachineOffer

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.ec2 import Ec2, Subnet
    from runctl_jupyter.orchestration.costs.price import Price
    from runctl_jupyter.orchestration.costs.prices import TypeFacts
    from runctl_jupyter.orchestration.costs.pricing import Prices


@dataclass(frozen=True)
class Pool:
    """A type in a subnet's zone, on one market."""

    instance_type: str
    zone: str
    subnet_id: str
    spot: bool
    price: Price | None
    needs_address: bool = False
    """Whether the launch has to ask for a public address; see `Subnet`."""

    @property
    def offer(self) -> MachineOffer:
        """The same for the record."""
        price = self.price
        return MachineOffer(
            self.instance_type,
            self.zone if self.spot else None,
            self.spot,
            price.per_hour if price else None,
            price.source_text if price else "",
        )

    def __str__(self) -> str:
        return f"{self.instance_type}{' spot' if self.spot else ''} in {self.zone}"


def subnets_of(ec2: Ec2, chosen: Sequence[str], region: str) -> list[Subnet]:
    """Return where machines can be launched: the setting's subnets, or the default VPC's.

    Raises
    ------
    LaunchRefused
        There are none.
    """
    found = ec2.subnets(chosen)
    if not found:
        named = f"The subnets {', '.join(chosen)} cannot be used" if chosen else "There is no default VPC"
        raise LaunchRefused(
            f"{named} in {region}, so a machine has no network to start in.",
            'Name one with a way to the internet: subnet = ["subnet-…"] under [launch] in .runctl.toml.',
        )
    return found


_SPOT_S = 3.0
"""Seconds to wait for a spot price: no table has it, and by it the pools are put in order."""


def pools_of(
    types: Sequence[TypeFacts],
    subnets: Sequence[Subnet],
    offered: dict[str, set[str]],
    prices: Prices,
    *,
    spot: bool,
    region: str,
) -> list[Pool]:
    """Return the pools of one market, in order of preference: type by type; of spot the cheapest zone first.

    Raises
    ------
    InvalidRequest
        None of the types is offered where there is a subnet.
    """
    pools: list[Pool] = []
    for facts in types:
        name = facts.name
        zones = [subnet for subnet in _one_per_zone(subnets) if subnet.zone in offered.get(name, ())]
        list_price = None if spot else prices.on_demand(name)
        of_type = [
            Pool(
                name,
                each.zone,
                each.id,
                spot,
                prices.spot(name, each.zone, patience_s=_SPOT_S) if spot else list_price,
                each.needs_address,
            )
            for each in zones
        ]
        pools += sorted(of_type, key=lambda pool: float("inf") if pool.price is None else pool.price.per_hour)
    if not pools:
        names = " or ".join(facts.name for facts in types)
        zones_said = ", ".join(sorted({subnet.zone for subnet in subnets}))
        elsewhere = sorted(set().union(*(offered.get(facts.name, set()) for facts in types)))
        where = f"It is offered in {', '.join(elsewhere)}: name" if elsewhere else "Choose another type, or name"
        raise InvalidRequest(
            f"No zone of {region} with a subnet of yours ({zones_said}) offers {names}.",
            f"{where} a subnet there: subnet under [launch] in .runctl.toml.",
        )
    return pools


def _one_per_zone(subnets: Sequence[Subnet]) -> list[Subnet]:
    # EC2 refuses a fleet that names two subnets of one zone for the same type (EC2 User Guide, CreateFleet).
    by_zone: dict[str, Subnet] = {}
    for each in subnets:
        by_zone.setdefault(each.zone, each)
    return list(by_zone.values())
