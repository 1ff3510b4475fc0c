"""Metrics and progress in the lines of a script: which step a value belongs to, how long the rest takes."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from runctl_jupyter.run_record import Progress
from runctl_jupyter.runner.line_counts import ROW, Count, Counts, counts_of
from runctl_jupyter.runner.line_values import values_of
from runctl_jupyter.runner.series import Point

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_MOST_COUNTERS = 64
_MOST_COUNT = 10**15
_PACE_LOOKS = 32
_PACE_S = 1.0
_DONE_FOR_S = 10.0
"""A bar that is full gives its step to the lines right behind it, and not to all that come."""


@dataclass
class _Counter:
    """A counter over time. One that begins again, as in each epoch, goes on from where it was."""

    said: bool
    """Whether the script speaks of steps; else it is a bar."""
    began: float
    seen: float
    n: int = 0
    total: Optional[int] = None
    before: int = 0
    """Steps of the rounds before this one."""
    elapsed_s: Optional[float] = None
    left_s: Optional[float] = None

    def take(self, count: Count, at: float) -> None:
        if count.total is not None and count.n < self.n and count.total == self.total:
            self.before += count.total
        self.n, self.seen = count.n, at
        self.total = count.total or (self.total if self.said else None)
        self.elapsed_s, self.left_s = count.elapsed_s, count.left_s

    @property
    def step(self) -> int:
        return self.before + self.n

    @property
    def done(self) -> bool:
        return self.total is not None and self.n >= self.total

    @property
    def duration_s(self) -> float:
        """How long it takes in all, as far as one knows."""
        if self.elapsed_s is not None and self.left_s is not None:
            return self.elapsed_s + self.left_s
        return self.seen - self.began


class Pace:
    """Seconds a step takes, by the last ones."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque(maxlen=_PACE_LOOKS)

    def note(self, step: int, at: float) -> None:
        """Note that a step is reached."""
        if self._looks and step < self._looks[-1][1]:
            self._looks.clear()
        if not self._looks or step > self._looks[-1][1]:
            self._looks.append((at, step))

    def seconds_for(self, steps: int) -> Optional[float]:
        """Return how long so many steps take; None when it is too early to tell."""
        if not self._looks:
            return None
        (began, first), (at, last) = self._looks[0], self._looks[-1]
        return steps * (at - began) / (last - first) if at - began >= _PACE_S else None


class LogMetrics:
    """Reads one line after the other."""

    def __init__(self) -> None:
        self._counters: dict[str, _Counter] = {}
        self._main: Optional[_Counter] = None
        self._steps: Optional[_Counter] = None
        self._epoch: Optional[Count] = None
        self._epochs_from = 1
        self._pace = Pace()

    @property
    def progress(self) -> Optional[Progress]:
        """How far the script is; None when it has not said."""
        main = self._main
        if main is None:
            return None if self._epoch is None else self._progress(self._epoch.n, self._epoch.total, None)
        total = self._whole(main)
        if total is None or total == main.total:
            return self._progress(main.n, main.total, main.left_s)
        return self._progress(main.step, total, None)

    def take(self, lines: Iterable[str], at: float) -> list[Point]:
        """Look through lines; return the points that are in them.

        Parameters
        ----------
        at
            When they came, in seconds since 1970.
        """
        found: list[Point] = []
        for line in lines:
            text = _COLOURS.sub("", line).strip() if "\x1b" in line else line.strip()
            counts = counts_of(text)
            values = values_of(counts.rest.strip())
            step = self._step(counts, at, has_values=bool(values))
            found.extend(Point(name, step, at, value) for name, value in values.items())
        progress = self.progress
        if progress is not None and progress.step is not None:
            self._pace.note(progress.step, at)
        return found

    def _step(self, counts: Counts, at: float, *, has_values: bool) -> Optional[int]:
        """Take in what a line counts; return the step of its values."""
        own: Optional[int] = None
        if counts.epoch is not None and counts.epoch.n < _MOST_COUNT:
            self._take_epoch(counts.epoch)
            own = counts.epoch.n if self._main is None else None
        if counts.bar is not None:
            bar = self._count(counts.bar, at, said=False)
            own = bar.step if bar else own
        step = counts.step
        if step is not None and (has_values or step.key != ROW):
            self._steps = self._count(step, at, said=True) or self._steps
            own = self._steps.step if self._steps else own
        return own if own is not None or not has_values else self._last_step(at)

    def _last_step(self, at: float) -> Optional[int]:
        if self._steps is not None:
            return self._steps.step
        main = self._main
        if main is not None:
            return None if main.done and at - main.seen > _DONE_FOR_S else main.step
        return self._epoch.n if self._epoch else None

    def _take_epoch(self, epoch: Count) -> None:
        if epoch.n == 0:
            self._epochs_from = 0
        known = self._epoch
        total = epoch.total or (known.total if known else None)
        self._epoch = Count(epoch.key, epoch.n, total)

    def _count(self, count: Count, at: float, *, said: bool) -> Optional[_Counter]:
        if count.n > _MOST_COUNT or (count.total or 0) > _MOST_COUNT:
            return None
        key = f"{said} {count.key}"
        counter = self._counters.pop(key, None) or _Counter(said, at, at)
        counter.take(count, at)
        self._counters[key] = counter
        while len(self._counters) > _MOST_COUNTERS:
            del self._counters[next(iter(self._counters))]
        main = self._main
        if main is None or counter is main or self._outranks(counter, main):
            self._main = counter
        return counter

    @staticmethod
    def _outranks(other: _Counter, main: _Counter) -> bool:
        """Whether another counter tells better how far the script is: its own words, else the longest bar."""
        by_words, main_by_words = (each.said and each.total is not None for each in (other, main))
        if by_words != main_by_words:
            return by_words
        return main.done or other.duration_s > main.duration_s

    def _whole(self, counter: _Counter) -> Optional[int]:
        """Return the total of all epochs where the counter begins again in each."""
        epoch = self._epoch
        if counter.total is None or epoch is None or epoch.total is None:
            return counter.total
        begun, epochs = epoch.n - self._epochs_from, epoch.total + 1 - self._epochs_from
        each_anew = counter.before > 0 or begun == 0
        return counter.total * epochs if each_anew else counter.total

    def _progress(self, step: int, total: Optional[int], left_s: Optional[float]) -> Progress:
        if total is not None and step >= total:
            left_s = 0.0
        elif total is not None and left_s is None:
            left_s = self._pace.seconds_for(total - step)
        return Progress(step, total, left_s)
