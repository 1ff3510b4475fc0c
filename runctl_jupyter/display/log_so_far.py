"""A log from its first byte, for whoever comes back to a job: what fits a page, both ends of what does not."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from runctl_jupyter.display.card import LOG_LINES
from runctl_jupyter.display.log_text import collapsed, visible_line
from runctl_jupyter.display.masks import mask
from runctl_jupyter.display.style import BORDER, DIM, MONO, SURFACE, bundle
from runctl_jupyter.orchestration.units import size_text

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Job

_END_BYTES = 64 * 1024
"""Of a longer log, so much of its beginning and of its end."""


def log_so_far(job: Job) -> dict[str, str] | None:
    """Return what a job has printed until now as a mime bundle; None when its card shows all of it."""
    head = b""
    for chunk in job.logs():
        head += chunk
        if len(head) > 2 * _END_BYTES:
            break
    if len(head) <= 2 * _END_BYTES:
        lines = _lines(head)
        return None if len(lines) <= LOG_LINES else _bundle(job, lines)
    left_out = size_text(max(job.log_bytes - 2 * _END_BYTES, 0))
    between = f"… {left_out} are left out here: %runctl logs {job.id} --start BYTES shows any of it …"
    return _bundle(job, [*_lines(head[:_END_BYTES]), between, *_lines(job.logs(start=-_END_BYTES).read())])


def _lines(data: bytes) -> list[str]:
    return [mask(visible_line(line)) for line in b"".join(collapsed([data])).splitlines()]


def _bundle(job: Job, lines: list[str]) -> dict[str, str]:
    title = f"log of {job.name} from its first byte, {size_text(job.log_bytes)} so far"
    text = "\n".join(lines)
    html = (
        f'<details open style="border:{BORDER};border-radius:6px;max-width:880px;font-size:13px">'
        f'<summary style="padding:4px 12px;{DIM};cursor:pointer">{escape(title)}</summary>'
        f'<pre tabindex="0" aria-label="{escape(title)}" style="margin:0;padding:8px 12px;max-height:270px;'
        f'overflow:auto;{SURFACE};{MONO};line-height:18px">{escape(text)}</pre></details>'
    )
    return bundle(f"{title}\n{text}", html)
