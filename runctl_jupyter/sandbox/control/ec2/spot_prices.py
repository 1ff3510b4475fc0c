"""Prices of Spot capacity: a share of the on-demand price that differs by zone and moves every few hours.

The shares are invented, but always the same: a type in a zone at an hour has one price, whoever asks and whenever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from moto.ec2.models.instance_types import INSTANCE_TYPES

from runctl_jupyter.sandbox.control.other_services.price_list import products
from runctl_jupyter.sandbox.control.settings import REGION

HISTORY = timedelta(days=90)
"""How far back DescribeSpotPriceHistory reaches (EC2 API reference)."""
_STEP = timedelta(hours=6)
_LOWEST_SHARE, _SPREAD, _MOVE = 0.28, 0.30, 0.06
_VCPU_HOUR, _GPU_HOUR = 0.05, 0.6


@lru_cache(maxsize=1)
def _listed() -> dict[str, float]:
    """Dollars per hour by type, as the price list says."""
    wanted = {"regionCode": REGION, "capacitystatus": "Used"}
    return {
        product.attributes["instanceType"]: product.usd
        for product in products()
        if product.family == "Compute Instance" and wanted.items() <= product.attributes.items()
    }


def on_demand_price(instance_type: str) -> float:
    """Dollars per hour; of a type that the price list lacks, an estimate by its processors and GPUs."""
    listed = _listed().get(instance_type)
    if listed is not None:
        return listed
    facts = INSTANCE_TYPES.get(instance_type)
    if facts is None:
        return float("inf")
    gpus = sum(gpu["Count"] for gpu in facts.get("GpuInfo", {}).get("Gpus", []))
    return round(float(_VCPU_HOUR * facts["VCpuInfo"]["DefaultVCpus"] + _GPU_HOUR * gpus), 4)


def spot_price(instance_type: str, zone: str, at: datetime | None = None) -> float:
    """Dollars per hour of a type in a zone."""
    return _price_in_step(instance_type, zone, _step_of(instance_type, zone, at or datetime.now(UTC)))


def price_changes(instance_type: str, zone: str, start: datetime, end: datetime) -> Iterator[tuple[datetime, float]]:
    """Give the prices in force between two times, newest first, each with the time since when it is."""
    offset = _offset(instance_type, zone)
    for step in range(_step_of(instance_type, zone, end), _step_of(instance_type, zone, start) - 1, -1):
        yield (
            datetime.fromtimestamp(step * _STEP.total_seconds() + offset, UTC),
            _price_in_step(instance_type, zone, step),
        )


def placement_score(instance_type: str, zone: str) -> int:
    """Likelihood of a Spot request to succeed, from 4 to 9; always the same."""
    return 4 + int(6 * _fraction("score", instance_type, zone))


def _price_in_step(instance_type: str, zone: str, step: int) -> float:
    share = _LOWEST_SHARE + _SPREAD * _fraction(instance_type, zone) + _MOVE * _fraction(instance_type, zone, str(step))
    return round(on_demand_price(instance_type) * share, 6)


def _step_of(instance_type: str, zone: str, at: datetime) -> int:
    return int((at.timestamp() - _offset(instance_type, zone)) // _STEP.total_seconds())


def _offset(instance_type: str, zone: str) -> int:
    """Seconds by which the changes of this price are later than those of others."""
    return int(_fraction("offset", instance_type, zone) * _STEP.total_seconds())


@lru_cache(maxsize=4096)
def _fraction(*names: str) -> float:
    """Give a number from 0 to 1 that looks random and is always the same."""
    digest = hashlib.sha256("/".join(names).encode()).digest()
    return int.from_bytes(digest[:6], "big") / float(1 << 48)
