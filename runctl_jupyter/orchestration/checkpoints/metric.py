"""Which of several checkpoints is the best: by which metric, and whether less or more of it is better."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from runctl_jupyter.orchestration.errors import InvalidRequest

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.model import Checkpoint

Mode = Literal["min", "max"]

_WORD = re.compile(r"[a-z0-9]+")
_LESS_IS_BETTER = re.compile(r".*loss|err(or)?|perplexity|ppl|r?mse|mae|wer|cer|nll|fid|bp[bc]")
_MORE_IS_BETTER = re.compile(
    r".*acc(uracy)?\d*|f1|au(ro)?c|bleu\d*|rouge\w*|m?ap\d*|m?iou|dice|precision|recall|reward|score|r2|psnr|ssim|ndcg"
)
_HELD_OUT = re.compile(r"(^|[^a-z])(val|valid|validation|eval|test)")


@dataclass(frozen=True)
class Metric:
    """A metric and the direction in which it gets better."""

    name: str
    mode: Mode

    def of(self, checkpoint: Checkpoint) -> float | None:
        """Return a checkpoint's value; None when it has none that can be compared."""
        value = checkpoint.metrics.get(self.name)
        return value if value is not None and math.isfinite(value) else None


def chosen(checkpoints: Sequence[Checkpoint], name: str | None, mode: Mode | None) -> Metric | None:
    """Return the metric to compare by: the one that is asked for, or the usual one of those that the checkpoints have.

    Raises
    ------
    InvalidRequest
        Nobody says whether less or more of the named one is better.
    """
    if name is None:
        name = _usual(checkpoints)
        if name is None:
            return None
    better = mode or _direction(name)
    if better is None:
        raise InvalidRequest(
            f"Whether less or more of {name!r} is better is not known.", "Say it: --mode min, or --mode max."
        )
    return Metric(name, better)


def best_first(checkpoints: Sequence[Checkpoint], metric: Metric) -> list[Checkpoint]:
    """Return the checkpoints that have the metric, the best first; of equal ones the newer first."""
    valued = [(value, each) for each in reversed(checkpoints) if (value := metric.of(each)) is not None]
    ranked = sorted(valued, key=lambda pair: pair[0] if metric.mode == "min" else -pair[0])
    return [each for _, each in ranked]


def _direction(name: str) -> Mode | None:
    words = _WORD.findall(name.lower())
    if any(_LESS_IS_BETTER.fullmatch(word) for word in words):
        return "min"
    return "max" if any(_MORE_IS_BETTER.fullmatch(word) for word in words) else None


def _usual(checkpoints: Sequence[Checkpoint]) -> str | None:
    """Return the metric that most checkpoints have; of those, one on held-out data, then a loss, comes first."""
    counts = Counter(name for each in checkpoints for name in each.metrics if _direction(name) is not None)
    if not counts:
        return None
    return min(
        counts,
        key=lambda name: (
            -counts[name],
            _HELD_OUT.search(name.lower()) is None,
            _direction(name) != "min",
            name,
        ),
    )
