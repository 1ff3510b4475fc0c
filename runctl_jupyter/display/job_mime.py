"""What a saved notebook keeps of a job for the Lab extension: the card as a document, without secrets, small.

The extension renders it without a kernel: at once what was saved, then, through the server, what is true now. It
finds the job by its id and by the id of its place, which tells nobody the bucket's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from runctl_jupyter.display.masks import mask
from runctl_jupyter.run_record import now, to_iso

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Checkpoint, Job
    from runctl_jupyter.orchestration.jobs.measures import JobMeasures

JOB_MIME = "application/vnd.runctl.job+json"
_VERSION = 1
_POINTS = 60
_SERIES = 6
_CHECKPOINTS = 10


def job_output(
    job: Job,
    place: str,
    *,
    log_lines: Sequence[str] = (),
    checkpoints: Sequence[Checkpoint] = (),
    measures: JobMeasures | None = None,
    note: str = "",
) -> dict[str, Any]:
    """Return the document: the card's, every text of it masked."""
    series = None
    if measures is not None:
        series = measures.thinned(_POINTS).to_dict()
        series["series"] = series["series"][:_SERIES]
        # The machine's curves are live only: what was busy then is of no use later.
        series["machine"] = None
    card = card_document(job, checkpoints[-_CHECKPOINTS:], log_tail=log_lines, series=series, note=note)
    document: dict[str, Any] = masked({"version": _VERSION, "job": job.id, "place": place, "card": card})
    return document


def card_document(
    job: Job,
    checkpoints: Sequence[Checkpoint],
    *,
    log_tail: Sequence[str] = (),
    series: dict[str, Any] | None = None,
    note: str = "",
) -> dict[str, Any]:
    """Return what a card shows of a job as it has been read: `CardDocument` of the views; asks nobody."""
    return {
        "job": job.to_dict(),
        "checkpoints": [checkpoint.to_dict() for checkpoint in checkpoints],
        "log_tail": list(log_tail),
        "series": series,
        "as_of": to_iso(now()),
        "note": note,
    }


def masked(value: Any) -> Any:
    """Return a JSON value with every text in it masked."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {key: masked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    return value
