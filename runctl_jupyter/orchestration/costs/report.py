"""A report of what was spent: rows, their sum, and what to know of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from runctl_jupyter.orchestration.costs.cost import PARTS, Cost
from runctl_jupyter.orchestration.listing import Column, Listing
from runctl_jupyter.orchestration.model import Value
from runctl_jupyter.orchestration.units import money_text
from runctl_jupyter.run_record import to_iso

if TYPE_CHECKING:
    import pandas as pd

By = Literal["job", "cell", "notebook", "project", "instance", "day"]
WAYS: tuple[By, ...] = get_args(By)


@dataclass(frozen=True)
class CostRow(Value):
    """What one thing has cost."""

    key: str
    """Id of the job or instance, address of the cell, or date."""
    name: str
    kind: str
    """As the report is by, or ``machine``, ``disk``, ``storage``: what no job has paid for."""
    jobs: int
    """How many jobs it stands for."""
    live: bool
    """Whether it goes on costing."""
    cost_usd: float | None
    """Sum of what is known; None when nothing is."""
    cost_parts: Mapping[str, Any] = field(default_factory=dict)
    """USD by part, as of `Cost.to_dict`."""

    @property
    def cost(self) -> Cost:
        """Its parts, to be added."""
        return Cost.from_dict(self.cost_parts)


def _part(name: str) -> Column[CostRow]:
    def text(row: CostRow) -> str:
        cost = row.cost
        if name not in cost.parts:
            return ""
        return f"{money_text(cost.usd.get(name))}{'+' if name in cost.unknown and name in cost.usd else ''}"

    return Column(name, text, right=True)


COLUMNS = (
    Column[CostRow]("name", lambda row: row.name),
    Column[CostRow]("", lambda row: f"{row.kind}{', goes on' if row.live else ''}"),
    Column[CostRow]("jobs", lambda row: str(row.jobs) if row.jobs else "", right=True),
    *(_part(name) for name in PARTS),
    Column[CostRow]("cost", lambda row: str(row.cost), right=True),
    Column[CostRow]("id", lambda row: row.key),
)


@dataclass(frozen=True)
class CostReport:
    """What was spent in a time, row by row."""

    by: By
    since: datetime
    until: datetime
    rows: Listing[CostRow]
    total: Cost
    """Each machine's time once."""
    price_per_hour: float | None
    """Of all that runs now; None when one's price is unknown."""
    notes: Sequence[str]
    """What to know of the figures."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready keys and values."""
        parts = self.total.to_dict()
        return {
            "by": self.by,
            "since": to_iso(self.since),
            "until": to_iso(self.until),
            "cost_usd": parts["total"],
            "cost_parts": parts,
            "price_per_hour": self.price_per_hour,
            "currency": "USD",
            "estimate": True,
            "rows": self.rows.to_dict(),
            "notes": list(self.notes),
        }

    def to_dataframe(self) -> pd.DataFrame:
        """Return a pandas DataFrame, one row per row and one column per part (pandas must be installed)."""
        import pandas

        return pandas.DataFrame(
            [
                {
                    **{key: value for key, value in row.to_dict().items() if key != "cost_parts"},
                    **{f"{name}_usd": row.cost.usd.get(name) for name in PARTS},
                    "at_least": bool(row.cost.unknown),
                }
                for row in self.rows
            ]
        )

    def __repr__(self) -> str:
        return f"<CostReport by {self.by} since {to_iso(self.since)}: {self.total}, {len(self.rows)} rows>"
