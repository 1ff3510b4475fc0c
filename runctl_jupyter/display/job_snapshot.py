"""Reads of a job what its card shows: for a job that is looked at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runctl_jupyter.display.card import LOG_LINES, JobView, view_of
from runctl_jupyter.display.log_text import Tail

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Job


def snapshot(job: Job, *, prompt: str = "%runctl") -> JobView:
    """Refresh `job` and return what its card shows now, the end of its log and its checkpoints included."""
    job.refresh()
    checkpoints = job.checkpoints() if job.checkpoint_count else ()
    return view_of(job, log_lines=last_lines(job), checkpoints=checkpoints, prompt=prompt)


def last_lines(job: Job) -> list[str]:
    """Read the lines at the end of the log that a card shows."""
    tail = Tail(LOG_LINES)
    if job.log_bytes:
        tail.feed(job.logs(tail=LOG_LINES).read())
    return tail.text_lines()
