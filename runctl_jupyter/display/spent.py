"""How a cost report looks: the rows, the sum in parts, what to know of the figures."""

from __future__ import annotations

from html import escape

from runctl_jupyter.display.listings import listing_html
from runctl_jupyter.display.masks import mask
from runctl_jupyter.display.style import DIM, bundle
from runctl_jupyter.orchestration.costs.report import CostReport
from runctl_jupyter.orchestration.listing import text_table
from runctl_jupyter.orchestration.units import rate_text


def cost_text(report: CostReport) -> str:
    """Return a report as text for a terminal."""
    return "\n".join([_table(report), "", *_summary(report)])


def cost_bundle(report: CostReport) -> dict[str, str]:
    """Return a report as text and HTML for a notebook."""
    lines = _summary(report)
    below = "".join(f'<div style="{DIM if n else ""}">{escape(line)}</div>' for n, line in enumerate(lines))
    return bundle(mask(cost_text(report)), f"<div>{listing_html(report.rows)}{below}</div>")


def _table(report: CostReport) -> str:
    """Return the rows as a table, without the columns that have nothing in them."""
    cells = report.rows.cells()
    if not cells:
        return report.rows.empty
    shown = [n for n, column in enumerate(report.rows.columns) if any(row[n] for row in cells)]
    titles = [(report.rows.columns[n].title, report.rows.columns[n].right) for n in shown]
    return text_table(titles, [[row[n] for n in shown] for row in cells])


def _summary(report: CostReport) -> list[str]:
    span = f"{report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC"
    parts = report.total.breakdown()
    what = f"{report.total} ({parts})" if parts else str(report.total)
    return [f"Total {what}, {span}; now {rate_text(report.price_per_hour)} for instances.", *report.notes]
