"""Spot prices as a function of type, zone and time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from runctl_jupyter.sandbox.control.ec2.spot_prices import on_demand_price, price_changes, spot_price

TYPES = st.sampled_from(["g5.xlarge", "m5.large", "p5.48xlarge", "r6i.large"])
ZONES = st.sampled_from(["us-east-1a", "us-east-1b", "us-east-1f"])
TIMES = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))
SPANS = st.timedeltas(timedelta(0), timedelta(days=10))


@given(TYPES, ZONES, TIMES, SPANS)
def test_a_history_has_each_price_that_was_in_force_and_no_other(
    kind: str, zone: str, start: datetime, span: timedelta
) -> None:
    end = start + span
    history = list(price_changes(kind, zone, start, end))
    times = [since for since, _ in history]
    assert times == sorted(set(times), reverse=True)
    assert times[-1] <= start  # the price at the start is older than it
    assert all(since > start for since in times[:-1])
    assert all(since <= end for since in times)
    assert all(spot_price(kind, zone, since) == price for since, price in history)
    assert spot_price(kind, zone, end) == history[0][1]
    assert spot_price(kind, zone, start) == history[-1][1]


@given(TYPES, ZONES, TIMES)
def test_spot_is_cheaper_and_never_free(kind: str, zone: str, at: datetime) -> None:
    assert 0.2 * on_demand_price(kind) < spot_price(kind, zone, at) < 0.7 * on_demand_price(kind)
