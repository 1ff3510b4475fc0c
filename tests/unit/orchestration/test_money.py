"""Arithmetic of money: what adds up, what is the least, what stays unknown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_jupyter.orchestration.costs.cost import PARTS, Cost, total
from runctl_jupyter.orchestration.costs.machine import disks_cost, run_cost
from runctl_jupyter.orchestration.costs.prices import cost_between
from runctl_jupyter.orchestration.costs.rates import HOURS_PER_MONTH, Disk, disk_per_hour, gp3_per_hour, requests_usd
from runctl_jupyter.orchestration.costs.spans import Span, once
from runctl_jupyter.orchestration.costs.stored import Kept, storage_cost

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

amounts = st.floats(0, 1000)
costs = st.builds(
    Cost, st.dictionaries(st.sampled_from(PARTS), amounts), st.frozensets(st.sampled_from(PARTS), max_size=3)
)
hours = st.floats(0, 500).map(lambda n: NOON + n * HOUR)
rates = st.floats(0.001, 100)


@given(costs, costs, costs)
def test_costs_add_up_in_any_order(a: Cost, b: Cost, c: Cost) -> None:
    one, other = (a + b) + c, c + (b + a)
    assert one.unknown == other.unknown == a.unknown | b.unknown | c.unknown
    assert one.usd == pytest.approx(other.usd)
    assert sum(one.usd.values()) == pytest.approx(sum(sum(each.usd.values()) for each in (a, b, c)))
    assert a + Cost() == Cost() + a == a


@given(costs)
def test_a_cost_survives_its_document(cost: Cost) -> None:
    read = Cost.from_dict(cost.to_dict())
    assert (read.usd, read.unknown) == (pytest.approx(cost.usd, abs=1e-6), cost.unknown)


@pytest.mark.parametrize(
    ("cost", "text", "usd"),
    [
        (Cost.of(machine=1.5, disk=0.25), "$1.75", 1.75),
        (Cost.of(machine=1.5, disk=None), "at least $1.50", 1.5),
        (Cost.of(machine=None), "unknown", None),
        (Cost(), "$0.00", 0),
    ],
)
def test_unknown_is_not_nothing(cost: Cost, text: str, usd: float | None) -> None:
    assert (str(cost), cost.total_usd) == (text, usd)


def test_parts_in_words() -> None:
    cost = Cost.of(disk=0.25, machine=1.5) + Cost.of(disk=None, address=None)
    assert cost.breakdown() == "machine $1.50, disk more than $0.25, address unknown"
    assert cost.to_dict() == {
        "machine": 1.5, "disk": 0.25, "address": None, "total": 1.75, "unknown": ["disk", "address"],
    }  # fmt: skip


@given(rates, hours, hours)
def test_a_run_costs_a_minute_at_least_and_never_less_for_longer(rate: float, begin: datetime, end: datetime) -> None:
    usd = cost_between(rate, begin, end)
    assert usd is not None
    assert usd >= rate / 60 * 0.999999
    longer = cost_between(rate, begin, end + timedelta(seconds=0.5))
    assert longer is not None
    assert longer >= usd


@pytest.mark.parametrize(("seconds", "billed"), [(-5, 60), (0, 60), (59.2, 60), (60.001, 61), (90, 90), (3600, 3600)])
def test_seconds_are_billed_whole(seconds: float, billed: int) -> None:
    assert cost_between(3600.0, NOON, NOON + timedelta(seconds=seconds)) == billed


def test_each_start_has_its_minute() -> None:
    ten = timedelta(seconds=10)
    starts = [run_cost(36.0, NOON + n * HOUR, NOON + n * HOUR + ten, address=True) for n in range(3)]
    assert total(starts).usd == pytest.approx({"machine": 3 * 0.6, "address": 3 * 0.005 / 60})


def disk(kind: str = "gp3", iops: int | None = 3000, mibps: int | None = 125, hours_ago: float = 5) -> Disk:
    return Disk("vol-1", kind, 100, iops, mibps, NOON - hours_ago * HOUR, "i-1")


def test_a_disk_costs_by_size_and_what_is_beyond_the_free_part() -> None:
    assert disk_per_hour(disk(), "us-east-1") == pytest.approx(100 * 0.08 / HOURS_PER_MONTH)
    more = disk_per_hour(disk(iops=5000, mibps=325), "us-east-1")
    assert more == pytest.approx((100 * 0.08 + 2000 * 0.005 + 200 * 0.04) / HOURS_PER_MONTH)
    assert disk_per_hour(disk(), "eu-central-1") == pytest.approx(100 * 0.0952 / HOURS_PER_MONTH)


@pytest.mark.parametrize(
    ("each", "region"),
    [(disk(), "mars-1"), (disk(), None), (disk(kind="io2"), "us-east-1"), (disk(iops=4000), "us-west-2")],
)
def test_a_disk_whose_price_nobody_knows(each: Disk, region: str | None) -> None:
    assert disk_per_hour(each, region) is None
    cost = disks_cost([each], NOON - HOUR, NOON, region)
    assert (cost.usd, cost.unknown) == ({}, {"disk"})


def test_a_disk_costs_as_long_as_it_is_there() -> None:
    rate = disk_per_hour(disk(), "us-east-1")
    assert rate is not None
    since_yesterday = disks_cost([disk(hours_ago=5)], NOON - 24 * HOUR, NOON, "us-east-1")
    assert since_yesterday.usd == pytest.approx({"disk": 5 * rate})
    assert disks_cost([disk(hours_ago=50)], NOON - 24 * HOUR, NOON, "us-east-1").usd == pytest.approx(
        {"disk": 24 * rate}
    )
    assert disks_cost([disk(hours_ago=-1)], NOON - 24 * HOUR, NOON, "us-east-1") == Cost()


@given(st.integers(1, 65536), st.integers(3000, 80000), st.integers(125, 2000))
def test_a_bigger_or_faster_disk_is_never_cheaper(gib: int, iops: int, mibps: int) -> None:
    usd = [
        gp3_per_hour(*size, "us-east-1", iops=i, mibps=m)
        for size, i, m in (((gib,), iops, mibps), ((gib + 1,), iops, mibps), ((gib,), iops + 1, mibps + 1))
    ]
    known = [each for each in usd if each is not None]
    assert len(known) == 3
    assert 0 < known[0] < min(known[1:])


def test_requests_and_storage() -> None:
    assert requests_usd(1000, 10000, "us-east-1") == pytest.approx(0.005 + 0.004)
    assert requests_usd(1000, 0, "mars-1") is None
    assert requests_usd(0, 0, "mars-1") == 0
    kept = [Kept(1 << 30, NOON - 730 * HOUR), Kept(1 << 30, NOON - 1000 * HOUR), Kept(1 << 40, NOON + HOUR)]
    month = storage_cost(kept, NOON - 730 * HOUR, NOON, "us-east-1")
    assert month.usd == pytest.approx({"storage": 2 * 0.023})
    assert storage_cost(kept, NOON - HOUR, NOON, "mars-1") == Cost.of(storage=None)
    assert storage_cost([], NOON - HOUR, NOON, "mars-1") == Cost()


spans = st.builds(
    lambda begin, length, rate, on: Span(
        NOON + begin * HOUR, NOON + (begin + length) * HOUR, Cost.of(machine=rate * length), f"i-{on}"
    ),
    st.integers(0, 100), st.integers(1, 50), st.just(2.0), st.integers(0, 2),
)  # fmt: skip


@given(st.lists(spans, max_size=12))
def test_a_shared_machine_is_counted_once(jobs: Sequence[Span]) -> None:
    paid = list(once(jobs, []))
    busy = {(span.instance_id, h) for span in jobs for h in range(200) if span.begin <= NOON + h * HOUR < span.end}
    assert sum(span.cost.usd["machine"] for span in paid) == pytest.approx(2.0 * len(busy))


@given(st.lists(spans, max_size=12), st.integers(0, 100), st.integers(1, 60))
def test_a_machine_that_is_there_counts_from_its_start(jobs: Sequence[Span], begin: int, length: int) -> None:
    start = NOON + begin * HOUR
    machine = Span(start, start + length * HOUR, Cost.of(machine=2.0 * length), "i-0")
    paid = list(once(jobs, [machine]))
    on = [span for span in paid if span.instance_id == "i-0"]
    assert machine in on
    assert all(span is machine or span.end <= start for span in on)


@given(st.lists(spans, max_size=8), st.lists(st.integers(0, 160), min_size=1, max_size=6))
def test_days_add_up_to_the_whole(jobs: Sequence[Span], cuts: Sequence[int]) -> None:
    edges = [NOON - HOUR, *(NOON + cut * HOUR for cut in sorted(cuts)), NOON + 200 * HOUR]
    for span in jobs:
        parts = total(span.between(*pair) for pair in pairwise(edges))
        assert parts.usd == pytest.approx(span.cost.usd)
