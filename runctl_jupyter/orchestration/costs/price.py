"""A price, where it comes from, and how that is said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from runctl_jupyter.orchestration.units import rate_text
from runctl_jupyter.run_record import now

PRICE_LIST = "AWS price list"
SPOT_HISTORY = "EC2 spot price history"
SHIPPED_TABLE = "table shipped with runctl"


@dataclass(frozen=True)
class Price:
    """A price of an instance in USD per hour, and what is known of where it comes from."""

    per_hour: float
    source: str
    as_of: datetime | None
    """When the source said so; None when nobody knows, as of the shipped table."""
    zone: str | None = None
    """Of a spot price: the availability zone it holds in."""

    @property
    def source_text(self) -> str:
        """Source and age, e.g. ``AWS price list, today``."""
        where = f"{self.source}, {self.zone}" if self.zone else self.source
        return f"{where}, {_age(self.as_of)}"

    def __str__(self) -> str:
        return f"{rate_text(self.per_hour)}, {self.source_text}"


def _age(as_of: datetime | None) -> str:
    if as_of is None:
        return "of an unknown date"
    days = (now() - as_of).days
    if days < 1:
        return "today"
    return f"{days} day{'s' if days > 1 else ''} ago" if days < 60 else f"of {as_of:%Y-%m-%d}"
