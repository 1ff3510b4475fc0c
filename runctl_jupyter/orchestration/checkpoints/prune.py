"""Prune: which checkpoints of a source go, what that saves, and the doing of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.checkpoints.busy import Busy
from runctl_jupyter.orchestration.checkpoints.removal import remove
from runctl_jupyter.orchestration.checkpoints.retention import Rules, Verdict, verdicts
from runctl_jupyter.orchestration.checkpoints.shelf import Shelved, arranged
from runctl_jupyter.orchestration.costs.storage_prices import usd_per_month
from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.model import KeptCheckpoint, PruneReport

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.checkpoints.sources import Sources


def prune(
    sources: Sources, source: str, rules: Rules, *, region: Callable[[], str | None], dry_run: bool
) -> PruneReport:
    """Remove what no rule keeps; see `Checkpoints.prune`."""
    rules.check()
    looked = sources.look(source, incomplete=True)
    # After the listing: a job that is launched meanwhile is seen. A job of ours may go on from anything, anywhere.
    busy = Busy(looked.records)
    left_over = [each for each in looked.shelved if each.left_over and not busy.reason(each)]
    chains = arranged((each for each in looked.shelved if not each.left_over), rules.metric_of)
    _require_a_metric(chains, rules, looked.said)
    judged: list[Verdict] = []
    for _, chain in groupby(chains, key=lambda each: each.chain):
        judged += verdicts(list(chain), rules, busy.reason)
    going = [each.shelved for each in judged if not each.reason]
    if not dry_run:
        remove([*going, *left_over])
    size = sum(each.checkpoint.size for each in (*going, *left_over))
    on_s3 = any(each.store.uri.startswith("s3://") for each in looked.shelved)
    place = region() if on_s3 else None
    return PruneReport(
        source=looked.said,
        dry_run=dry_run,
        remove=[each.checkpoint for each in going],
        keep=[KeptCheckpoint(each.shelved.checkpoint, each.reason) for each in judged if each.reason],
        leftovers=[each.checkpoint.uri for each in left_over],
        bytes=size,
        usd_per_month=usd_per_month(size, place) if on_s3 else 0.0,
        region=place,
    )


def _require_a_metric(shelved: Sequence[Shelved], rules: Rules, said: str) -> None:
    """Refuse to look for the best where nothing tells which it is."""
    whole = [each.checkpoint for each in shelved if each.checkpoint.complete]
    if rules.keep_best is None or not whole:
        return
    metric = rules.metric_of(whole)
    if metric is None or not any(metric.of(each) is not None for each in whole):
        known = sorted({name for each in whole for name in each.metrics})
        what = f"metric {rules.metric!r}" if rules.metric else "metric whose best value is known"
        raise InvalidRequest(
            f"No checkpoint of {said} has a {what}.",
            f"Name one they have with --metric: {', '.join(known)}." if known else "Use --keep-last or --keep-every.",
        )
