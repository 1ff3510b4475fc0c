"""Spot prices, placement scores, and the role without which nothing is bought there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from runctl_jupyter.sandbox.control.access.policies import user_policy
from tests.sandbox.conftest import Boto, client
from tests.sandbox.control.conftest import Account
from tests.sandbox.control.test_launch_templates import refusal
from tests.sandbox.control.test_users import acting

pytestmark = pytest.mark.machineless
ROLE = "AWSServiceRoleForEC2Spot"
SPOT = {"InstanceMarketOptions": {"MarketType": "spot"}}
ON_DEMAND = 1.006  # a g5.xlarge in us-east-1, AWS price list


@pytest.fixture(autouse=True)
def no_fault_stays(sandbox: Connection) -> Iterator[None]:
    yield
    faults_client.clear(sandbox)


def prices(ec2: Any, **request: Any) -> list[dict[str, Any]]:
    pages = ec2.get_paginator("describe_spot_price_history").paginate(**request)
    return [one for page in pages for one in page["SpotPriceHistory"]]


def test_the_price_now_is_one_per_zone_and_below_on_demand(boto: Boto) -> None:
    ec2, now = boto("ec2"), datetime.now(UTC)
    request = {"InstanceTypes": ["g5.xlarge"], "StartTime": now, "ProductDescriptions": ["Linux/UNIX"]}
    found = prices(ec2, **request)
    by_zone = {one["AvailabilityZone"]: float(one["SpotPrice"]) for one in found}
    assert len(found) == len(by_zone) > 1
    assert all(0.2 * ON_DEMAND < price < 0.7 * ON_DEMAND for price in by_zone.values())
    assert len(set(by_zone.values())) == len(by_zone)
    assert all(now - timedelta(hours=6) <= one["Timestamp"] <= datetime.now(UTC) for one in found)
    assert prices(ec2, **request) == found  # whoever asks again is told the same
    ahead = request | {"StartTime": now + timedelta(hours=1)}
    assert prices(ec2, **ahead) == found


def test_a_history_has_what_was_in_force(boto: Boto) -> None:
    ec2, now = boto("ec2"), datetime.now(UTC)
    zone = {"InstanceTypes": ["g5.xlarge"], "AvailabilityZone": "us-east-1a"}
    found = prices(ec2, **zone, StartTime=now - timedelta(days=2), PaginationConfig={"PageSize": 3})
    times = [one["Timestamp"] for one in found]
    assert times == sorted(times, reverse=True)
    assert 8 <= len(times) <= 10
    assert times[-1] <= now - timedelta(days=2)  # the price that was in force then is older
    long_ago = prices(ec2, **zone, StartTime=now - timedelta(days=400))
    assert min(one["Timestamp"] for one in long_ago) > now - timedelta(days=91)
    assert prices(ec2, **zone, ProductDescriptions=["Windows"]) == []
    refused = ec2.describe_spot_price_history
    assert refusal(refused, InstanceTypes=["g99.banana"]) == "InvalidParameterValue"
    assert refusal(refused, AvailabilityZone="us-east-1z") == "InvalidParameterValue"
    assert refusal(refused, ProductDescriptions=["BeOS"]) == "InvalidParameterValue"


def test_the_market_keeps_to_the_price_of_the_request(account: Account) -> None:
    options = {"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.002"}}
    assert refusal(account.ec2.run_instances, **account.request(InstanceMarketOptions=options)) == "SpotMaxPriceTooLow"
    options = {"MarketType": "spot", "SpotOptions": {"MaxPrice": "cheap"}}
    assert (
        refusal(account.ec2.run_instances, **account.request(InstanceMarketOptions=options)) == "InvalidParameterValue"
    )


def test_scores_by_region_and_zone(boto: Boto, sandbox: Connection) -> None:
    ec2, types = boto("ec2"), ["g5.xlarge", "g6.xlarge", "g4dn.xlarge"]

    def scores(types: list[str], **request: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ec2.get_spot_placement_scores(InstanceTypes=types, TargetCapacity=1, **request)[
            "SpotPlacementScores"
        ]
        return found

    (region,) = scores(types)
    assert region["Region"] == "us-east-1"
    assert 1 <= region["Score"] <= 10
    zones = scores(types, SingleAvailabilityZone=True)
    assert max(one["Score"] for one in zones) == region["Score"]
    assert all(one["AvailabilityZoneId"].startswith("use1-az") for one in zones)
    assert scores(types[:1])[0]["Score"] <= 3  # fewer than three types
    faults_client.add(sandbox, "no-capacity", market="spot")
    assert scores(types)[0]["Score"] == 1
    refused = ec2.get_spot_placement_scores
    assert refusal(refused, InstanceTypes=["g99.banana"], TargetCapacity=1) == "InvalidParameterValue"


def test_the_first_spot_launch_needs_its_role(sandbox: Connection, account: Account) -> None:
    iam = acting(sandbox, faults_client.admin_env(sandbox), "iam")

    def roles() -> list[str]:
        return [one["RoleName"] for page in iam.get_paginator("list_roles").paginate() for one in page["Roles"]]

    if ROLE in roles():  # of a test before this one
        iam.delete_service_linked_role(RoleName=ROLE)
    policy = user_policy()
    policy["Statement"] = [
        one for one in policy["Statement"] if "iam:CreateServiceLinkedRole" not in one.get("Action", [])
    ]
    user = acting(sandbox, faults_client.plain_env(sandbox, policy), "ec2")
    assert refusal(user.run_instances, **account.request(**SPOT)) == "AuthFailure.ServiceLinkedRoleCreationNotPermitted"
    assert ROLE not in roles()
    account.launch(**SPOT)  # by somebody who may make it
    assert ROLE in roles()
    made = user.run_instances(**account.request(**SPOT))["Instances"][0]
    account.launched.append(made["InstanceId"])


def test_requests_that_are_not_there(sandbox: Connection) -> None:
    ec2 = client(sandbox, "ec2")
    unknown = {"SpotInstanceRequestIds": ["sir-0123abcd"]}
    assert refusal(ec2.describe_spot_instance_requests, **unknown) == "InvalidSpotInstanceRequestID.NotFound"
    assert refusal(ec2.describe_spot_instance_requests, SpotInstanceRequestIds=["banana"]).endswith("Malformed")
    assert refusal(ec2.describe_spot_instance_requests, MaxResults=3) == "InvalidParameterValue"
