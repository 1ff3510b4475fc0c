"""How checkpoints look in a table: only what at least one of them has gets a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runctl_jupyter.orchestration.listing import Column
from runctl_jupyter.orchestration.model import Checkpoint
from runctl_jupyter.orchestration.units import age_text, size_text


def columns_for(checkpoints: Sequence[Checkpoint]) -> list[Column[Checkpoint]]:
    """Return the columns of a table of these checkpoints."""
    jobs = {each.job_id for each in checkpoints}
    attempts = {each.attempt for each in checkpoints}
    shown = {
        "job": len(jobs) > 1,
        "attempt": bool(attempts - {1, None}),
        "epoch": any(each.epoch is not None for each in checkpoints),
        "metrics": any(each.metrics for each in checkpoints),
    }
    return [column for column in _COLUMNS if shown.get(column.title, True)]


def metrics_text(metrics: Mapping[str, float]) -> str:
    """Return metrics as they stand in a cell."""
    return " ".join(f"{name}={value:.4g}" for name, value in metrics.items())


def standing_text(checkpoint: Checkpoint) -> str:
    """Return what distinguishes a checkpoint: ``latest``, ``best``, ``incomplete``."""
    words = {"latest": checkpoint.latest, "best": checkpoint.best, "incomplete": not checkpoint.complete}
    return " ".join(word for word, holds in words.items() if holds)


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


_COLUMNS = (
    Column[Checkpoint]("name", lambda c: c.name),
    Column[Checkpoint]("job", lambda c: c.job_id or ""),
    Column[Checkpoint]("attempt", lambda c: _number(c.attempt), right=True),
    Column[Checkpoint]("step", lambda c: _number(c.step), right=True),
    Column[Checkpoint]("epoch", lambda c: _number(c.epoch), right=True),
    Column[Checkpoint]("metrics", lambda c: metrics_text(c.metrics)),
    Column[Checkpoint]("size", lambda c: size_text(c.size), right=True),
    Column[Checkpoint]("age", lambda c: age_text(c.created_at), right=True),
    Column[Checkpoint]("format", lambda c: c.format),
    Column[Checkpoint]("", standing_text),
    Column[Checkpoint]("uri", lambda c: c.uri),
)
