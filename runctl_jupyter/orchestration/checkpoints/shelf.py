"""Checkpoints side by side: what belongs together, in which order, which is the newest and which the best."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.checkpoints.metric import best_first

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.checkpoints.metric import Metric
    from runctl_jupyter.orchestration.model import Checkpoint
    from runctl_jupyter.orchestration.storage.store import Store

_CLOCKS = timedelta(seconds=60)
"""Files written one after the other may arrive in another order; times further apart than this do mean something."""


@dataclass(frozen=True)
class Shelved:
    """A checkpoint with what has to be known to remove it."""

    checkpoint: Checkpoint
    store: Store
    chain: str
    """What it is one of: a job, or a folder with numbered files or folders."""
    marks: tuple[str, ...] = ()
    """Keys that make it one: without them nobody takes the rest for a checkpoint."""
    folder: str | None = None
    """Prefix of its files; None when it is a single object."""
    files: tuple[str, ...] = ()
    """Keys of its files as far as they have been listed."""
    obstacle: str = ""
    """Why it is never removed, if so."""
    left_over: bool = False
    """Whether it is what an interrupted removal has left."""


def arranged(shelved: Iterable[Shelved], choose: Callable[[Sequence[Checkpoint]], Metric | None]) -> list[Shelved]:
    """Return checkpoints with the newest and the best of each chain marked; chain by chain, each the oldest first.

    Parameters
    ----------
    choose
        Returns the metric that the checkpoints of a chain are compared by.
    """
    found: list[Shelved] = []
    for _, members in groupby(sorted(shelved, key=lambda each: each.chain), key=lambda each: each.chain):
        chain = _in_order(list(members))
        whole = [each.checkpoint for each in chain if each.checkpoint.complete]
        metric = choose(whole)
        ranking = best_first(whole, metric) if metric is not None else []
        latest = whole[-1].uri if whole else None
        best = ranking[0].uri if ranking else None
        found += [
            replace(
                each,
                checkpoint=replace(
                    each.checkpoint, latest=each.checkpoint.uri == latest, best=each.checkpoint.uri == best
                ),
            )
            for each in chain
        ]
    return found


def _in_order(chain: list[Shelved]) -> list[Shelved]:
    """Return a chain the oldest first.

    A job's own manifests tell attempt and time. Elsewhere the step in the name counts where each has one, because the
    time of an object is that of its upload; unless the newest object has not the highest step by far: then steps were
    begun anew.
    """
    if all(each.checkpoint.attempt is not None for each in chain):
        return sorted(
            chain, key=lambda each: (each.checkpoint.attempt, each.checkpoint.created_at, each.checkpoint.seq)
        )
    by_time = sorted(chain, key=lambda each: (each.checkpoint.created_at, _step(each), each.checkpoint.name))
    if any(each.checkpoint.step is None for each in chain):
        return by_time
    by_step = sorted(chain, key=lambda each: (_step(each), each.checkpoint.created_at, each.checkpoint.name))
    begun_anew = by_time[-1].checkpoint.created_at - by_step[-1].checkpoint.created_at > _CLOCKS
    return by_time if begun_anew else by_step


def _step(each: Shelved) -> int:
    return -1 if each.checkpoint.step is None else each.checkpoint.step
