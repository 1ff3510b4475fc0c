"""What is asked of EC2: as its service model has it, with tags, tokens and limits of ours."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import botocore.session
import pytest
from botocore.validate import validate_parameters

from runctl_jupyter.orchestration.errors import InvalidRequest, LaunchRefused
from runctl_jupyter.orchestration.instances.wish import Wish, machine_asked
from runctl_jupyter.run_record import MachineAsked
from tests.unit.orchestration.machines import blueprint, pool

EC2 = botocore.session.get_session().get_service_model("ec2")
POOLS = [pool(kind, zone) for kind in ("g5.xlarge", "g6.xlarge") for zone in ("us-east-1a", "us-east-1b")]
SPOT = [pool(kind, zone, spot=True) for kind in ("g5.xlarge", "g6.xlarge") for zone in ("us-east-1a", "us-east-1b")]


def kinds(request: dict[str, Any]) -> list[str]:
    """Return what is tagged; each as ours."""
    for each in request["TagSpecifications"]:
        tags = {tag["Key"]: tag["Value"] for tag in each["Tags"]}
        assert (tags["runctl:managed"], tags["runctl:job"]) == ("true", "261130-120000-abcd")
        assert tags["runctl:launch"] == "261130-120000-abcd-1"
    return sorted(each["ResourceType"] for each in request["TagSpecifications"])


def check(operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """Check a request against the service model, and that a machine can be relied on to end."""
    validate_parameters(request, EC2.operation_model(operation).input_shape)
    return request


@pytest.mark.parametrize("spot", [False, True])
def test_a_fleet_of_one(spot: bool) -> None:
    made = blueprint("#!/bin/sh\necho hi\n")
    data = made.template_data(spot=spot)
    check("CreateLaunchTemplate", {"LaunchTemplateName": "n", "LaunchTemplateData": data})
    assert base64.b64decode(data["UserData"]) == b"#!/bin/sh\necho hi\n"
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert (data["MetadataOptions"]["HttpTokens"], data["MetadataOptions"]["HttpPutResponseHopLimit"]) == (
        "required",
        2,
    )
    (disk,) = data["BlockDeviceMappings"]
    assert disk == {
        "DeviceName": "/dev/sda1",
        "Ebs": {"VolumeSize": 30, "VolumeType": "gp3", "DeleteOnTermination": True},
    }
    request = check("CreateFleet", made.fleet("lt-1", SPOT if spot else POOLS, 1))
    assert (request["Type"], request["TargetCapacitySpecification"]["TotalTargetCapacity"]) == ("instant", 1)
    assert ("SpotOptions" in request, "OnDemandOptions" in request) == (spot, not spot)
    assert sorted(kinds(data) + kinds(request)) == sorted(
        ["fleet", "instance", "network-interface", "volume", *(["spot-instances-request"] if spot else [])]
    )
    overrides = request["LaunchTemplateConfigs"][0]["Overrides"]
    assert [(each["InstanceType"], each["SubnetId"]) for each in overrides] == [
        (each.instance_type, each.subnet_id) for each in POOLS
    ]


def test_types_that_a_person_has_put_in_order_keep_it() -> None:
    named = blueprint().fleet("lt-1", POOLS, 1)
    assert named["OnDemandOptions"]["AllocationStrategy"] == "prioritized"
    priorities = [each["Priority"] for each in named["LaunchTemplateConfigs"][0]["Overrides"]]
    assert priorities == [0.0, 0.0, 1.0, 1.0]
    by_gpu = blueprint(keep_order=False).fleet("lt-1", POOLS, 1)
    assert by_gpu["OnDemandOptions"]["AllocationStrategy"] == "lowest-price"
    assert all("Priority" not in each for each in by_gpu["LaunchTemplateConfigs"][0]["Overrides"])


@pytest.mark.parametrize("spot", [False, True])
def test_a_launch_of_its_own(spot: bool) -> None:
    request = check("RunInstances", blueprint().single((SPOT if spot else POOLS)[0], 1))
    assert (request["MinCount"], request["MaxCount"], request["SubnetId"]) == (1, 1, "subnet-a")
    assert ("spot-instances-request" in kinds(request), "InstanceMarketOptions" in request) == (spot, spot)
    if spot:
        assert request["InstanceMarketOptions"]["SpotOptions"]["SpotInstanceType"] == "one-time"


def test_a_launch_that_asks_for_a_public_address() -> None:
    request = check("RunInstances", blueprint().single(replace(POOLS[0], needs_address=True), 1))
    assert "SubnetId" not in request  # EC2 refuses both
    assert request["NetworkInterfaces"] == [
        {"DeviceIndex": 0, "SubnetId": "subnet-a", "AssociatePublicIpAddress": True, "DeleteOnTermination": True}
    ]
    assert "network-interface" in kinds(request)


def test_tokens_are_the_same_for_the_same_and_others_for_others() -> None:
    wish = Wish(MachineAsked(), "n", 1.0, job_id="261130-120000-abcd", attempt=2)
    again = Wish(MachineAsked(), "other", 2.0, job_id="261130-120000-abcd", attempt=2)
    assert wish.token("fleet", 1) == again.token("fleet", 1)
    tokens = [wish.token("fleet", 1), wish.token("fleet", 2), wish.token("g5.xlarge", "subnet-a", True, 1)]
    tokens += [wish.token("g5.xlarge", "subnet-b", True, 1), wish.token("g5.xlarge", "subnet-a", False, 1)]
    tokens += [Wish(MachineAsked(), "n", 1.0, job_id="261130-120000-abcd", attempt=3).token("fleet", 1)]
    tokens += [Wish(MachineAsked(), "n", 1.0).token("fleet", 1), Wish(MachineAsked(), "n", 1.0).token("fleet", 1)]
    assert len(set(tokens)) == len(tokens)
    assert all(len(token) <= 64 and token.isascii() for token in tokens)


def test_user_data_that_ec2_would_refuse_is_refused_before_anything_is_made() -> None:
    assert blueprint("x" * 16384)
    with pytest.raises(LaunchRefused, match="16,385 bytes"):
        blueprint("x" * 16385)


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ({}, MachineAsked()),
        ({"instance_type": "m5.large"}, MachineAsked(["m5.large"])),
        (
            {"instance_type": " g5.xlarge , g6.xlarge,g5.xlarge", "spot": True},
            MachineAsked(["g5.xlarge", "g6.xlarge"], None, True),
        ),
        ({"gpu": "L4:4"}, MachineAsked([], "L4:4")),
        ({"spot": True, "fallback": "on-demand"}, MachineAsked([], None, True, "on-demand")),
        ({"fallback": "never"}, MachineAsked()),
    ],
)
def test_what_words_ask_for(words: dict[str, Any], asked: MachineAsked) -> None:
    assert machine_asked(**words) == asked
    assert asked.says_nothing is (asked == MachineAsked())


@pytest.mark.parametrize(
    "words",
    [
        {"instance_type": ","},
        {"instance_type": "m5.large", "gpu": "L4"},
        {"fallback": "on-demand"},
        {"spot": True, "fallback": "always"},
    ],
)
def test_words_that_contradict_each_other(words: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as raised:
        machine_asked(**words)
    assert len(str(raised.value).splitlines()) == 2
