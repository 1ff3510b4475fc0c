"""CreateFleet of type instant: HTTP 200 whatever happens, machines where there is room, errors pool by pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.control.conftest import Account
from tests.sandbox.control.test_launch_templates import TAGS, Templates, refusal, templates

__all__ = ["templates"]
KINDS = ("fleet", "instance", "volume")
A, B, C, D = "us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d"


@pytest.fixture(autouse=True)
def _no_faults_after(sandbox: Connection) -> Iterator[None]:
    yield
    faults_client.clear(sandbox)


class Fleets:
    """Makes fleets of a template of this account."""

    def __init__(self, account: Account, templates: Templates) -> None:
        self.account, self.ec2 = account, account.ec2
        data = account.request(InstanceType="m5.large")
        spot_tags = [{"ResourceType": kind, "Tags": TAGS} for kind in ("instance", "volume", "spot-instances-request")]
        names = ("ImageId", "InstanceType", "IamInstanceProfile", "TagSpecifications")
        self.templates = {
            "on-demand": templates.make({name: data[name] for name in names}),
            "spot": templates.make({**{name: data[name] for name in names}, "TagSpecifications": spot_tags}),
        }

    def request(self, market: str, overrides: list[dict[str, Any]], count: int = 1, **changes: Any) -> dict[str, Any]:
        named = {"LaunchTemplateId": self.templates[market], "Version": "$Latest"}
        return {
            "Type": "instant",
            "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": named, "Overrides": overrides}],
            "TargetCapacitySpecification": {"TotalTargetCapacity": count, "DefaultTargetCapacityType": market},
            "TagSpecifications": [{"ResourceType": kind, "Tags": TAGS} for kind in KINDS],
        } | changes

    def make(self, market: str, overrides: list[dict[str, Any]], count: int = 1, **changes: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.ec2.create_fleet(**self.request(market, overrides, count, **changes))
        assert made["ResponseMetadata"]["HTTPStatusCode"] == 200
        self.account.launched += [one for group in made["Instances"] for one in group["InstanceIds"]]
        return made


@pytest.fixture
def fleets(account: Account, templates: Templates) -> Fleets:
    return Fleets(account, templates)


def errors(made: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = []
    for one in made["Errors"]:
        overrides = one["LaunchTemplateAndOverrides"]["Overrides"]
        found.append((overrides["InstanceType"], overrides.get("AvailabilityZone", ""), one["ErrorCode"]))
    return found


def test_a_spot_machine_of_a_fleet(fleets: Fleets, account: Account) -> None:
    best = {"SpotOptions": {"AllocationStrategy": "price-capacity-optimized"}}
    pools = [{"InstanceType": kind, "AvailabilityZone": zone} for kind in ("m5.large", "m5.xlarge") for zone in (A, B)]
    request = fleets.request("spot", pools, ClientToken="one-fleet", **best)
    made = fleets.make("spot", pools, ClientToken="one-fleet", **best)
    (group,) = made["Instances"]
    (instance_id,) = group["InstanceIds"]
    assert (group["Lifecycle"], group["InstanceType"], made["Errors"]) == ("spot", "m5.large", [])
    assert account.ec2.create_fleet(**request)["Instances"][0]["InstanceIds"] == [instance_id]
    assert refusal(account.ec2.create_fleet, **request | {"SpotOptions": {}}) == "IdempotentParameterMismatch"
    seen = account.describe(instance_id)
    tags = {tag["Key"]: tag["Value"] for tag in seen["Tags"]}
    assert (tags["aws:ec2:fleet-id"], tags["runctl:managed"]) == (made["FleetId"], "true")
    assert seen["Placement"]["AvailabilityZone"] == group["AvailabilityZone"]
    asked = account.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[seen["SpotInstanceRequestId"]])
    (spot,) = asked["SpotInstanceRequests"]
    assert (spot["Type"], spot["State"], spot["InstanceId"], spot["Tags"]) == ("one-time", "active", instance_id, TAGS)
    account.until(lambda: account.online(instance_id))
    assert refusal(account.ec2.stop_instances, InstanceIds=[instance_id]) == "UnsupportedOperation"
    shown = account.ec2.describe_fleets(FleetIds=[made["FleetId"]])["Fleets"][0]
    assert (shown["Type"], shown["FulfilledCapacity"], shown["Tags"]) == ("instant", 1.0, TAGS)
    assert account.ec2.describe_fleets()["Fleets"] == []  # instant fleets appear only by id
    delete = account.ec2.delete_fleets
    kept = delete(FleetIds=[made["FleetId"]], TerminateInstances=False)
    assert kept["UnsuccessfulFleetDeletions"][0]["Error"]["Code"] == "NoTerminateInstancesNotSupported"
    assert account.state(instance_id) == "running"
    assert delete(FleetIds=[made["FleetId"]], TerminateInstances=True)["SuccessfulFleetDeletions"]
    account.await_state(instance_id, "terminated")


@pytest.mark.machineless
def test_a_fleet_that_finds_nothing_says_why_pool_by_pool(fleets: Fleets, sandbox: Connection) -> None:
    faults_client.add(sandbox, "no-capacity", instance_type="m5.*", zone=A)
    pools = [
        {"InstanceType": "m5.large", "AvailabilityZone": A, "Priority": 1.0},
        {"InstanceType": "g99.banana", "AvailabilityZone": B, "Priority": 2.0},
        {"InstanceType": "m5.xlarge", "AvailabilityZone": A, "Priority": 3.0},
        {"InstanceType": "m5.large", "AvailabilityZone": B, "Priority": 4.0},  # has room, but is not tried
    ]
    made = fleets.make("on-demand", pools, OnDemandOptions={"AllocationStrategy": "prioritized"})
    assert made["Instances"] == []
    assert errors(made) == [
        ("m5.large", A, "InsufficientInstanceCapacity"),
        ("g99.banana", B, "InvalidFleetConfiguration"),
        ("m5.xlarge", A, "InsufficientInstanceCapacity"),
        ("m5.large", B, "UnfulfillableCapacity"),
    ]
    assert A in made["Errors"][0]["ErrorMessage"]


def test_a_fleet_goes_on_to_the_next_pool(fleets: Fleets, sandbox: Connection, account: Account) -> None:
    faults_client.add(sandbox, "no-capacity", zone=A)
    pools = [{"InstanceType": "m5.large", "AvailabilityZone": zone, "Priority": n} for n, zone in enumerate((A, B))]
    made = fleets.make("on-demand", pools, OnDemandOptions={"AllocationStrategy": "prioritized"})
    assert [one["AvailabilityZone"] for one in made["Instances"]] == [B]
    assert errors(made) == [("m5.large", A, "InsufficientInstanceCapacity")]
    # A strategy that looks at capacity does not try the empty pool at all.
    best = {"SpotOptions": {"AllocationStrategy": "price-capacity-optimized"}}
    made = fleets.make("spot", pools, **best)
    assert ([one["AvailabilityZone"] for one in made["Instances"]], made["Errors"]) == ([B], [])


@pytest.mark.machineless
def test_prices_and_rights_are_errors_of_pools(fleets: Fleets, templates: Templates) -> None:
    (cheap,) = fleets.make("spot", [{"InstanceType": "m5.large", "MaxPrice": "0.001"}])["Errors"]
    assert cheap["ErrorCode"] == "SpotMaxPriceTooLow"
    assert "Your Spot request price of 0.001 is lower than the minimum" in cheap["ErrorMessage"]
    fleets.templates["on-demand"] = templates.make({"ImageId": fleets.account.image, "InstanceType": "m5.large"})
    untagged = [{"ResourceType": "fleet", "Tags": TAGS}]  # the fleet is ours, what it launches would not be
    (foreign,) = fleets.make("on-demand", [{}], TagSpecifications=untagged)["Errors"]
    assert foreign["ErrorCode"] == "UnauthorizedOperation"
    for wrong in ("spot-instances-request", "launch-template"):
        tags = [{"ResourceType": kind, "Tags": TAGS} for kind in ("fleet", wrong)]
        request = fleets.request("on-demand", [{}], TagSpecifications=tags)
        assert refusal(fleets.ec2.create_fleet, **request) == "InvalidParameterValue"


@pytest.mark.machineless
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Type": "maintain"}, "UnsupportedOperation"),
        ({"TagSpecifications": []}, "UnauthorizedOperation"),
        ({"SpotOptions": {"InstanceInterruptionBehavior": "stop"}}, "InvalidParameterValue"),
        ({"TargetCapacitySpecification": {"TotalTargetCapacity": 0}}, "InvalidParameterValue"),
        ({"LaunchTemplateConfigs": [{"Overrides": [{}]}]}, "MissingParameter"),
        (
            {
                "LaunchTemplateConfigs": [
                    {"LaunchTemplateSpecification": {"LaunchTemplateName": "nobody", "Version": "1"}}
                ]
            },
            "InvalidLaunchTemplateName.NotFoundException",
        ),
    ],
)
def test_what_a_fleet_may_not_ask(fleets: Fleets, changes: dict[str, Any], code: str) -> None:
    assert refusal(fleets.ec2.create_fleet, **fleets.request("on-demand", [{}], **changes)) == code
    assert refusal(fleets.ec2.describe_fleets, FleetIds=["banana"]) == "InvalidFleetId.Malformed"
