"""Series in bounded memory, and their form in the record."""

from __future__ import annotations

import json
import math

from runctl_jupyter.run_record import GpuSample, MachineSample, Measures, SeriesColumns
from runctl_jupyter.runner.machine_samples import MachineRows, gpus_of
from runctl_jupyter.runner.series import MOST_POINTS, MOST_SERIES, Point, SeriesSet, Thinned


def test_thinned_to_every_other_row() -> None:
    rows = Thinned[int]()
    for number in range(100_000):
        rows.add(number, 100)
        assert len(rows) <= 100
        assert rows.newest == rows.rows[-1] == number
    assert rows.rows[0] == 0
    gaps = {after - before for before, after in zip(rows.rows, rows.rows[1:-1], strict=False)}
    assert gaps == {1024}, "those kept are evenly spread"


def test_at_most_so_many_points_and_the_newest() -> None:
    series = SeriesSet()
    for step in range(5 * MOST_POINTS):
        series.add("log", [Point("loss", step, float(step), step / 2)])
    (columns,) = series.columns()
    assert MOST_POINTS / 2 <= len(columns.steps) <= MOST_POINTS
    assert columns.steps[-1] == 5 * MOST_POINTS - 1
    assert len(columns.steps) == len(columns.times) == len(columns.values)


def test_many_series_share_the_room() -> None:
    series = SeriesSet()
    for step in range(3000):
        series.add("log", [Point(f"m{n}", step, 0.0, 1.0) for n in range(MOST_SERIES)])
    assert sum(len(each.steps) for each in series.columns()) <= 40_000


def test_settings_that_were_printed_give_way_to_metrics() -> None:
    series = SeriesSet()
    series.add("log", [Point(f"setting{n}", None, 0.0, 1.0) for n in range(MOST_SERIES)])
    for step in range(3):
        series.add("log", [Point("loss", step, 0.0, 1.0)])
    names = [each.name for each in series.columns()]
    assert len(names) == MOST_SERIES
    assert "loss" in names
    for step in range(2):
        series.add("log", [Point(f"m{n}", step, 0.0, 1.0) for n in range(2 * MOST_SERIES)])
    assert len(series.columns()) == MOST_SERIES


def test_the_last_values_are_those_that_changed_last() -> None:
    series = SeriesSet()
    series.add("log", [Point(name, 1, 0.0, 1.0) for name in ("a", "b", "c", "d")])
    series.add("log", [Point("c", 2, 0.0, 0.123456789), Point("b", 2, 0.0, math.inf)])
    assert series.last(3) == {"a": 1.0, "c": 0.1234568}


def test_a_bar_drawn_again_is_no_new_point() -> None:
    series = SeriesSet()
    for _ in range(3):
        series.add("log", [Point("loss", 7, 0.0, 0.5)])
    assert series.columns()[0].steps == [7]
    assert series.changes == 1


def test_what_is_stored_is_gone_on_from() -> None:
    before = SeriesSet()
    before.add("log", [Point("loss", 1, 1.5, 0.5), Point("loss", 2, 2.5, math.nan)])
    after = SeriesSet(Measures.from_json(Measures(before.columns()).to_json()).series)
    after.add("log", [Point("loss", 3, 3.5, 0.4)])
    assert after.columns() == [SeriesColumns("loss", "log", [1, 2, 3], [1.5, 2.5, 3.5], [0.5, None, 0.4])]


def test_measures_are_compact_json() -> None:
    rows = MachineRows()
    rows.add(MachineSample("", 150.0, 5, 10, [GpuSample(50.0, 1, 4), GpuSample(70.0, 2, 4)]), 1.0)
    measures = Measures([SeriesColumns("é\n", "log", [None], [1.0], [None])], rows.columns(), 7)
    data = measures.to_json()
    assert b" " not in data
    assert json.loads(data)["series"][0]["values"] == [None]
    assert Measures.from_json(data) == measures
    assert measures.machine is not None
    assert (measures.machine.gpu_percent, measures.machine.gpu_memory_used) == ([60.0], [3])
    assert (measures.machine.memory_total, measures.machine.gpu_memory_total) == (10, 8)
    assert Measures.from_json(Measures().to_json()) == Measures()


def test_what_nvidia_smi_says() -> None:
    said = "87, 1024, 81559\n[N/A], 5, 10\n0, 0, 16384\n"
    assert gpus_of(said) == [GpuSample(87.0, 1 << 30, 81559 << 20), GpuSample(0.0, 0, 16384 << 20)]
