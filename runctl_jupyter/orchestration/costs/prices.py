"""On-demand list prices from the shipped table. Unknown is None, never 0."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from runctl_jupyter.orchestration.costs.price import SHIPPED_TABLE, Price

MINIMUM_BILLED_S = 60.0
"""EC2 bills Linux per second, 60 s at least per start (EC2 User Guide, "On-Demand Instances")."""


@dataclass(frozen=True)
class TypeFacts:
    """What an instance type is."""

    name: str
    accelerator_count: int
    arch: str
    vcpus: int
    memory_gib: float
    accelerator: str | None = None
    """Name of its GPUs, e.g. ``A10G``."""
    accelerator_memory_gib: float | None = None
    """Of each of them."""


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
    return Price(float(per_hour), _table_source(), _table_date())


def _table_source() -> str:
    """Return what is known of where the table's prices are from: the catalogue, and which commit of it."""
    table = _table()
    return f"{SHIPPED_TABLE} ({table['source'].split()[0]} {table['commit'][:7]})"


def _table_date() -> datetime | None:
    """Return when the table's prices were true; it may say no more than from which commit it was made."""
    try:
        return datetime.fromisoformat(_table()["as_of"]).replace(tzinfo=UTC)
    except ValueError:
        return None


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
        entry["accelerator"],
        entry["gpu_memory_gib"],
    )


def known_types() -> list[str]:
    """Return the instance types of the table."""
    return list(_table()["types"])


def billed_seconds(start: datetime, end: datetime) -> float:
    """Return the seconds that EC2 bills of one run: whole ones, 60 at least."""
    return max(math.ceil((end - start).total_seconds()), MINIMUM_BILLED_S)


def cost_between(per_hour: float | None, start: datetime, end: datetime) -> float | None:
    """Return USD from `start` to `end` as EC2 bills it, or None when the price is unknown."""
    if per_hour is None:
        return None
    return per_hour * billed_seconds(start, end) / 3600
