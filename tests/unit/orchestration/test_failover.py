"""Which pools a launch tries, in which order, and what it says when none has a machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_jupyter.orchestration.aws.ec2 import Ec2
from runctl_jupyter.orchestration.aws.launches import Launches
from runctl_jupyter.orchestration.errors import (
    AwsBusy,
    CapacityUnavailable,
    InvalidRequest,
    LaunchRefused,
    PermissionDenied,
)
from runctl_jupyter.orchestration.instances.failover import Failover, Got
from runctl_jupyter.orchestration.instances.pools import Pool
from tests.unit.orchestration.machines import Market, blueprint, pool

NONE = "InsufficientInstanceCapacity"
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d")
SPOT = [pool(kind, zone, spot=True) for kind in ("m5.large", "m5.xlarge") for zone in ZONES]
ON_DEMAND = [pool(kind, zone) for kind in ("m5.large", "m5.xlarge") for zone in ZONES]


def launch(market: Market, *markets: Sequence[Pool], new_profile: bool = False) -> Got:
    failover = Failover(
        cast(Ec2, market), cast(Launches, market), blueprint(), settles=True, new_profile=lambda: new_profile
    )
    return failover.run(markets or [SPOT])


def test_the_first_choice_and_one_machine() -> None:
    market = Market(lambda *_: None)
    got = launch(market)
    assert (got.pool, got.described["InstanceId"], len(market.machines)) == (SPOT[0], "i-0", 1)


def test_what_a_fleet_has_not_tried_is_tried_by_the_next() -> None:
    only = ("m5.xlarge", "d")
    market = Market(lambda kind, zone, _: None if (kind, zone) == only else NONE, tries=3)
    assert launch(market).pool == SPOT[-1]
    asked = [len(each["LaunchTemplateConfigs"][0]["Overrides"]) for each in market.fleets]
    assert asked == [8, 5, 2]  # three pools less each time
    assert len({each["ClientToken"] for each in market.fleets}) == 3
    assert len(market.templates) == 1


def test_every_pool_that_was_tried_is_named_once() -> None:
    market = Market(lambda *_: NONE, tries=3)
    with pytest.raises(CapacityUnavailable) as raised:
        launch(market)
    tried = [(each.instance_type, each.zone, each.spot, each.code) for each in raised.value.tried]
    assert tried == [(each.instance_type, each.zone, True, NONE) for each in SPOT]
    assert raised.value.to_dict()["tried"][0]["zone"] == "us-east-1a"
    what, how = str(raised.value).splitlines()
    assert f"m5.large spot in {', '.join(ZONES)} [{NONE}]" in what
    assert "--fallback on-demand" in how


EVERYWHERE = [(each.instance_type, each.zone[-1], each.spot) for each in (*SPOT, *ON_DEMAND)]


@given(
    free=st.sets(st.sampled_from(EVERYWHERE), max_size=3),
    tries=st.integers(1, 4),
    without=st.sampled_from([(), ("CreateFleet",), ("CreateLaunchTemplate",)]),
)
def test_a_machine_is_had_wherever_there_is_one_and_never_two(
    free: set[tuple[str, str, bool]], tries: int, without: tuple[str, ...]
) -> None:
    market = Market(lambda *pool: None if pool in free else NONE, tries=tries, without=without)
    if not free:
        with pytest.raises(CapacityUnavailable) as raised:
            launch(market, SPOT, ON_DEMAND)
        assert len(raised.value.tried) == len(EVERYWHERE)
        assert market.machines == {}
        return
    got = launch(market, SPOT, ON_DEMAND).pool
    assert (got.instance_type, got.zone[-1], got.spot) in free
    assert got.spot or not any(spot for _, _, spot in free)
    assert len(market.machines) == 1


def test_a_fleet_that_can_fulfil_nothing_is_not_asked_for_ever() -> None:
    market = Market(lambda *_: "UnfulfillableCapacity")
    with pytest.raises(CapacityUnavailable):
        launch(market)
    assert len(market.fleets) == 1


def test_a_fleet_that_says_nothing_at_all() -> None:
    with pytest.raises(CapacityUnavailable, match="tried nothing"):
        launch(Market(lambda *_: "Nothing", silent=True))


def test_on_demand_after_spot_where_it_is_given() -> None:
    market = Market(lambda _kind, _zone, spot: NONE if spot else None)
    got = launch(market, SPOT, ON_DEMAND)
    assert got.pool == ON_DEMAND[0]
    assert len(market.templates) == 2  # tags of spot requests are refused without spot
    with pytest.raises(CapacityUnavailable) as raised:
        launch(Market(lambda *_: NONE), SPOT, ON_DEMAND)
    assert {each.spot for each in raised.value.tried} == {True, False}
    assert "--fallback" not in raised.value.to_resolve


def test_a_quota_of_one_market_leaves_the_other() -> None:
    def no_spot(_kind: str, _zone: str, spot: bool) -> str | None:
        return "MaxSpotInstanceCountExceeded" if spot else None

    assert launch(Market(no_spot), SPOT, ON_DEMAND).pool.spot is False
    market = Market(no_spot)
    with pytest.raises(LaunchRefused, match="MaxSpotInstanceCountExceeded") as raised:
        launch(market)
    assert not isinstance(raised.value, CapacityUnavailable)
    assert len(market.fleets) == 1  # no other zone would change it


P4D = [pool("p4d.24xlarge", zone, spot=True) for zone in ZONES[:2]]
P3 = [pool("p3.16xlarge", zone, spot=True) for zone in ZONES[:2]]
G5 = [pool("g5.xlarge", zone, spot=True) for zone in ZONES[:2]]


def test_a_quota_of_one_family_leaves_the_others() -> None:
    """Also where a fleet has tried one zone only, or each zone is asked by itself."""

    def no_p(kind: str, _zone: str, _spot: bool) -> str | None:
        return "MaxSpotInstanceCountExceeded" if kind.startswith("p") else None

    market = Market(no_p, tries=1)
    assert launch(market, [*P4D, *P3, *G5]).pool == G5[0]
    assert [len(each["LaunchTemplateConfigs"][0]["Overrides"]) for each in market.fleets] == [6, 2]
    alone = Market(no_p, without=["CreateFleet"])
    assert launch(alone, [*P4D, *P3, *G5]).pool == G5[0]
    assert [each["InstanceType"] for each in alone.singles] == ["p4d.24xlarge", "g5.xlarge"]


def test_a_quota_is_told_beside_what_had_no_capacity() -> None:
    def respond(kind: str, _zone: str, _spot: bool) -> str:
        return "MaxSpotInstanceCountExceeded" if kind.startswith("p") else NONE

    with pytest.raises(CapacityUnavailable) as raised:
        launch(Market(respond), [*P4D, *G5])
    assert {(each.instance_type, each.code) for each in raised.value.tried} == {
        ("p4d.24xlarge", "MaxSpotInstanceCountExceeded"),
        ("g5.xlarge", NONE),
    }
    assert "For the quota: End machines" in raised.value.to_resolve


def test_a_quota_of_disks_is_the_same_for_every_type() -> None:
    market = Market(lambda *_: "VolumeLimitExceeded", tries=1)
    with pytest.raises(LaunchRefused, match="VolumeLimitExceeded"):
        launch(market, [*P4D, *G5])
    assert len(market.fleets) == 1


def test_a_subnet_without_free_addresses_leaves_the_others() -> None:
    market = Market(lambda _kind, zone, _spot: "InsufficientFreeAddressesInSubnet" if zone == "a" else None, tries=1)
    assert launch(market).pool.zone == "us-east-1b"


@pytest.mark.parametrize("code", ["RequestLimitExceeded", "InternalError", "Unavailable"])
def test_what_may_pass_inside_a_fleet_is_tried_again(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    codes = iter([*[code] * 8, NONE, *[code] * 7])
    market = Market(lambda *_: next(codes, None))
    assert launch(market).pool == SPOT[0]
    assert len(market.fleets) == 3
    assert len({each["ClientToken"] for each in market.fleets}) == 3


@pytest.mark.parametrize("without", [(), ["CreateFleet"]])
def test_it_is_not_tried_for_ever(monkeypatch: pytest.MonkeyPatch, without: Sequence[str]) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    market = Market(lambda *_: "InternalError", without=without)
    with pytest.raises(AwsBusy):
        launch(market)
    # A single launch has had its tries when it is answered.
    assert (len(market.fleets), len(market.singles)) == ((1, 1) if without else (5, 0))


@pytest.mark.parametrize(
    ("code", "error"), [("UnauthorizedOperation", PermissionDenied), ("InvalidParameterValue", InvalidRequest)]
)
def test_what_no_other_pool_would_change_is_told_at_once(code: str, error: type[Exception]) -> None:
    market = Market(lambda _kind, zone, _spot: NONE if zone == "a" else code)
    with pytest.raises(error):
        launch(market)
    assert (len(market.fleets), market.singles) == (1, [])


@pytest.mark.parametrize("without", ["CreateLaunchTemplate", "CreateFleet"])
def test_who_may_not_make_fleets_asks_each_zone(without: str) -> None:
    market = Market(lambda _kind, zone, _spot: NONE if zone in "ab" else None, without=[without])
    assert launch(market).pool.zone == "us-east-1c"
    assert [each["SubnetId"] for each in market.singles] == ["subnet-a", "subnet-b", "subnet-c"]
    assert len({each["ClientToken"] for each in market.singles}) == 3


def test_a_machine_that_dies_pending_is_no_machine() -> None:
    market = Market(lambda *_: None)
    market.dies["m5.large"] = "Server.InsufficientInstanceCapacity"
    assert launch(market).pool.instance_type == "m5.xlarge"
    assert len(market.machines) == 5  # four zones, then the next type


@pytest.mark.parametrize("reason", ["Client.InstanceInitiatedShutdown", "Client.UserInitiatedShutdown"])
def test_a_machine_that_is_through_already_was_one(reason: str) -> None:
    market = Market(lambda *_: None)
    market.dies["m5.large"] = reason
    assert launch(market).pool == SPOT[0]


def test_another_death_is_told() -> None:
    market = Market(lambda *_: None)
    market.dies["m5.large"] = "Client.InternalError"
    with pytest.raises(LaunchRefused, match=r"Client\.InternalError"):
        launch(market)
    assert len(market.machines) == 1


def test_a_template_that_ec2_does_not_know_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    unknown = ["InvalidLaunchTemplateId.NotFound"] * 8
    market = Market(lambda *_: unknown.pop() if unknown else None)
    assert launch(market).pool == SPOT[0]
    assert (len(market.fleets), len(market.templates)) == (2, 1)


def test_a_profile_that_is_new_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    refusals = ["InvalidParameterValue"] * 8 * 3

    def respond(*_: object) -> str | None:
        return refusals.pop() if refusals else None

    def market() -> Market:
        made = Market(respond)
        made.message = "Value (runctl-instance) is invalid. Invalid IAM Instance Profile name"
        return made

    waited = market()
    assert launch(waited, new_profile=True).pool == SPOT[0]
    assert len({each["ClientToken"] for each in waited.fleets}) == len(waited.fleets) == 4
    refusals += ["InvalidParameterValue"] * 8
    at_once = market()
    with pytest.raises(LaunchRefused, match="instance profile"):
        launch(at_once)
    assert len(at_once.fleets) == 1


def test_where_an_address_has_to_be_asked_for_each_zone_is_asked() -> None:
    pools = [replace(each, needs_address=each.zone == "us-east-1b") for each in SPOT[:4]]
    market = Market(lambda _kind, zone, _spot: NONE if zone == "a" else None)
    assert launch(market, pools).pool == pools[1]
    assert (market.fleets, market.templates) == ([], [])
    (interface,) = market.singles[1]["NetworkInterfaces"]
    assert (interface["SubnetId"], interface["AssociatePublicIpAddress"]) == ("subnet-b", True)
    assert market.singles[0]["SubnetId"] == "subnet-a"
