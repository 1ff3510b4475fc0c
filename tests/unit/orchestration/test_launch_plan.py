"""What a plan says of zones, prices and the most it may come to; and the line before a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from runctl_jupyter.display.values import value_text
from runctl_jupyter.orchestration.account.quotas import Quotas
from runctl_jupyter.orchestration.aws.ec2 import Ec2, Subnet
from runctl_jupyter.orchestration.aws.ssm import Ssm
from runctl_jupyter.orchestration.config import LaunchSettings
from runctl_jupyter.orchestration.costs.pricing import Prices
from runctl_jupyter.orchestration.errors import InvalidRequest, LaunchRefused
from runctl_jupyter.orchestration.instances.announcement import announcement
from runctl_jupyter.orchestration.instances.planning import Knowledge, Planner
from runctl_jupyter.orchestration.model import LaunchPlan, QuotaLeft
from runctl_jupyter.run_record import JobSpec, Limits, MachineAsked, MachineOffer

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
ON_DEMAND = {"g5.xlarge": 1.0, "g6.xlarge": 0.8, "g5.2xlarge": 1.2, "m5.large": 0.1, "t3.large": 0.08}
SPOT = {
    "g5.xlarge": {"us-east-1a": 0.5, "us-east-1b": 0.3, "us-east-1c": 0.4},
    "g6.xlarge": {"us-east-1a": 0.2, "us-east-1b": 0.25},
    "m5.large": {"us-east-1a": 0.04},
}


class Account:
    """Offers every type in the first two zones, and g5.xlarge in the third; stands for EC2, SSM and price list."""

    def __init__(self, subnets: tuple[str, ...] = ZONES, parameters: tuple[str, ...] = ("server/", "h-2.9")) -> None:
        self.zones, self.parameters = subnets, parameters
        self.named: tuple[str, ...] = ()

    def on_demand(self, instance_type: str) -> float | None:
        return ON_DEMAND.get(instance_type)

    def spot(self, instance_type: str) -> Mapping[str, float]:
        return SPOT.get(instance_type, {})

    def subnets(self, chosen: tuple[str, ...]) -> list[Subnet]:
        return [Subnet(f"subnet-{zone[-1]}", zone) for zone in self.zones]

    def zones_offering(self, names: list[str]) -> dict[str, set[str]]:
        return {name: {*ZONES[:2], *(ZONES[2:] if name == "g5.xlarge" else ())} for name in names}

    def first_parameter(self, names: list[str]) -> tuple[str, str] | None:
        found = [name for name in names if any(part in name for part in self.parameters)]
        return (found[0], "ami-1") if found else None

    def image(self, image_id: str) -> Any:
        if image_id == "ami-gone":
            return None
        disks = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 75}}, {"DeviceName": "/dev/sdb", "VirtualName": "e"}]
        return {"ImageId": image_id, "Name": "an image", "RootDeviceName": "/dev/sda1", "BlockDeviceMappings": disks}

    def newest_image(self, owner: str, name: str) -> Any:
        self.named = (owner, name)
        return self.image("ami-2")

    def left(self, vcpus: int, instance_type: str, *, spot: bool) -> QuotaLeft:
        return QuotaLeft("L-1", "All of them", 8, 6, 2, "us-east-1", "https://ask", vcpus)


def planner(account: Account, region: str = "us-east-1", **settings: Any) -> Planner:
    knowledge = Knowledge(Prices(account, region), cast(Quotas, account))
    launch = LaunchSettings.model_validate(settings)
    return Planner(cast(Ec2, account), cast(Ssm, account), launch, region, knowledge)


def plan(*types: str, account: Account | None = None, gib: int | None = None, **asked: Any) -> LaunchPlan:
    made = planner(account or Account())
    return made.plan(made.prepare(MachineAsked(list(types), **asked)), volume_gib=gib, ttl_s=7200)


def test_the_dearest_that_may_come_is_what_it_costs_at_most() -> None:
    made = plan("g5.xlarge", "g6.xlarge", spot=True, fallback="on-demand")
    assert (made.instance_type, made.spot, made.price_per_hour) == ("g5.xlarge", True, 0.3)
    assert [each.price_per_hour for each in made.candidates] == [0.3, 0.2]
    assert made.volume_gib == 97  # the image's 75 and room
    beside = 97 * 0.08 / 730 + 0.005  # gp3 and a public address
    assert made.total_at_ttl_usd == pytest.approx(2 * (1.0 + beside))
    assert plan("g5.xlarge", spot=True).total_at_ttl_usd == pytest.approx(2 * (0.5 + beside))


def test_an_unknown_price_is_unknown_and_never_nothing() -> None:
    made = plan("g6.xlarge", "g5.2xlarge", spot=True)
    assert (made.price_per_hour, made.total_at_ttl_usd) == (0.2, None)
    assert [each.price_per_hour for each in made.candidates] == [0.2, None]
    assert "unknown" in value_text(made)


def test_zones_are_those_with_a_subnet_that_offer_the_type_the_cheapest_first() -> None:
    made = planner(Account())
    prepared = made.prepare(MachineAsked(["g5.xlarge", "g6.xlarge"], spot=True))
    assert [(pool.instance_type, pool.zone[-1]) for pool in prepared.pools] == [
        ("g5.xlarge", "b"), ("g5.xlarge", "c"), ("g5.xlarge", "a"), ("g6.xlarge", "a"), ("g6.xlarge", "b"),
    ]  # fmt: skip
    on_demand = made.prepare(MachineAsked(["g5.xlarge"]))
    assert {pool.offer for pool in on_demand.pools} == {on_demand.first.offer}  # one price for all zones
    with pytest.raises(InvalidRequest, match=r"\(us-east-1c\) offers g6\.xlarge") as raised:
        planner(Account(ZONES[2:])).prepare(MachineAsked(["g6.xlarge"]))
    assert "us-east-1a, us-east-1b" in raised.value.to_resolve


def test_without_a_default_vpc_it_says_what_to_set() -> None:
    with pytest.raises(LaunchRefused, match="no default VPC in us-east-1") as raised:
        planner(Account(())).prepare(MachineAsked(["m5.large"]))
    assert "subnet" in raised.value.to_resolve
    assert LaunchSettings.model_validate({"subnet": "subnet-1"}).subnet == ("subnet-1",)
    assert LaunchSettings.model_validate({"subnet": ["subnet-1", "subnet-2"]}).subnet == ("subnet-1", "subnet-2")


def test_the_settings_types_are_launched_when_nothing_is_said() -> None:
    prepared = planner(Account(), instance_type="g6.xlarge, g5.xlarge").prepare(MachineAsked())
    assert [facts.name for facts in prepared.types] == ["g6.xlarge", "g5.xlarge"]
    spot = planner(Account(), instance_type="g6.xlarge").prepare(MachineAsked(spot=True))
    assert (spot.first.instance_type, spot.first.spot) == ("g6.xlarge", True)


def test_an_image_and_how_it_was_found() -> None:
    assert "pytorch-2.9" in plan("g5.xlarge").image_found_by
    assert "canonical/ubuntu" in plan("m5.large").image_found_by
    account = Account(parameters=())
    assert plan("g5.xlarge", account=account).image_id == "ami-2"
    assert account.named[0] == "898082745236"
    with pytest.raises(LaunchRefused, match="ami-gone"):
        planner(Account(), ami="ami-gone").prepare(MachineAsked(["m5.large"]))
    with pytest.raises(InvalidRequest, match="has 75 GiB"):
        plan("m5.large", gib=74)
    assert plan("m5.large", gib=75).volume_gib == 75


AMIS: tuple[dict[str, str], ...] = ({}, {"ami": "ami-1"})


def test_a_gpu_that_the_images_do_not_drive_is_refused_before_anything_is_made() -> None:
    for asked in (MachineAsked(["p3.2xlarge"]), MachineAsked(["g5.xlarge", "p3.2xlarge"]), MachineAsked(gpu="V100:1")):
        with pytest.raises(LaunchRefused, match=r"V100 of p3\.2xlarge") as raised:
            planner(Account()).prepare(asked)
        assert "ami under [launch]" in raised.value.to_resolve
    assert planner(Account(), ami="ami-1").prepare(MachineAsked(["p3.2xlarge"])).image.id == "ami-1"
    by_memory = MachineAsked(gpu="16GB:4")  # where no price says that a V100 is far too dear for its memory
    names = [[facts.name for facts in planner(Account(), "nowhere-1", **ami).types(by_memory)] for ami in AMIS]
    assert ["p3.8xlarge" in each for each in names] == [False, True]


def test_cheaper_ones_that_would_do() -> None:
    found = [(each.instance_type, each.spot) for each in plan("g5.xlarge").alternatives]
    assert found == [("g6.xlarge", True), ("g5.xlarge", True)]
    assert [(each.instance_type, each.spot) for each in plan("g5.xlarge", spot=True).alternatives] == [
        ("g6.xlarge", True)
    ]
    assert plan("g6.xlarge", spot=True).alternatives == []


def test_a_plan_says_it_all() -> None:
    text = value_text(plan("g5.xlarge", "g6.xlarge", spot=True, fallback="on-demand"))
    for words in (
        "Would launch g5.xlarge or g6.xlarge spot; nothing has been launched",
        "1 A10G 22 GiB, 4 vCPU, 16 GiB, $0.300/h",
        "spot, on-demand where there is none",
        "us-east-1a, us-east-1b, us-east-1c",
        "2 of 8 vCPU left, 4 needed (All of them, L-1): AWS will refuse; ask for more: https://ask",
        "$0.300/h + $0.016/h for disk and address",
        "costs at most",
    ):
        assert words in text
    document = plan("g5.xlarge").to_dict()
    assert document["candidates"][0]["instance_type"] == "g5.xlarge"
    assert document["quota"]["left"] == 2


def test_what_is_not_in_the_sum_is_said() -> None:
    made = replace(plan("g5.xlarge"), extras_per_hour=None, total_at_ttl_usd=2.0)
    assert "$2.00, and its disk and address: their price is not known" in value_text(made)


def test_types_that_need_other_images_are_not_launched_together() -> None:
    with pytest.raises(InvalidRequest, match=r"g5\.xlarge and m5\.large"):
        planner(Account()).prepare(MachineAsked(["g5.xlarge", "m5.large"]))


@pytest.mark.parametrize(
    ("offers", "limits", "line"),
    [
        ([], Limits(), ""),
        (
            [MachineOffer("g5.xlarge", None, False, 1.0)],
            Limits(ttl_s=7200.0),
            "Launching g5.xlarge in us-east-1: $1.000/h, at most $2.00: it ends after 2 h.",
        ),
        (
            [MachineOffer("g5.xlarge", "a", True, 0.3), MachineOffer("g6.xlarge", "a", True, 0.2)],
            Limits(ttl_s=7200.0, max_cost_usd=0.5),
            "Launching g5.xlarge or g6.xlarge spot in us-east-1: $0.200/h to $0.300/h, at most $0.50: then it ends.",
        ),
        (
            [MachineOffer("g5.xlarge", "a", True, 0.3), MachineOffer("g5.xlarge", None, False, 1.0)],
            Limits(),
            "Launching g5.xlarge spot, or on-demand in us-east-1: $0.300/h to $1.000/h.",
        ),
        (
            [MachineOffer("x1.large", None, False, None)],
            Limits(ttl_s=7200.0),
            "Launching x1.large in us-east-1: price unknown.",
        ),
    ],
)
def test_a_line_before_a_launch(offers: list[MachineOffer], limits: Limits, line: str) -> None:
    facts = {"spot": bool(offers) and offers[0].spot, "offers": offers, "limits": limits}
    spec = JobSpec("j", "n", "2026-01-02T03:04:05Z", "me", "aws", "t.py", region="us-east-1", **cast(Any, facts))
    assert announcement(spec) == line
