"""Metrics over time in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Generic, NamedTuple, Optional, TypeVar

from runctl_jupyter.run_record import SeriesColumns

MOST_SERIES = 64
MOST_POINTS = 2000
_MOST_IN_ALL = 40_000
"""Points of all series: so many are 1.5 MB as JSON."""
_FEWEST_POINTS = 200
_DIGITS = 7
"""Significant digits of a value: what a 32-bit float holds."""

Row = TypeVar("Row")


class Point(NamedTuple):
    """A value of a metric."""

    name: str
    step: Optional[int]
    time: float
    """Seconds since 1970."""
    value: float


class Thinned(Generic[Row]):
    """Rows in order, at most so many: when full, every other one goes, and half as many are taken from then on.

    The newest row is always there.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._kept: list[Row] = list(rows)
        self._newest: Optional[Row] = None
        self._count = len(self._kept)
        self._every = 1

    def __len__(self) -> int:
        return len(self._kept) + (self._newest is not None)

    @property
    def rows(self) -> list[Row]:
        """What is there."""
        return self._kept if self._newest is None else [*self._kept, self._newest]

    @property
    def newest(self) -> Optional[Row]:
        """The row added last."""
        return self._newest if self._newest is not None else self._kept[-1] if self._kept else None

    def add(self, row: Row, most: int) -> None:
        """Add a row; keep at most `most`."""
        if self._count % self._every:
            self._newest = row
        else:
            self._newest = None
            self._kept.append(row)
        self._count += 1
        while len(self) > most:
            if self._newest is None and len(self._kept) % 2 == 0:
                self._newest = self._kept[-1]
            self._kept = self._kept[::2]
            self._every *= 2


class _Series:
    def __init__(self, points: Iterable[Point] = ()) -> None:
        self.points = Thinned(points)
        self.count = len(self.points)
        self.changed = 0


class SeriesSet:
    """The series of one attempt, by source and name; beyond `MOST_SERIES`, one that has a single value gives way."""

    def __init__(self, stored: Iterable[SeriesColumns] = ()) -> None:
        self._series: dict[tuple[str, str], _Series] = {
            (each.source, each.name): _Series(_points(each)) for each in stored
        }
        self._changes = 0

    @property
    def changes(self) -> int:
        """Grows whenever something was added."""
        return self._changes

    def add(self, source: str, points: Iterable[Point]) -> None:
        """Add points that came together."""
        change = self._changes + 1
        for point in points:
            series = self._series.get((source, point.name)) or self._begin(source, point.name)
            # A bar is drawn more often than its numbers change.
            if series is not None and not _same(series.points.newest, point):
                series.points.add(point, self._most)
                series.count += 1
                series.changed = self._changes = change

    def last(self, most: int) -> dict[str, float]:
        """Return the last values of the metrics that changed last, in the order in which they came first."""
        # All that came together changed together; of those the first are the ones a script names first.
        newest = sorted(self._series, key=lambda key: -self._series[key].changed)[:most]
        found: dict[str, float] = {}
        for key, series in self._series.items():
            point = series.points.newest
            if key in newest and point is not None and math.isfinite(point.value):
                found[key[1]] = rounded(point.value)
        return found

    def columns(self) -> list[SeriesColumns]:
        """Return all series as the record has them."""
        return [_columns(source, name, series) for (source, name), series in self._series.items()]

    @property
    def _most(self) -> int:
        return max(_FEWEST_POINTS, min(MOST_POINTS, _MOST_IN_ALL // max(1, len(self._series))))

    def _begin(self, source: str, name: str) -> Optional[_Series]:
        if len(self._series) >= MOST_SERIES:
            single = next((key for key, series in self._series.items() if series.count == 1), None)
            if single is None:
                return None
            del self._series[single]
        self._series[source, name] = series = _Series()
        return series


def rounded(value: float) -> float:
    """Return a value as the record writes it."""
    return float(f"{value:.{_DIGITS}g}")


def _same(one: Optional[Point], other: Point) -> bool:
    return one is not None and one.step is not None and (one.step, one.value) == (other.step, other.value)


def _points(columns: SeriesColumns) -> list[Point]:
    rows = zip(columns.steps, columns.times, columns.values)
    return [Point(columns.name, step, time, math.nan if value is None else value) for step, time, value in rows]


def _columns(source: str, name: str, series: _Series) -> SeriesColumns:
    points = series.points.rows
    return SeriesColumns(
        name,
        source,
        [point.step for point in points],
        [round(point.time, 3) for point in points],
        [rounded(point.value) if math.isfinite(point.value) else None for point in points],
    )
