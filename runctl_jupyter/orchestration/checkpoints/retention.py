"""Which checkpoints stay: rules on a chain of them, and what no rule may touch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runctl_jupyter.orchestration.checkpoints.metric import Metric, Mode, best_first, chosen
from runctl_jupyter.orchestration.checkpoints.shelf import Shelved
from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.model import Checkpoint


@dataclass(frozen=True)
class Rules:
    """What stays of each chain: whatever one of the rules that are given says."""

    keep_last: int | None = None
    keep_best: int | None = None
    keep_every: int | None = None
    metric: str | None = None
    mode: Mode | None = None

    def check(self) -> None:
        """Refuse rules that say nothing.

        Raises
        ------
        InvalidRequest
            There is none, or a number is too small.
        """
        given = {"last": self.keep_last, "best": self.keep_best, "every": self.keep_every}
        if all(number is None for number in given.values()):
            raise InvalidRequest(
                "Nothing says which checkpoints stay.", "Say it: --keep-last N, --keep-best N, --keep-every K."
            )
        for name, number in given.items():
            if number is not None and number < 1:
                raise InvalidRequest(f"--keep-{name} {number} keeps nothing.", "Give a number from 1 on.")
        if self.keep_best is None and (self.metric is not None or self.mode is not None):
            raise InvalidRequest("A metric matters to --keep-best alone.", "Say how many of the best: --keep-best N.")

    def metric_of(self, chain: Sequence[Checkpoint]) -> Metric | None:
        """Return what the best of a chain goes by."""
        return chosen(chain, self.metric, self.mode)


@dataclass(frozen=True)
class Verdict:
    """A checkpoint, and why it stays; empty when it goes."""

    shelved: Shelved
    reason: str


def verdicts(chain: Sequence[Shelved], rules: Rules, needed: Callable[[Shelved], str]) -> list[Verdict]:
    """Judge a chain, the oldest first, its newest marked.

    Parameters
    ----------
    needed
        Returns why somebody needs a checkpoint; empty when nobody does.
    """
    # What is never removed does not count among the last either: `best.pt` and `last.pt` are no part of the series.
    whole = [each for each in chain if each.checkpoint.complete and not each.obstacle]
    by_rule = _by_rule(whole, rules)
    return [Verdict(each, _untouchable(each, needed) or by_rule.get(each.checkpoint.uri, "")) for each in chain]


def _untouchable(each: Shelved, needed: Callable[[Shelved], str]) -> str:
    if not each.checkpoint.complete:
        return "is not complete"
    return "the latest" if each.checkpoint.latest else needed(each) or each.obstacle


def _by_rule(whole: Sequence[Shelved], rules: Rules) -> dict[str, str]:
    """Return why checkpoints stay, by their addresses."""
    kept: dict[str, str] = {}
    if rules.keep_every is not None:
        # A job's checkpoints are numbered: the same ones stay however often this is done. Others are counted.
        numbers = [each.checkpoint.seq if each.checkpoint.job_id else n for n, each in enumerate(whole)]
        kept |= {
            each.checkpoint.uri: f"one of every {rules.keep_every}"
            for number, each in zip(numbers, whole, strict=True)
            if number % rules.keep_every == 0
        }
    if rules.keep_best is not None:
        rows = [each.checkpoint for each in whole]
        metric = rules.metric_of(rows)
        ranking = best_first(rows, metric) if metric is not None else []
        if not ranking or metric is None:
            kept |= {row.uri: "nothing to tell which is best" for row in rows}
        else:
            best = ranking[: rules.keep_best]
            kept |= {row.uri: f"best {rank} by {metric.name}" for rank, row in enumerate(best, 1)}
    if rules.keep_last is not None:
        kept |= {each.checkpoint.uri: f"of the last {rules.keep_last}" for each in whole[-rules.keep_last :]}
    return kept
