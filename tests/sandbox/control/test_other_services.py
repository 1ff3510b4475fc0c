"""Scheduler, Logs and ECR: what they refuse, and a schedule that does what it was made for."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.conftest import client

pytestmark = pytest.mark.machineless
Admin = Callable[[str], Any]


def code(call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**request)
    return str(error.value.response["Error"]["Code"])


@pytest.fixture(scope="module")
def admin(sandbox: Connection) -> Admin:
    env = faults_client.admin_env(sandbox)
    keys = {"aws_access_key_id": env["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"]}
    return lambda service: client(sandbox, service, **keys)


@pytest.fixture(scope="module")
def role(admin: Admin) -> str:
    """A role that the scheduler may take and that may delete volumes that are ours."""
    service = {"Service": "scheduler.amazonaws.com"}
    trust = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": service, "Action": "sts:AssumeRole"}]}  # fmt: skip
    rights = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "ec2:DeleteVolume", "Resource": "*",
        "Condition": {"StringEquals": {"aws:ResourceTag/runctl:managed": "true"}}}]}  # fmt: skip
    iam = admin("iam")
    made = iam.create_role(RoleName="for-schedules", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    iam.put_role_policy(RoleName="for-schedules", PolicyName="p", PolicyDocument=json.dumps(rights))
    return str(made["Arn"])


def at(seconds: float) -> str:
    return f"at({datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S})"


def schedules(scheduler: Any) -> set[tuple[str, str]]:
    """Return the group and name of each."""
    return {(one["GroupName"], one["Name"]) for one in scheduler.list_schedules()["Schedules"]}


def request(role: str, **changes: Any) -> dict[str, Any]:
    target = {"Arn": "arn:aws:scheduler:::aws-sdk:ec2:deleteVolume", "RoleArn": role, "Input": "{}"}
    return {
        "Name": "test", "ScheduleExpression": at(3600), "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": target | changes.pop("Target", {}),
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"ScheduleExpression": "at(2020-01-01T00:00:00)"},
        {"ScheduleExpression": "at(2027-01-01T00:00:00Z)"},
        {"ScheduleExpression": "tomorrow"},
        {"ScheduleExpressionTimezone": "Mars/Olympus"},
        {"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}},
        {"Target": {"Input": "no json"}},
        {"Target": {"RoleArn": "arn:aws:iam::123456789012:role/nobody"}},
        {"Target": {"RoleArn": "arn:aws:iam::123456789012:role/runctl-instance"}},  # trusts ec2
        {"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:ec2:flyInstances"}},
        {"Name": "n" * 65},
    ],
)
def test_schedules_that_are_refused(admin: Admin, role: str, changes: dict[str, Any]) -> None:
    scheduler = admin("scheduler")
    before = schedules(scheduler)
    assert code(scheduler.create_schedule, **request(role, **changes)) == "ValidationException"
    assert schedules(scheduler) == before


def test_a_schedule_fires_with_the_rights_of_its_role_and_is_gone(admin: Admin, role: str) -> None:
    ec2, scheduler = admin("ec2"), admin("scheduler")
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "runctl:managed", "Value": "true"}]}]
    ours = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1, TagSpecifications=tags)["VolumeId"]
    theirs = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    before = schedules(scheduler)
    for name, volume in (("theirs", theirs), ("ours", ours)):
        scheduler.create_schedule(**request(
            role, Name=name, ScheduleExpression=at(5), Target={"Input": json.dumps({"VolumeId": volume})},
            ActionAfterCompletion="DELETE",
        ))  # fmt: skip
    assert schedules(scheduler) - before <= {("default", "ours"), ("default", "theirs")}
    end = time.monotonic() + 30
    while schedules(scheduler) - before:
        assert time.monotonic() < end, "the schedules did not end"
        time.sleep(0.05)
    assert [one["VolumeId"] for one in ec2.describe_volumes()["Volumes"] if one["VolumeId"] in (ours, theirs)] == [
        theirs
    ]
    ec2.delete_volume(VolumeId=theirs)


def test_a_schedule_is_made_once_and_can_be_taken_back(admin: Admin, role: str) -> None:
    scheduler = admin("scheduler")
    asked = request(role, ClientToken="one")
    arn = scheduler.create_schedule(**asked)["ScheduleArn"]
    assert scheduler.create_schedule(**asked)["ScheduleArn"] == arn
    assert code(scheduler.create_schedule, **(asked | {"ClientToken": "two"})) == "ConflictException"
    assert scheduler.get_schedule(Name="test")["Target"]["RoleArn"] == role
    scheduler.delete_schedule(Name="test")
    assert code(scheduler.get_schedule, Name="test") == "ResourceNotFoundException"


def test_groups_have_tags_and_take_their_schedules_with_them(admin: Admin, role: str) -> None:
    scheduler, tags = admin("scheduler"), [{"Key": "runctl:managed", "Value": "true"}]
    missing = request(role, GroupName="ours")
    before, groups = schedules(scheduler), {one["Name"] for one in scheduler.list_schedule_groups()["ScheduleGroups"]}
    assert "default" in groups
    assert code(scheduler.create_schedule, **missing) == "ResourceNotFoundException"
    group = scheduler.create_schedule_group(Name="ours", Tags=tags)["ScheduleGroupArn"]
    assert code(scheduler.create_schedule_group, Name="ours") == "ConflictException"
    assert {one["Name"] for one in scheduler.list_schedule_groups()["ScheduleGroups"]} == {*groups, "ours"}
    assert scheduler.list_tags_for_resource(ResourceArn=group)["Tags"] == tags
    scheduler.create_schedule(**missing)
    assert [one["GroupName"] for one in scheduler.list_schedules(GroupName="ours")["Schedules"]] == ["ours"]
    assert "test" not in {one["Name"] for one in scheduler.list_schedules(GroupName="default")["Schedules"]}
    scheduler.delete_schedule_group(Name="ours")
    assert schedules(scheduler) == before


def test_who_makes_a_schedule_must_be_allowed_to_pass_its_role(sandbox: Connection, role: str) -> None:
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "scheduler:CreateSchedule", "Resource": "*"}]}  # fmt: skip
    env = faults_client.plain_env(sandbox, policy)
    keys = {"aws_access_key_id": env["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"]}
    with pytest.raises(ClientError, match="iam:PassRole"):
        client(sandbox, "scheduler", **keys).create_schedule(**request(role))


def test_log_events_have_a_size_and_a_span(admin: Admin) -> None:
    logs = admin("logs")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    now = int(time.time() * 1000)

    def put(*events: tuple[int, str]) -> dict[str, Any]:
        rows = [{"timestamp": when, "message": text} for when, text in events]
        return {"logGroupName": "g", "logStreamName": "s", "logEvents": rows}

    large, early = "x" * 2_000_000, now - 25 * 3600 * 1000
    for refused in (put((now, large)), put(*[(now, large[:400_000])] * 3), put((early, "a"), (now, "b"))):
        assert code(logs.put_log_events, **refused) == "InvalidParameterException"
    logs.put_log_events(**put((now, "kept")))
    (event,) = logs.get_log_events(logGroupName="g", logStreamName="s")["events"]
    assert event["message"] == "kept"
    logs.delete_log_group(logGroupName="g")


def test_the_password_of_the_registry_is_good_for_twelve_hours(admin: Admin) -> None:
    (data,) = admin("ecr").get_authorization_token()["authorizationData"]
    user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    assert (user, len(password) > 100) == ("AWS", True)
    left = data["expiresAt"] - datetime.now(UTC)
    assert timedelta(hours=11, minutes=59) < left <= timedelta(hours=12)
