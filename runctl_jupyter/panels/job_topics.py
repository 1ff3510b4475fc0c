"""What is followed of one job: its card, and its curves."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from runctl_jupyter.display.job_mime import card_document
from runctl_jupyter.panels.followed import Event, Polled, Topic
from runctl_jupyter.panels.troubles import Upset

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Checkpoint, Job, Runctl
    from runctl_jupyter.panels.handles import Handles

POINTS = 600
"""Of a curve: more than a card has pixels."""
_SERIES_S = 2.0
_QUICK_S, _STEADY_S = 0.5, 1.0
_ENDED_S, _LONG_ENDED_S = 5.0, 30.0
"""An ended job may be resumed; the longer it has ended, the less likely."""


class CardTopic(Polled):
    """A job as its card shows it."""

    def __init__(self, handles: Handles, place: str | None, ref: str) -> None:
        super().__init__()
        self._handles, self._place, self._ref = handles, place, ref
        self._engine: Runctl | None = None
        self.job: Job | None = None
        """The job as last seen; None before the first look."""
        self._checkpoints: tuple[int, list[Checkpoint]] = (0, [])
        self._told: Event | None = None
        self._pause = _QUICK_S

    def look(self) -> Callable[[], list[Event]]:
        """Read the job's state anew, and its checkpoints when there are more."""
        with self._handles.engines.using(self._place) as rc:
            if self.job is None or self._engine is not rc:
                self._engine, self.job = rc, self._handles.find(rc, self._ref)
            job = self.job.refresh()
            if job.checkpoint_count != self._checkpoints[0]:
                self._checkpoints = (job.checkpoint_count, list(job.checkpoints()))
        if not job.state.ended:
            self._pause = _STEADY_S if job.phase == "training" and not self.eager else _QUICK_S
        else:
            self._pause = _ENDED_S if self.eager else min(max(_ENDED_S, 1.5 * self._pause), _LONG_ENDED_S)
        return partial(self._change, card_document(job, self._checkpoints[1]))

    def first(self) -> list[Event]:
        """Return the card."""
        return [] if self._told is None else [self._told]

    def pause_s(self) -> float:
        """Look often while it runs."""
        return self._pause

    def _change(self, card: Event) -> list[Event]:
        if self._told is not None and {**card, "as_of": ""} == {**self._told, "as_of": ""}:
            return []
        self._told = card
        return [card]


class SeriesTopic(Polled):
    """A job's curves, read anew when its card has news, at most every two seconds."""

    needs = ("card",)

    def __init__(self) -> None:
        super().__init__()
        self._read_at = 0.0
        self._read_of: Any = None
        self._told: Event | None = None

    def look(self) -> Callable[[], list[Event]]:
        """Read the measures, if there may be new ones.

        Raises
        ------
        Upset
            The card cannot be read.
        """
        job = job_of(self)
        if job is None or job.status == self._read_of or time.monotonic() < self._read_at + _SERIES_S:
            return list
        seen = job.status
        series = job.measures().thinned(POINTS).to_dict()
        self._read_at, self._read_of = time.monotonic(), seen
        return partial(self._change, series)

    def first(self) -> list[Event]:
        """Return the curves."""
        return [] if self._told is None else [self._told]

    def pause_s(self) -> float | None:
        """Wait for news of the card, or until it is time again."""
        wait = self._read_at + _SERIES_S - time.monotonic()
        return wait if wait > 0 else None

    def _change(self, series: Event) -> list[Event]:
        if series == self._told:
            return []
        self._told = series
        return [series]


def job_of(topic: Topic) -> Job | None:
    """Return the job that a topic's card has seen; None before.

    Raises
    ------
    Upset
        It cannot be read.
    """
    upstream = topic.upstream["card"]
    if upstream.trouble is not None:
        raise Upset(upstream.trouble)
    return upstream.topic.job if isinstance(upstream.topic, CardTopic) else None
