"""How a prune looks: what goes, what stays and why, what it saves."""

from __future__ import annotations

from html import escape

from runctl_jupyter.display.masks import mask
from runctl_jupyter.display.style import DIM, bundle, table_html
from runctl_jupyter.orchestration.checkpoints.columns import metrics_text
from runctl_jupyter.orchestration.listing import text_table
from runctl_jupyter.orchestration.model import Checkpoint, PruneReport
from runctl_jupyter.orchestration.units import age_text, money_text, size_text

_ROWS = 200
"""Rows in a notebook; thousands would weigh it down for ever."""
_TITLES = [("", False), ("name", False), ("job", False), ("step", True), ("metrics", False), ("size", True),
           ("age", True), ("why", False)]  # fmt: skip


def prune_text(report: PruneReport) -> str:
    """Return a report as text for a terminal."""
    table = text_table(_titles(report), _cells(report)) if report.remove or report.keep else ""
    return "\n".join(filter(None, (table, *_summary(report))))


def prune_bundle(report: PruneReport) -> dict[str, str]:
    """Return a report as text and HTML for a notebook, where buckets are masked."""
    cells = [[mask(cell) for cell in row] for row in _cells(report)]
    lines = [mask(line) for line in _summary(report)]
    left_out = len(cells) - _ROWS
    more = f"<div>{left_out:,} more rows; .to_dict() has them all</div>" if left_out > 0 else ""
    below = "".join(f'<div style="{DIM}">{escape(line)}</div>' for line in lines)
    table = table_html(_titles(report), cells[:_ROWS]) if cells else ""
    text = text_table(_titles(report), cells[:_ROWS]) if cells else ""
    return bundle("\n".join(filter(None, (text, *lines))), f"<div>{table}{more}{below}</div>")


def _summary(report: PruneReport) -> list[str]:
    count = len(report.remove)
    what = f"{count:,} checkpoint{'s' if count != 1 else ''}"
    if report.leftovers:
        what += f" and what is left of {len(report.leftovers):,} half removed"
    if not count and not report.leftovers:
        return [f"Nothing to remove in {report.source}: {len(report.keep):,} stay."]
    verb = "would be removed" if report.dry_run else "removed"
    lines = [f"{what} {verb}, {size_text(report.bytes)}, {_saved(report)}; {len(report.keep):,} stay."]
    if report.dry_run:
        lines.append("Nothing has been removed. To do it: --yes (s3 cleanup: without --dry-run), or dry_run=False.")
    return lines


def _saved(report: PruneReport) -> str:
    if report.usd_per_month is None:
        return f"price unknown in {report.region}" if report.region else "price unknown"
    return f"{money_text(report.usd_per_month)} a month" if report.region else "on this computer"


def _has_jobs(report: PruneReport) -> bool:
    return any(each.job_id for each in (*report.remove, *(kept.checkpoint for kept in report.keep)))


def _titles(report: PruneReport) -> list[tuple[str, bool]]:
    return [title for title in _TITLES if title[0] != "job" or _has_jobs(report)]


def _cells(report: PruneReport) -> list[list[str]]:
    jobs, verb = _has_jobs(report), "remove" if report.dry_run else "removed"
    rows = [_row(verb, each, "", jobs=jobs) for each in report.remove]
    return [*rows, *(_row("keep", each.checkpoint, each.reason, jobs=jobs) for each in report.keep)]


def _row(verb: str, each: Checkpoint, why: str, *, jobs: bool) -> list[str]:
    step = "" if each.step is None else f"{each.step:,}"
    job = [f"{each.job_id or ''}{f' #{each.attempt}' if each.attempt not in (None, 1) else ''}"] if jobs else []
    return [
        verb,
        each.name,
        *job,
        step,
        metrics_text(each.metrics),
        size_text(each.size),
        age_text(each.created_at),
        why,
    ]
