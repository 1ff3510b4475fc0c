"""What a launch would do: the kinds of machines, their image, where there are any, at what price; asked in parallel."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.costs.rates import PUBLIC_IPV4_PER_HOUR, gp3_per_hour
from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.instances.catalogue import Catalogue, facts_text
from runctl_jupyter.orchestration.instances.images import Image, find_image, is_served
from runctl_jupyter.orchestration.instances.pools import Pool, pools_of, subnets_of
from runctl_jupyter.orchestration.model import LaunchPlan, PlannedType

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.account.quotas import Quotas
    from runctl_jupyter.orchestration.aws.ec2 import Ec2
    from runctl_jupyter.orchestration.aws.ssm import Ssm
    from runctl_jupyter.orchestration.config import LaunchSettings
    from runctl_jupyter.orchestration.costs.prices import TypeFacts
    from runctl_jupyter.orchestration.costs.pricing import Prices
    from runctl_jupyter.orchestration.model import QuotaLeft
    from runctl_jupyter.run_record import MachineAsked

_ALTERNATIVES = 2
_LOOKED_AT = 4
"""Types whose spot price is asked for, in search of cheaper ones."""


@dataclass(frozen=True)
class Knowledge:
    """Who is asked about money and limits."""

    prices: Prices
    quotas: Quotas | None = None


@dataclass(frozen=True)
class Prepared:
    """A launch that has been thought through and can be made."""

    asked: MachineAsked
    types: Sequence[TypeFacts]
    image: Image
    markets: Sequence[Sequence[Pool]]
    """Pools by market in order of preference; on-demand after spot only where that is allowed."""

    @property
    def first(self) -> Pool:
        """The first choice."""
        return self.markets[0][0]

    @property
    def pools(self) -> list[Pool]:
        """All of them."""
        return [pool for pools in self.markets for pool in pools]

    @property
    def dearest_per_hour(self) -> float | None:
        """USD per hour of the dearest pool; None when one's price is unknown."""
        prices = [pool.price.per_hour if pool.price else None for pool in self.pools]
        return None if None in prices else max(price for price in prices if price is not None)


class Planner:
    """Plans launches in one account and region.

    Parameters
    ----------
    ec2, ssm
        The account.
    settings
        Table ``[launch]``.
    region
        Where.
    knowledge
        About money and limits.
    """

    def __init__(self, ec2: Ec2, ssm: Ssm, settings: LaunchSettings, region: str, knowledge: Knowledge) -> None:
        self._ec2, self._ssm, self._settings, self._region = ec2, ssm, settings, region
        self._knowledge = knowledge
        self._catalogue = Catalogue(ec2, region)

    def types(self, asked: MachineAsked) -> list[TypeFacts]:
        """Return the types asked for, in order of preference.

        Raises
        ------
        InvalidRequest
            There is no such type or GPU, or they cannot be started from one image.
        """
        if asked.gpu is not None:
            fitting = self._catalogue.with_gpu(asked.gpu)
            return [facts for facts in fitting if self._settings.ami or is_served(facts)] or fitting
        types = self._catalogue.facts(asked.instance_types or self._settings.instance_types)
        first = types[0]
        for other in types[1:]:
            if (other.arch, other.accelerator_count > 0) != (first.arch, first.accelerator_count > 0):
                raise InvalidRequest(
                    f"{first.name} and {other.name} need different machine images.",
                    "Ask for types of one processor architecture, all with GPUs or all without.",
                )
        return types

    def prepare(self, asked: MachineAsked) -> Prepared:
        """Think a launch through.

        Raises
        ------
        InvalidRequest, LaunchRefused
            It cannot be made.
        """
        types = self.types(asked)
        names = [facts.name for facts in types]
        on_demand = not asked.spot or asked.fallback == "on-demand"
        self._knowledge.prices.expect(on_demand=names if on_demand else (), spot=names if asked.spot else ())
        with ThreadPoolExecutor(3, "runctl-plan") as threads:
            image = threads.submit(find_image, self._ec2, self._ssm, self._settings, types, self._region)
            offered = threads.submit(self._ec2.zones_offering, names)
            subnets = threads.submit(subnets_of, self._ec2, self._settings.subnet, self._region)
            found_image, zones, found_subnets = image.result(), offered.result(), subnets.result()
        markets = [
            pools_of(types, found_subnets, zones, self._knowledge.prices, spot=spot, region=self._region)
            for spot, wanted in ((True, asked.spot), (False, on_demand))
            if wanted
        ]
        return Prepared(asked, types, found_image, markets)

    def plan(self, prepared: Prepared, *, volume_gib: int | None, ttl_s: float) -> LaunchPlan:
        """Return what a prepared launch would do, for a person; asks for quota and cheaper ones."""
        first, facts = prepared.first, prepared.types[0]
        disk = prepared.image.volume_gib(volume_gib, self._settings)
        beside = beside_per_hour(disk, self._region)
        extras = sum(beside.values()) if "disk" in beside else None
        dearest = prepared.dearest_per_hour
        return LaunchPlan(
            instance_type=first.instance_type,
            image_id=prepared.image.id,
            image_name=prepared.image.name,
            region=self._region,
            availability_zones=sorted({pool.zone for pool in prepared.pools}),
            volume_gib=disk,
            spot=first.spot,
            price_per_hour=first.price.per_hour if first.price else None,
            price_source=first.price.source_text if first.price else "unknown: AWS does not tell it",
            ttl_s=ttl_s,
            total_at_ttl_usd=None if dearest is None else (dearest + (extras or 0.0)) * ttl_s / 3600,
            image_found_by=prepared.image.found_by,
            candidates=[_planned(each, prepared.markets[0]) for each in prepared.types],
            fallback=prepared.asked.fallback,
            price_as_of=first.price.as_of if first.price else None,
            extras_per_hour=extras,
            quota=self._quota(facts, spot=first.spot),
            alternatives=self._alternatives(prepared),
        )

    def beside_per_hour(self, prepared: Prepared) -> dict[str, float]:
        """Return what else of a prepared machine is billed by the hour; see `JobSpec.beside_per_hour`."""
        return beside_per_hour(prepared.image.volume_gib(None, self._settings), self._region)

    def _quota(self, facts: TypeFacts, *, spot: bool) -> QuotaLeft | None:
        quotas = self._knowledge.quotas
        return quotas.left(facts.vcpus, facts.name, spot=spot) if quotas else None

    def _alternatives(self, prepared: Prepared) -> list[PlannedType]:
        """Return cheaper ones that would do: the same on spot, other types with as much GPU memory or vCPUs."""
        first, facts = prepared.first, prepared.types[0]
        if first.price is None:
            return []
        prices, spot = self._knowledge.prices, first.spot
        asked = {each.name for each in prepared.types}
        others = [each for each in self._catalogue.cheaper_fits(facts) if each.name not in asked][:_LOOKED_AT]
        wanted = [(each, spot) for each in others] + ([] if spot else [(each, True) for each in (facts, *others)])
        prices.expect(
            on_demand=[each.name for each, as_spot in wanted if not as_spot],
            spot=[each.name for each, as_spot in wanted if as_spot],
        )
        found: list[PlannedType] = []
        for each, as_spot in wanted:
            price = prices.spot(each.name) if as_spot else prices.on_demand(each.name)
            if price is not None and price.per_hour < first.price.per_hour:
                found.append(PlannedType(each.name, as_spot, price.per_hour, facts_text(each)))
        return sorted(found, key=lambda each: each.price_per_hour or 0.0)[:_ALTERNATIVES]


def beside_per_hour(volume_gib: int, region: str) -> dict[str, float]:
    """Return what else of a machine is billed by the hour, in USD: its disk, where the price is known, its address.

    A machine without a public address costs less by that; only EC2's answer will tell.
    """
    disk = gp3_per_hour(volume_gib, region)
    return {"address": PUBLIC_IPV4_PER_HOUR} | ({} if disk is None else {"disk": disk})


def _planned(facts: TypeFacts, pools: Sequence[Pool]) -> PlannedType:
    mine = [pool for pool in pools if pool.instance_type == facts.name]
    known = [pool.price.per_hour for pool in mine if pool.price is not None]
    spot = pools[0].spot
    zones = sorted({pool.zone for pool in mine})
    return PlannedType(facts.name, spot, min(known, default=None), facts_text(facts), zones)
