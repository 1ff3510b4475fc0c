"""Lists of instances and types: pages, limits, and what one region knows of another."""

from __future__ import annotations

import pytest

from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.conftest import Boto, client
from tests.sandbox.control.conftest import Account
from tests.sandbox.control.test_launch_templates import refusal

UNKNOWN = "i-0123456789abcdef0"


@pytest.mark.machineless
def test_limits_of_lists(boto: Boto) -> None:
    ec2 = boto("ec2")
    for limit in (4, 1001):
        assert refusal(ec2.describe_instances, MaxResults=limit) == "InvalidParameterValue"
    assert refusal(ec2.describe_instances, NextToken="banana") == "InvalidNextToken"
    both = {"InstanceIds": [UNKNOWN], "MaxResults": 10}
    assert refusal(ec2.describe_instances, **both) == "InvalidParameterCombination"
    assert refusal(ec2.describe_instance_status, **both) == "InvalidParameterCombination"
    many = [f"i-{number:017x}" for number in range(1001)]
    assert refusal(ec2.describe_instance_status, InstanceIds=many[:101]) == "InvalidParameterValue"
    assert refusal(ec2.terminate_instances, InstanceIds=many) == "InvalidParameterValue"
    assert refusal(ec2.describe_instance_types, MaxResults=101) == "InvalidParameterValue"
    assert refusal(ec2.describe_instance_types, InstanceTypes=["m5.large"] * 101) == "InvalidParameterValue"
    assert refusal(ec2.describe_instance_status, InstanceIds=[UNKNOWN]) == "InvalidInstanceID.NotFound"


@pytest.mark.machineless
def test_types_and_offerings_come_in_pages(boto: Boto) -> None:
    ec2 = boto("ec2")
    family = [{"Name": "instance-type", "Values": ["g5.*"]}]
    pages = list(ec2.get_paginator("describe_instance_types").paginate(Filters=family, MaxResults=5))
    names = [one["InstanceType"] for page in pages for one in page["InstanceTypes"]]
    assert [len(page["InstanceTypes"]) for page in pages] == [5, 3]
    assert len(set(names)) == 8
    wanted = [{"Name": "instance-type", "Values": ["g5.xlarge"]}]
    offered = ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=wanted)
    zones = {one["Location"] for one in offered["InstanceTypeOfferings"]}
    assert zones
    assert "us-east-1e" not in zones  # where AWS has none


def test_instances_in_pages_and_their_status(account: Account) -> None:
    stopped, *running = account.launch_many(MaxCount=2) + account.launch_many(MaxCount=1)
    for one in (stopped, *running):
        account.await_state(one, "running")
    account.ec2.stop_instances(InstanceIds=[stopped])
    account.await_state(stopped, "stopped")
    pages = account.ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 5})
    found = [one["InstanceId"] for page in pages for group in page["Reservations"] for one in group["Instances"]]
    assert {stopped, *running} <= set(found)
    assert len(found) == len(set(found))
    ids = [stopped, *running]
    told = account.ec2.describe_instance_status(InstanceIds=ids)["InstanceStatuses"]
    assert {one["InstanceId"] for one in told} == set(running)
    told = account.ec2.describe_instance_status(InstanceIds=ids, IncludeAllInstances=True)["InstanceStatuses"]
    assert {one["InstanceId"]: one["InstanceState"]["Name"] for one in told}[stopped] == "stopped"
    # One id that is unknown refuses the batch.
    assert refusal(account.ec2.terminate_instances, InstanceIds=[stopped, UNKNOWN]) == "InvalidInstanceID.NotFound"
    assert account.state(stopped) == "stopped"


def test_machines_are_in_one_region_and_others_say_so(account: Account, sandbox: Connection) -> None:
    instance_id = account.launch()
    elsewhere = client(sandbox, "ec2", region_name="us-west-2")
    assert elsewhere.describe_instances()["Reservations"] == []
    assert refusal(elsewhere.describe_instances, InstanceIds=[instance_id]) == "InvalidInstanceID.NotFound"
    assert refusal(elsewhere.terminate_instances, InstanceIds=[instance_id]) in (
        "InvalidInstanceID.NotFound",
        "UnauthorizedOperation",
    )
    assert account.state(instance_id) in ("pending", "running")
    assert refusal(elsewhere.run_instances, **account.request()) == "UnsupportedOperation"
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "runctl:managed", "Value": "true"}]}]
    volume = elsewhere.create_volume(AvailabilityZone="us-west-2a", Size=1, TagSpecifications=tags)["VolumeId"]
    account.until(lambda: elsewhere.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available")
    assert refusal(account.ec2.describe_volumes, VolumeIds=[volume]) == "InvalidVolume.NotFound"
    elsewhere.delete_volume(VolumeId=volume)
