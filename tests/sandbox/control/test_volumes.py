"""Volumes and snapshots: what EC2 refuses and what takes time. Nothing here boots a machine but `test_attach`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runctl_jupyter.sandbox import faults_client, service
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.conftest import client
from tests.sandbox.control.conftest import Account

ZONE = "us-east-1a"
TAG = {"Key": "runctl:managed", "Value": "true"}


def admin(sandbox: Connection, name: str = "ec2", **changes: Any) -> Any:
    env = faults_client.admin_env(sandbox)
    keys = {"aws_access_key_id": env["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"]}
    return client(sandbox, name, **keys, **changes)


@pytest.fixture(scope="module")
def ec2(sandbox: Connection) -> Any:
    return admin(sandbox)


def code(call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**request)
    return str(error.value.response["Error"]["Code"])


@pytest.mark.machineless
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"AvailabilityZone": "us-east-1z"}, "InvalidZone.NotFound"),
        ({"Size": None}, "MissingParameter"),
        ({"VolumeType": "gp9"}, "InvalidParameterValue"),
        ({"Size": 70_000}, "InvalidParameterValue"),
        ({"Iops": 999_999}, "InvalidParameterValue"),
        ({"Iops": 80_000}, "InvalidParameterValue"),  # more than 500 per GiB
        ({"Throughput": 9_999}, "InvalidParameterValue"),
        ({"Throughput": 2_000}, "InvalidParameterValue"),  # needs 8,000 IOPS
        ({"VolumeType": "gp2", "Iops": 3_000}, "InvalidParameterCombination"),
        ({"VolumeType": "io2"}, "MissingParameter"),
        ({"SnapshotId": "snap-00000000"}, "InvalidSnapshot.NotFound"),
        ({"VolumeInitializationRate": 200}, "InvalidParameterCombination"),
        ({"MultiAttachEnabled": True}, "InvalidParameterCombination"),
        ({"TagSpecifications": [{"ResourceType": "instance", "Tags": [TAG]}]}, "InvalidParameterValue"),
        ({"TagSpecifications": [{"ResourceType": "volume", "Tags": [{"Key": "aws:x", "Value": "y"}]}]},
         "InvalidParameterValue"),
    ],
)  # fmt: skip
def test_create_volume_refuses(ec2: Any, changes: dict[str, Any], expected: str) -> None:
    request = {"AvailabilityZone": ZONE, "Size": 10, "VolumeType": "gp3"} | changes
    before = len(ec2.describe_volumes()["Volumes"])
    assert code(ec2.create_volume, **{k: v for k, v in request.items() if v is not None}) == expected
    assert len(ec2.describe_volumes()["Volumes"]) == before


@pytest.mark.machineless
def test_a_volume_is_gp2_by_default_and_made_once_per_token(ec2: Any) -> None:
    request = {"AvailabilityZone": ZONE, "Size": 3, "ClientToken": "volume-token",
               "TagSpecifications": [{"ResourceType": "volume", "Tags": [TAG]}]}  # fmt: skip
    made = ec2.create_volume(**request)
    assert (made["VolumeType"], made["State"]) == ("gp2", "creating")
    assert ec2.create_volume(**request)["VolumeId"] == made["VolumeId"]
    assert code(ec2.create_volume, **(request | {"Size": 4})) == "IdempotentParameterMismatch"
    (seen,) = ec2.describe_volumes(Filters=[{"Name": "volume-id", "Values": [made["VolumeId"]]}])["Volumes"]
    assert (seen["State"], seen["Tags"]) == ("available", [TAG])
    ec2.modify_volume(VolumeId=made["VolumeId"], Size=5)
    assert code(ec2.modify_volume, VolumeId=made["VolumeId"], Size=6) == "VolumeModificationRateExceeded"
    assert code(ec2.modify_volume, VolumeId=made["VolumeId"], Size=4) == "InvalidParameterValue"
    ec2.delete_volume(VolumeId=made["VolumeId"])
    assert code(ec2.delete_volume, VolumeId=made["VolumeId"]) == "InvalidVolume.NotFound"
    assert code(ec2.describe_volumes, VolumeIds=["banana"]) == "InvalidParameterValue"
    assert code(ec2.describe_volumes, MaxResults=2) == "InvalidParameterValue"
    assert code(ec2.describe_volumes, Filters=[{"Name": "banana", "Values": ["x"]}]) == "InvalidParameterValue"


@pytest.mark.machineless
def test_snapshots_of_our_own_and_volumes_of_another_region(sandbox: Connection, ec2: Any) -> None:
    before = {one["SnapshotId"] for one in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}
    volume = ec2.create_volume(AvailabilityZone=ZONE, Size=7, VolumeType="gp3")["VolumeId"]
    snapshot = ec2.create_snapshot(VolumeId=volume, Description="d")["SnapshotId"]
    mine = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    own = [one for one in mine if one["SnapshotId"] not in before]
    assert [(one["SnapshotId"], one["State"], one["VolumeSize"]) for one in own] == [(snapshot, "completed", 7)]
    assert len(ec2.describe_snapshots()["Snapshots"]) > len(mine)  # those of public images
    assert code(ec2.create_volume, AvailabilityZone=ZONE, SnapshotId=snapshot, Size=6) == "InvalidParameterValue"
    restored = ec2.create_volume(AvailabilityZone=ZONE, SnapshotId=snapshot, VolumeInitializationRate=200)
    assert (restored["Size"], restored["VolumeInitializationRate"]) == (7, 200)
    ec2.delete_snapshot(SnapshotId=snapshot)
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    assert code(ec2.delete_snapshot, SnapshotId=image) == "InvalidSnapshot.InUse"
    for one in (volume, restored["VolumeId"]):
        ec2.delete_volume(VolumeId=one)
    ireland = admin(sandbox, region_name="eu-west-1")
    there = {one["VolumeId"] for one in ireland.describe_volumes()["Volumes"]}
    abroad = ireland.create_volume(AvailabilityZone="eu-west-1a", Size=1, VolumeType="gp3")["VolumeId"]
    assert code(ec2.describe_volumes, VolumeIds=[abroad]) == "InvalidVolume.NotFound"
    assert {one["VolumeId"] for one in ireland.describe_volumes()["Volumes"]} == {*there, abroad}
    ireland.delete_volume(VolumeId=abroad)


def until(look: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not look():
        assert time.monotonic() < end, "the awaited state did not come"
        time.sleep(0.05)


@pytest.fixture
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    home = tmp_path_factory.mktemp("slow-volumes")
    try:
        yield service.start(home, "plain", service.StartOptions(pace=8.0))
    finally:
        service.stop(home)


@pytest.mark.machineless
def test_what_takes_time_is_pending_meanwhile(slow: Connection) -> None:
    ec2 = admin(slow)
    image = ec2.describe_images()["Images"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    volume = ec2.create_volume(AvailabilityZone=ZONE, SnapshotId=image, VolumeType="gp3")["VolumeId"]
    assert code(ec2.describe_volumes, VolumeIds=[volume]) == "InvalidVolume.NotFound"
    (seen,) = [one for one in ec2.describe_volumes()["Volumes"] if one["VolumeId"] == volume]
    assert seen["State"] == "creating"

    def available() -> bool:
        found = [one for one in ec2.describe_volumes()["Volumes"] if one["VolumeId"] == volume]
        try:
            return bool(found[0]["State"] == "available" and ec2.describe_volumes(VolumeIds=[volume]))
        except ec2.exceptions.ClientError:
            return False

    until(available)
    taken = [ec2.create_snapshot(VolumeId=volume)["SnapshotId"] for _ in range(5)]
    assert code(ec2.create_snapshot, VolumeId=volume) == "ConcurrentSnapshotLimitExceeded"
    first = ec2.describe_snapshots(SnapshotIds=taken[:1])["Snapshots"][0]
    assert (first["State"], int(first["Progress"].rstrip("%")) < 100) == ("pending", True)
    assert code(ec2.create_volume, AvailabilityZone=ZONE, SnapshotId=taken[0]) == "IncorrectState"
    began = ec2.modify_volume(VolumeId=volume, Size=100)["VolumeModification"]
    assert began["ModificationState"] == "modifying"


def end_by_schedule(sandbox: Connection, machine: str) -> None:
    """Let a schedule terminate a machine, as the belt of a launch does when nobody else is left."""
    service_of = {"Service": "scheduler.amazonaws.com"}
    trust = {"Statement": [{"Effect": "Allow", "Principal": service_of, "Action": "sts:AssumeRole"}]}
    rights = {"Statement": [{"Effect": "Allow", "Action": "ec2:TerminateInstances", "Resource": "*"}]}
    iam, version = admin(sandbox, "iam"), {"Version": "2012-10-17"}
    role = iam.create_role(RoleName="belt", AssumeRolePolicyDocument=json.dumps(version | trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName="belt", PolicyName="p", PolicyDocument=json.dumps(version | rights))
    target = {"Arn": "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances", "RoleArn": role,
              "Input": json.dumps({"InstanceIds": [machine]})}  # fmt: skip
    at = datetime.now(UTC) + timedelta(seconds=5)
    admin(sandbox, "scheduler").create_schedule(
        Name="belt", ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})", FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE", Target=target,
    )  # fmt: skip


def test_attach(sandbox: Connection, account: Account, ec2: Any) -> None:
    machine = account.launch()
    account.await_state(machine, "running")
    there = account.describe(machine)["Placement"]["AvailabilityZone"]
    elsewhere = next(one for one in ("us-east-1a", "us-east-1b") if one != there)
    far = ec2.create_volume(AvailabilityZone=elsewhere, Size=1)["VolumeId"]
    near, second = (ec2.create_volume(AvailabilityZone=there, Size=1)["VolumeId"] for _ in range(2))
    attach = ec2.attach_volume
    assert code(attach, VolumeId=far, InstanceId=machine, Device="/dev/sdf") == "InvalidVolume.ZoneMismatch"
    assert code(attach, VolumeId=near, InstanceId=machine, Device="banana") == "InvalidParameterValue"
    assert attach(VolumeId=near, InstanceId=machine, Device="/dev/sdf")["State"] == "attaching"
    (seen,) = ec2.describe_volumes(VolumeIds=[near])["Volumes"]
    assert (seen["State"], seen["Attachments"][0]["State"]) == ("in-use", "attached")
    assert seen["Attachments"][0]["DeleteOnTermination"] is False
    assert code(attach, VolumeId=near, InstanceId=machine, Device="/dev/sdg") == "VolumeInUse"
    assert code(attach, VolumeId=second, InstanceId=machine, Device="/dev/sdf") == "InvalidParameterValue"
    assert code(ec2.delete_volume, VolumeId=near) == "VolumeInUse"
    root = account.describe(machine)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    assert code(ec2.detach_volume, VolumeId=root) == "OperationNotPermitted"
    ec2.detach_volume(VolumeId=near)
    assert ec2.describe_volumes(VolumeIds=[near])["Volumes"][0]["State"] == "available"
    assert code(ec2.detach_volume, VolumeId=near) == "IncorrectState"
    attach(VolumeId=second, InstanceId=machine, Device="/dev/sdf")
    end_by_schedule(sandbox, machine)
    account.await_state(machine, "terminated")
    (kept,) = ec2.describe_volumes(VolumeIds=[second])["Volumes"]
    assert kept["State"] == "available"  # it survives and bills
    for one in (far, near, second):
        ec2.delete_volume(VolumeId=one)
