"""A sum of money in parts, some of which may be unknown: then it is said to be at least so much."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runctl_jupyter.orchestration.units import money_text

PARTS = ("machine", "disk", "address", "storage", "requests")
"""Instance, EBS, public IPv4, S3 by size, S3 by request: in the order in which they are said."""


@dataclass(frozen=True)
class Cost:
    """USD by part. They add up: what is unknown of one stays unknown in the sum, what is known stays known."""

    usd: Mapping[str, float] = field(default_factory=dict)
    """What is known of each part."""
    unknown: frozenset[str] = frozenset()
    """Parts that cost more than is known of them."""

    @classmethod
    def of(cls, **parts: float | None) -> Cost:
        """Return a cost of these parts; None is unknown."""
        known = {name: usd for name, usd in parts.items() if usd is not None}
        return cls(known, frozenset(parts) - frozenset(known))

    def __add__(self, other: Cost) -> Cost:
        names = [*self.usd, *(name for name in other.usd if name not in self.usd)]
        both = {name: self.usd.get(name, 0.0) + other.usd.get(name, 0.0) for name in names}
        return Cost(both, self.unknown | other.unknown)

    @property
    def total_usd(self) -> float | None:
        """Sum of what is known; None when nothing is."""
        return None if not self.usd and self.unknown else sum(self.usd.values())

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Cost:
        """Return what `to_dict` has written."""
        known = {name: float(said[name]) for name in PARTS if said.get(name) is not None}
        return cls(known, frozenset(said.get("unknown", ())))

    def scaled(self, share: float) -> Cost:
        """Return a share of it."""
        return Cost({name: usd * share for name, usd in self.usd.items()}, self.unknown if share else frozenset())

    def __str__(self) -> str:
        text = money_text(self.total_usd)
        return f"at least {text}" if self.unknown and self.usd else text

    def breakdown(self) -> str:
        """Return the parts in words, e.g. ``machine $1.01, disk $0.01, address unknown``."""
        said = []
        for name in self.parts:
            more = "more than " if name in self.unknown and name in self.usd else ""
            said.append(f"{name} {more}{money_text(self.usd.get(name))}")
        return ", ".join(said)

    @property
    def parts(self) -> list[str]:
        """Names of the parts that there are."""
        return [name for name in PARTS if name in self.usd or name in self.unknown]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready keys and values: each part, None where nothing is known of it, their sum, what is open."""
        names = self.parts
        parts: dict[str, Any] = {name: _rounded(self.usd.get(name)) for name in names}
        return {**parts, "total": _rounded(self.total_usd), "unknown": [name for name in names if name in self.unknown]}


def total(costs: Iterable[Cost]) -> Cost:
    """Return the sum of `costs`; nothing costs nothing."""
    return sum(costs, Cost())


def _rounded(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 6)
