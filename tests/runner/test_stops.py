"""When money is used up: time at a price, with what is billed beside it and before the claim."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_jupyter.run_record import JobSpec, JobState, Limits, PhaseMark
from runctl_jupyter.runner.phases import seconds_of_boot
from runctl_jupyter.runner.stops import LimitWatch, StopSignal, cost_usd


def watch(max_cost: float, price: float | None, *, ago_s: float, boot_s: float = 0.0, **beside: float) -> StopSignal:
    """A look at the limits of a job that was claimed a while ago."""
    limits = Limits(max_cost_usd=max_cost)
    spec = JobSpec("j", "n", "t", "o", "aws", "s.py", limits=limits, price_per_hour=price, beside_per_hour=beside)
    stop = StopSignal()
    LimitWatch(spec, time.monotonic() - ago_s, stop, 30.0, boot_s).look()
    return stop


@pytest.mark.parametrize(
    ("ago_s", "boot_s", "beside", "over"),
    [
        (3500, 0, {}, False),
        (3601, 0, {}, True),
        (3500, 200, {}, True),
        (3300, 200, {}, False),
        (2001, 0, {"disk": 0.5, "address": 0.3}, True),
        (1900, 0, {"disk": 0.5, "address": 0.3}, False),
        (1900, 101, {"disk": 0.5, "address": 0.3}, True),
        (0, 9999, {}, True),
    ],
)
def test_a_dollar_at_a_dollar_an_hour(ago_s: float, boot_s: float, beside: dict[str, float], over: bool) -> None:
    reason = watch(1.0, 1.0, ago_s=ago_s, boot_s=boot_s, **beside).reason
    assert (reason is not None) == over
    if reason is not None:
        assert (reason.state, reason.cause.kind) == (JobState.CAPPED, "max-cost")
        assert ("disk and address" in reason.cause.message) == bool(beside)


def test_less_than_the_first_minute_costs_affords_nothing() -> None:
    assert watch(0.01, 36.0, ago_s=0).reason is not None


def test_a_price_that_nobody_knows_ends_nothing() -> None:
    assert watch(0.01, None, ago_s=99999).reason is None


@given(st.floats(0.001, 100), st.floats(0, 1e6))
def test_what_is_reported_is_what_is_billed(price: float, seconds: float) -> None:
    usd = cost_usd(price, seconds)
    assert usd is not None
    assert usd >= round(price / 60, 6)
    assert usd == pytest.approx(price * max(60, seconds) / 3600, abs=price / 3600 + 1e-6)
    assert cost_usd(None, seconds) is None


def test_how_long_it_has_booted() -> None:
    boot = PhaseMark("boot", "2026-11-24T10:00:00.000Z")
    code = PhaseMark("code", "2026-11-24T10:01:30.000Z")
    assert seconds_of_boot([PhaseMark("capacity", "2026-11-24T09:59:00.000Z"), boot, code]) == 90
    assert seconds_of_boot([code]) == seconds_of_boot([]) == 0
