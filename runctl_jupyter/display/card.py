"""The card of a job: one snapshot, as text and as HTML twin.

The order is the one a person reads in: state, name, what it costs and when it ends, where it is in its life,
the log, the checkpoints. The HTML has no script, no remote markup, and stays under 20 KB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import escape
from typing import TYPE_CHECKING

from runctl_jupyter.display.curve import MOST_POINTS, Curve, curves_html
from runctl_jupyter.display.masks import cut_middle, mask
from runctl_jupyter.display.style import BORDER, DIM, MONO, NUMBERS, SURFACE, bundle, state_mark, table_html
from runctl_jupyter.orchestration.listing import plain, text_table
from runctl_jupyter.orchestration.units import duration_text, money_text, rate_text, size_text
from runctl_jupyter.run_record import now

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Checkpoint, Job
    from runctl_jupyter.orchestration.jobs.measures import JobMeasures

LOG_LINES = 20
_LINE_WIDTH = 160
_LOG_HTML_BYTES = 6 * 1024
_CHECKPOINT_ROWS = 10
_METRICS = 8


@dataclass(frozen=True)
class JobView:
    """What a card shows of a job at one moment."""

    state: str
    name: str
    id: str
    attempt: int
    facts: tuple[tuple[str, str], ...]
    """Titles and texts."""
    phase: str
    cause: str
    log_lines: tuple[str, ...] = ()
    log_bytes: int = 0
    checkpoints: tuple[tuple[str, str, str, str], ...] = ()
    """Name, step, metrics, size; the newest last."""
    checkpoint_count: int = 0
    note: str = ""
    """What to know about the card itself, e.g. how old it is."""
    commands: tuple[str, ...] = field(default=())
    curves: tuple[Curve, ...] = ()
    metrics: str = ""
    """Their last values."""


def view_of(
    job: Job,
    *,
    log_lines: Sequence[str] = (),
    checkpoints: Sequence[Checkpoint] = (),
    note: str = "",
    prompt: str = "%runctl",
    measures: JobMeasures | None = None,
) -> JobView:
    """Take a snapshot of `job` as far as it has been read; asks nobody."""
    ended = job.state.ended
    rows = [
        (c.name, "" if c.step is None else f"{c.step:,}", plain(dict(sorted(c.metrics.items()))), size_text(c.size))
        for c in checkpoints
    ]
    verbs = ("logs", "checkpoints list") if ended else ("logs", "cancel")
    return JobView(
        state=str(job.state),
        name=job.name,
        id=job.id,
        attempt=job.attempt,
        facts=tuple(_facts(job, ended)),
        phase="" if ended else job.phase,
        cause=mask(_cause(job)),
        log_lines=tuple(mask(line) for line in log_lines),
        log_bytes=job.log_bytes,
        checkpoints=tuple(rows[-_CHECKPOINT_ROWS:]),
        # What the last heartbeat counted may have been pruned since.
        checkpoint_count=len(rows) if ended and rows else max(job.checkpoint_count, len(rows)),
        note=note,
        commands=tuple(f"{prompt} {verb} {job.name}" for verb in verbs),
        curves=() if measures is None else _curves(measures),
        metrics=" · ".join(f"{name} {value:.4g}" for name, value in sorted(job.status.metrics.items())[:_METRICS]),
    )


def _curves(measures: JobMeasures) -> tuple[Curve, ...]:
    curves = []
    for each in measures.thinned(MOST_POINTS).series:
        stepped = all(step is not None for step in each.steps)
        x = [float(step or 0) for step in each.steps] if stepped else each.times
        curves.append(Curve(each.name, x, each.values))
    # Losses first: they are what one looks for.
    return tuple(sorted(curves, key=lambda curve: ("loss" not in curve.name, curve.name)))


def _cost_text(job: Job) -> str:
    """Return what it has cost; all of it where more is known than the machine's price."""
    machine, cost = money_text(job.cost_usd), job.cost_parts
    beside = " and ".join(sorted(cost.usd.keys() - {"machine"}))
    return f"{machine}, with {beside} {cost}" if beside else machine


def _facts(job: Job, ended: bool) -> list[tuple[str, str]]:
    kind = f"{job.instance_type} spot" if job.spec.spot and job.instance_type else job.instance_type
    machine = " · ".join(part for part in (kind, job.instance_id) if part)
    last = job.ended_at or now()
    cap = job.spec.limits.max_cost_usd
    cost = _cost_text(job) + (f" of {money_text(cap)} cap" if cap is not None else "")
    facts = [
        ("Machine", machine or ("this computer" if job.spec.target == "local" else "being found")),
        ("Elapsed", duration_text(max((last - job.created_at).total_seconds(), 0))),
    ]
    if job.price_per_hour is not None:
        source = f" ({job.spec.price_source})" if job.spec.price_source else ""
        facts += [("Cost", cost), ("Price", f"{rate_text(job.price_per_hour)}{source}")]
    progress = _progress(job)
    if progress:
        facts.append(("Progress", progress))
    if not ended and job.spec.limits.ttl_s is not None:
        facts.append(("Ends at the latest", _clock(job.created_at + timedelta(seconds=job.spec.limits.ttl_s))))
    return facts


def _progress(job: Job) -> str:
    progress = job.status.progress
    if progress is None or progress.step is None:
        return ""
    of = f" of {progress.total:,}" if progress.total else ""
    left = f" · about {duration_text(progress.left_s)} left" if progress.left_s and not job.state.ended else ""
    return f"step {progress.step:,}{of}{left}"


def _clock(moment: datetime) -> str:
    left = (moment - now()).total_seconds()
    return f"{moment:%H:%M} UTC · in {duration_text(max(left, 0))}"


def _cause(job: Job) -> str:
    code = f"exit code {job.exit_code}" if job.exit_code else ""
    return " · ".join(part for part in (code, job.cause.message if job.cause else "") if part)


def card_text(view: JobView) -> str:
    """Return the card as plain text."""
    mark = state_mark(view.state)
    lines = [
        f"{mark.shape} {view.state}  {view.name}  job {view.id} · attempt {view.attempt}",
        " · ".join(f"{title.lower()} {text}" for title, text in view.facts),
    ]
    if view.phase:
        lines.append(f"phase {view.phase}")
    lines += [text for text in (view.cause, view.note, view.metrics) if text]
    if view.log_lines:
        lines += [f"log, {size_text(view.log_bytes)}", *(f"  {line}" for line in view.log_lines)]
    if view.checkpoints:
        titles = [("checkpoint", False), ("step", True), ("metrics", False), ("size", True)]
        lines += [_checkpoint_title(view), text_table(titles, view.checkpoints)]
    return "\n".join(lines)


def _checkpoint_title(view: JobView) -> str:
    shown = len(view.checkpoints)
    more = f", the last {shown}" if view.checkpoint_count > shown else ""
    return f"{view.checkpoint_count} checkpoint{'s' if view.checkpoint_count != 1 else ''}{more}"


def card_html(view: JobView) -> str:
    """Return the card as HTML."""
    mark = state_mark(view.state)
    shape = f'<span aria-hidden="true">{mark.shape}</span>'
    head = (
        f'<div style="padding:8px 12px;border-bottom:{BORDER}">'
        f'<strong style="color:{mark.colour}">{shape} {escape(view.state)}</strong> '
        f'&nbsp;<strong title="{escape(view.name)}">{escape(cut_middle(view.name, 40))}</strong> '
        f'&nbsp;<span style="{DIM};{MONO}">job {escape(view.id)} · attempt {view.attempt}</span></div>'
    )
    facts = "".join(
        f'<span style="display:inline-block;margin-right:28px">'
        f'<span style="{DIM};font-size:11px">{escape(title)}</span><br>'
        f'<span style="{NUMBERS}">{escape(text)}</span></span> '
        for title, text in view.facts
    )
    parts = [head, f'<div style="padding:8px 12px">{facts}</div>']
    for label, text, room in (("phase", view.phase, 256), ("", view.cause, 1024), ("", view.note, 1024)):
        if text:
            parts.append(f'<div style="padding:0 12px 8px">{label} {_escaped(text, room)}</div>')
    curves = curves_html(view.curves)
    if curves or view.metrics:
        metrics = curves or f'<span style="{NUMBERS}">{escape(view.metrics)}</span>'
        parts.append(f'<div style="padding:0 12px 8px">{metrics}</div>')
    if view.log_lines:
        parts.append(
            f'<pre role="log" aria-label="last lines of the log" style="margin:0;padding:8px 12px;overflow-x:auto;'
            f'{SURFACE};{MONO};line-height:18px">{_log_html(view.log_lines)}</pre>'
        )
    if view.checkpoints:
        rows = [
            (cut_middle(name, 40), step, cut_middle(metrics, 48), size)
            for name, step, metrics, size in view.checkpoints
        ]
        table = table_html([("checkpoint", False), ("step", True), ("metrics", False), ("size", True)], rows)
        parts.append(f'<div style="padding:8px 12px"><span style="{DIM}">{_checkpoint_title(view)}</span>{table}</div>')
    foot = " &nbsp; ".join(f"<code>{escape(command)}</code>" for command in view.commands)
    parts.append(
        f'<div style="padding:4px 12px;border-top:{BORDER};font-size:12px"><span style="{DIM}">'
        f"log {size_text(view.log_bytes)}</span> &nbsp; {foot}</div>"
    )
    return (
        f'<div role="region" aria-label="job {escape(view.name)}" style="border:{BORDER};border-radius:6px;'
        f'max-width:880px;font-size:13px;line-height:20px;overflow:hidden">{"".join(parts)}</div>'
    )


def _escaped(text: str, room: int) -> str:
    """Return as much of `text`, escaped, as fits into `room` bytes."""
    length = min(len(text), room)
    while len((cut := escape(text[:length])).encode()) > room:
        length = length * 3 // 4
    return cut if length == len(text) else f"{cut}…"


def _log_html(lines: Sequence[str]) -> str:
    """Return the newest lines that fit: escaping may make six characters out of one."""
    kept: list[str] = []
    room = _LOG_HTML_BYTES
    for line in reversed(lines[-LOG_LINES:]):
        cut = escape(line if len(line) <= _LINE_WIDTH else f"{line[: _LINE_WIDTH - 1]}…")
        room -= len(cut.encode()) + 1
        if room < 0:
            break
        kept.append(cut)
    return "\n".join(reversed(kept))


def card_bundle(view: JobView) -> dict[str, str]:
    """Return both twins as a mime bundle."""
    return bundle(card_text(view), card_html(view))
