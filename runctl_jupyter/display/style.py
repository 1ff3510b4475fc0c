"""The visual language: readable on white and on dark, in Jupyter and where its colours are not defined.

Text takes the page's own colour; only states have one, and never colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

BORDER = "1px solid var(--jp-border-color2,rgba(128,128,128,.35))"
DIM = "opacity:.72"
MONO = "font-family:var(--jp-code-font-family,ui-monospace,Menlo,monospace);font-size:12px"
NUMBERS = "font-variant-numeric:tabular-nums"
SURFACE = "background:var(--jp-layout-color2,rgba(128,128,128,.1));color:inherit"

# The fallbacks have 4.5:1 or nearly so on white and on GitHub's dark alike.
_BUSY = "var(--jp-brand-color1,#2f81c8)"
_GOOD = "var(--jp-success-color1,#2e8b46)"
_WARN = "var(--jp-warn-color1,#b26a00)"
_BAD = "var(--jp-error-color1,#d73a49)"
_IDLE = "inherit"


@dataclass(frozen=True)
class Mark:
    """How a state looks: a shape and a colour beside its word."""

    shape: str
    colour: str


_MARKS = {
    "queued": Mark("○", _IDLE),
    "starting": Mark("◐", _BUSY),
    "running": Mark("●", _BUSY),
    "succeeded": Mark("✓", _GOOD),
    "failed": Mark("✗", _BAD),
    "cancelled": Mark("■", _IDLE),
    "interrupted": Mark("▲", _WARN),
    "capped": Mark("◆", _WARN),
    "lost": Mark("?", _BAD),
    "pending": Mark("◐", _BUSY),
    "stopping": Mark("◑", _WARN),
    "stopped": Mark("■", _IDLE),
    "shutting-down": Mark("◑", _WARN),
    "terminated": Mark("□", _IDLE),
    "ok": Mark("✓", _GOOD),
    "warning": Mark("▲", _WARN),
    "blocked": Mark("✗", _BAD),
}


def state_mark(state: str) -> Mark:
    """Return the mark of a job's or an instance's state."""
    return _MARKS.get(state, Mark("·", _IDLE))


def bundle(text: str, html: str) -> dict[str, str]:
    """Return a value as text and as HTML, in which a page that knows mathematics takes no ``$`` for the start of some.

    MathJax 3 and 4 (JupyterLab) skip the first class, MathJax 2 (older pages) the second.
    """
    return {"text/plain": text, "text/html": f'<div class="mathjax_ignore tex2jax_ignore">{html}</div>'}


def table_html(columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]]) -> str:
    """Return an escaped table; `columns` are titles and whether they align right."""
    aligned = [f"text-align:{'right' if right else 'left'};{NUMBERS}" for _, right in columns]
    head = "".join(
        f'<th scope="col" style="{style}">{escape(title)}</th>'
        for (title, _), style in zip(columns, aligned, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{style}">{escape(cell)}</td>' for cell, style in zip(row, aligned, strict=True))
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def facts_html(title: str, facts: Sequence[tuple[str, str]], state: str = "") -> str:
    """Return a title with its state and a table of facts."""
    mark = state_mark(state)
    word = f' <strong style="color:{mark.colour}">{mark.shape} {escape(state)}</strong>' if state else ""
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left;font-weight:normal;{DIM}">{escape(name)}</th>'
        f'<td style="text-align:left;{NUMBERS}">{escape(text)}</td></tr>'
        for name, text in facts
    )
    return f"<div><strong>{escape(title)}</strong>{word}<table><tbody>{rows}</tbody></table></div>"


def facts_text(title: str, facts: Sequence[tuple[str, str]], state: str = "") -> str:
    """Return the same as text."""
    head = f"{title}  {state_mark(state).shape} {state}" if state else title
    width = max((len(name) for name, _ in facts), default=0)
    return "\n".join([head, *(f"  {name:<{width}}  {text}" for name, text in facts)])
