"""How a summary and a cleanup of resources look: tables, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from runctl_jupyter.display.masks import mask
from runctl_jupyter.display.style import DIM, bundle, table_html
from runctl_jupyter.orchestration.listing import text_table
from runctl_jupyter.orchestration.resources.model import CleanupReport, Money, Resource, ResourceSummary
from runctl_jupyter.orchestration.units import age_text, money_text, printable, rate_text

_ROWS = 200
"""Rows in a notebook; thousands would weigh it down for ever."""
Titles = Sequence[tuple[str, bool]]
Cells = Sequence[Sequence[str]]

_TOTALS: Titles = [("kind", False), ("region", False), ("count", True), ("an hour", True), ("a month", True),
                   ("orphans", True), ("expired", True)]  # fmt: skip
_WRONG: Titles = [("kind", False), ("id", False), ("name", False), ("region", False), ("a month", True),
                  ("why", False)]  # fmt: skip
_GOING: Titles = [("", False), ("kind", False), ("id", False), ("name", False), ("region", False), ("owner", False),
                  ("age", True), ("a month", True), ("why", False)]  # fmt: skip


def summary_text(summary: ResourceSummary) -> str:
    """Return a summary as text for a terminal."""
    return _text(_summary_tables(summary), _summary_lines(summary))


def summary_bundle(summary: ResourceSummary) -> dict[str, str]:
    """Return a summary as text and HTML for a notebook, where buckets are masked."""
    return _bundle(_summary_tables(summary), _summary_lines(summary))


def cleanup_text(report: CleanupReport) -> str:
    """Return a report as text for a terminal."""
    return _text([(_GOING, _cleanup_cells(report))], _cleanup_lines(report))


def cleanup_bundle(report: CleanupReport) -> dict[str, str]:
    """Return a report as text and HTML for a notebook, where buckets are masked."""
    return _bundle([(_GOING, _cleanup_cells(report))], _cleanup_lines(report))


def _text(tables: Sequence[tuple[Titles, Cells]], lines: Sequence[str]) -> str:
    parts = [
        text_table(titles, [[printable(cell) for cell in row] for row in cells]) for titles, cells in tables if cells
    ]
    return "\n".join([*(f"{part}\n" for part in parts), *(printable(line) for line in lines)])


def _bundle(tables: Sequence[tuple[Titles, Cells]], lines: Sequence[str]) -> dict[str, str]:
    masked = [(titles, [[mask(cell) for cell in row] for row in cells[:_ROWS]]) for titles, cells in tables if cells]
    left_out = sum(max(0, len(cells) - _ROWS) for _, cells in tables)
    more = [f"{left_out:,} more rows; .to_dict() has them all"] if left_out else []
    said = [*more, *(mask(line) for line in lines)]
    html = "".join(table_html(titles, cells) for titles, cells in masked)
    below = "".join(f'<div style="{DIM}">{escape(line)}</div>' for line in said)
    return bundle(_text(masked, said), f"<div>{html}{below}</div>")


def _summary_tables(summary: ResourceSummary) -> list[tuple[Titles, Cells]]:
    totals = [
        [
            each.kind,
            each.region,
            f"{each.count:,}",
            _hourly(each.cost) if _costs(each.cost) else "",
            _monthly(each.cost) if _costs(each.cost) else "",
            f"{each.orphans:,}" if each.orphans else "",
            f"{each.expired:,}" if each.expired else "",
        ]
        for each in summary.totals
    ]
    wrong = [
        [each.kind, each.id, each.name, each.region, _price(each), each.reason]
        for each in sorted(summary.wrong, key=lambda each: -(each.usd_per_month or 0))
    ]
    return [(_TOTALS, totals), (_WRONG, wrong)]


def _summary_lines(summary: ResourceSummary) -> list[str]:
    where = f"{len(summary.regions)} regions" if len(summary.regions) > 3 else ", ".join(summary.regions)
    count = sum(each.count for each in summary.totals)
    lines = [f"Nothing of ours in {where}."] if not count else []
    if count:
        lines.append(f"{count:,} of ours in {where}: {_hourly(summary.cost)}, {_monthly(summary.cost)}, list price.")
    if summary.wrong:
        lines.append(f"{len(summary.wrong):,} left over or overdue. See what could go: runctl resources cleanup")
    return [*lines, *(str(each) for each in summary.not_asked)]


def _cleanup_cells(report: CleanupReport) -> list[list[str]]:
    rows = [_row(_verb(each, report), each, each.reason or "nothing uses it") for each in report.remove]
    rows += [_row("FAILED", each.resource, f"{each.what} {each.to_resolve}") for each in report.failed]
    return [*rows, *(_row("stays", each.resource, each.reason) for each in report.keep)]


def _verb(each: Resource, report: CleanupReport) -> str:
    if report.dry_run:
        return "would go"
    return "shuts down" if each.kind == "instance" else "removed"


def _row(verb: str, each: Resource, why: str) -> list[str]:
    age = age_text(each.created_at) if each.created_at is not None else ""
    return [verb, each.kind, each.id, each.name, each.region, each.owner, age, _price(each), why]


def _cleanup_lines(report: CleanupReport) -> list[str]:
    count, saved = len(report.remove), _monthly(Money(report.usd_per_month, report.unknown_prices))
    if not count and not report.failed:
        lines = ["Nothing to remove."]
    elif report.dry_run:
        lines = [f"{count:,} would be removed, {saved}. Nothing has been. To do it: --yes, or dry_run=False."]
    else:
        lines = [f"{count:,} removed, {saved}."]
    if report.failed:
        lines.append(f"{len(report.failed):,} could not be removed; the table says why.")
    return [*lines, *(str(each) for each in report.not_asked)]


def _price(each: Resource) -> str:
    return "" if each.usd_per_month == 0 else money_text(each.usd_per_month)


def _costs(cost: Money) -> bool:
    return cost.unknown > 0 or cost.usd_per_month > 0


def _hourly(cost: Money) -> str:
    return _with_unknown(rate_text(cost.usd_per_hour), cost)


def _monthly(cost: Money) -> str:
    return _with_unknown(f"{money_text(cost.usd_per_month)} a month", cost)


def _with_unknown(known: str, cost: Money) -> str:
    if not cost.unknown:
        return known
    return f"{known} + {cost.unknown:,} unknown" if cost.usd_per_month else "unknown"
