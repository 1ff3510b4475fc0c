"""On-demand list prices from the shipped table. Unknown is None, never 0."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

MINIMUM_BILLED_S = 60.0
"""EC2 bills Linux per second, 60 s at least per start (EC2 User Guide, "On-Demand Instances")."""


@dataclass(frozen=True)
class Price:
    """A price in USD per hour and where it comes from."""

    per_hour: float
    source: str


@dataclass(frozen=True)
class TypeFacts:
    """What the table knows of an instance type."""

    name: str
    accelerator_count: int
    arch: str
    vcpus: int
    memory_gib: float


@cache
def _table() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("ec2_on_demand_prices.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


def on_demand_price(instance_type: str, region: str | None) -> Price | None:
    """Return the list price of `instance_type` in `region`, or None when the table does not have it."""
    entry = _table()["types"].get(instance_type)
    per_hour = entry["price"].get(region) if entry else None
    if per_hour is None:
        return None
    return Price(float(per_hour), f"list price in the table shipped with runctl ({_table()['source'].split(' ')[0]})")


def type_facts(instance_type: str) -> TypeFacts | None:
    """Return what the table knows of `instance_type`."""
    entry = _table()["types"].get(instance_type)
    if entry is None:
        return None
    return TypeFacts(
        instance_type,
        int(entry["accelerator_count"]),
        entry["arch"],
        int(entry["vcpus"]),
        float(entry["memory_gib"]),
    )


def known_types() -> list[str]:
    """Return the instance types of the table."""
    return list(_table()["types"])


def cost_between(per_hour: float | None, start: datetime, end: datetime) -> float | None:
    """Return USD from `start` to `end` as EC2 bills it, or None when the price is unknown."""
    if per_hour is None:
        return None
    return per_hour * max((end - start).total_seconds(), MINIMUM_BILLED_S) / 3600
