"""What a listing, a summary and a cleanup of resources say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runctl_jupyter.orchestration.costs.rates import HOURS_PER_MONTH
from runctl_jupyter.orchestration.model import Value


@dataclass(frozen=True)
class Resource(Value):
    """Something of ours in an AWS account."""

    kind: str
    """``instance volume snapshot image launch-template fleet spot-request schedule upload blobs``."""
    id: str
    name: str
    region: str
    state: str
    """In the words of the service."""
    detail: str
    owner: str
    created_at: datetime | None
    """Of an instance: its last start."""
    expires_at: datetime | None
    protected: bool
    """Whether its tag keeps it from being removed."""
    usd_per_month: float | None
    """At list price, if it stays as it is; None when unknown."""
    in_use: str
    """What uses it; empty when nothing does."""
    orphan: bool
    """Whether nothing needs it any more."""
    expired: bool
    """Whether it should have ended itself."""
    reason: str
    """Why it is an orphan, or expired."""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def wrong(self) -> bool:
        """Whether somebody should look at it."""
        return self.orphan or self.expired


@dataclass(frozen=True)
class NotAsked(Value):
    """A region, or a kind of things in it, that could not be asked."""

    region: str
    kind: str
    """Empty for all kinds."""
    reason: str

    def __str__(self) -> str:
        what = f"{self.kind} in {self.region}" if self.kind else self.region
        return f"not asked: {what}: {self.reason}"


@dataclass(frozen=True)
class Money(Value):
    """A sum of list prices, and how many things it lacks because their price is unknown."""

    usd_per_month: float
    unknown: int

    @property
    def usd_per_hour(self) -> float:
        """The same for an hour."""
        return self.usd_per_month / HOURS_PER_MONTH

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Money:
        """Return the sum of what `resources` cost."""
        prices = [each.usd_per_month for each in resources]
        known = [price for price in prices if price is not None]
        return cls(round(sum(known), 6), len(prices) - len(known))


@dataclass(frozen=True)
class KindTotal(Value):
    """All things of a kind in a region."""

    kind: str
    region: str
    count: int
    orphans: int
    expired: int
    cost: Money

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready keys and values."""
        plain = super().to_dict()
        return {**{key: plain[key] for key in ("kind", "region", "count", "orphans", "expired")}, **_money(self.cost)}


@dataclass(frozen=True)
class ResourceSummary(Value):
    """Counts and money by kind and region, and what is wrong."""

    regions: Sequence[str]
    """Those that were to be asked."""
    totals: Sequence[KindTotal]
    cost: Money
    wrong: Sequence[Resource]
    not_asked: Sequence[NotAsked]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready keys and values."""
        return {
            "regions": list(self.regions),
            "totals": [each.to_dict() for each in self.totals],
            **_money(self.cost),
            "wrong": [each.to_dict() for each in self.wrong],
            "not_asked": [each.to_dict() for each in self.not_asked],
        }


def _money(cost: Money) -> dict[str, Any]:
    return {
        "usd_per_hour": round(cost.usd_per_hour, 6),
        "usd_per_month": cost.usd_per_month,
        "unknown_prices": cost.unknown,
    }


@dataclass(frozen=True)
class Kept(Value):
    """Something that stays although something is wrong with it, and why."""

    resource: Resource
    reason: str


@dataclass(frozen=True)
class FailedRemoval(Value):
    """Something that could not be removed."""

    resource: Resource
    what: str
    to_resolve: str


@dataclass(frozen=True)
class CleanupReport(Value):
    """What a cleanup removes, or would."""

    dry_run: bool
    """Whether nothing has been removed."""
    remove: Sequence[Resource]
    """What would go; what is gone, when this is no dry run."""
    keep: Sequence[Kept]
    failed: Sequence[FailedRemoval]
    usd_per_month: float
    """What the removed cost, at list price."""
    unknown_prices: int
    """How many of them have no known price."""
    not_asked: Sequence[NotAsked]

    @property
    def exit_status(self) -> int:
        """Exit status of the terminal door."""
        return 1 if self.failed else 0
