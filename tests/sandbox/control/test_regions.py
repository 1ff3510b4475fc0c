"""Regions besides that of the machines: which there are, what lies in them, and who may touch it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.conftest import client

pytestmark = pytest.mark.machineless

AWAY = "eu-west-1"
OURS = [{"ResourceType": "volume", "Tags": [{"Key": "runctl:managed", "Value": "true"}]}]
Clients = Callable[[str], Any]


@pytest.fixture
def admin(sandbox: Connection) -> Clients:
    env = faults_client.admin_env(sandbox)
    keys = {"aws_access_key_id": env["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"]}
    return lambda service: client(sandbox, service, region_name=AWAY, **keys)


@pytest.fixture
def user(sandbox: Connection) -> Clients:
    return lambda service: client(sandbox, service, region_name=AWAY)


def test_the_account_has_the_regions_that_every_account_has(user: Clients) -> None:
    names = {region["RegionName"] for region in user("ec2").describe_regions()["Regions"]}
    assert len(names) == 17
    assert {"us-east-1", AWAY} < names
    assert not {"ap-east-1", "us-gov-west-1", "cn-north-1"} & names


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("ec2", "describe_instances", "AuthFailure"),
        ("scheduler", "list_schedules", "UnrecognizedClientException"),
        ("ssm", "describe_instance_information", "UnrecognizedClientException"),
    ],
)
def test_one_that_is_not_enabled_knows_no_credentials(sandbox: Connection, service: str, call: str, code: str) -> None:
    elsewhere = client(sandbox, service, region_name="ap-east-1")
    with pytest.raises(ClientError) as refused:
        getattr(elsewhere, call)()
    assert refused.value.response["Error"]["Code"] == code


def test_machines_are_made_in_one_region_only(sandbox: Connection, admin: Clients, user: Clients) -> None:
    image = client(sandbox, "ec2").describe_images()["Images"][0]["ImageId"]
    with pytest.raises(ClientError, match="only in us-east-1"):
        admin("ec2").run_instances(ImageId=image, InstanceType="m5.large", MinCount=1, MaxCount=1)
    assert user("ec2").describe_instances()["Reservations"] == []


@pytest.fixture
def volumes(admin: Clients, user: Clients) -> Iterator[tuple[str, str]]:
    where = {"AvailabilityZone": f"{AWAY}a", "Size": 1, "VolumeType": "gp3"}
    mine = user("ec2").create_volume(**where, TagSpecifications=OURS)["VolumeId"]
    foreign = admin("ec2").create_volume(**where)["VolumeId"]
    yield mine, foreign
    left = {each["VolumeId"] for each in admin("ec2").describe_volumes()["Volumes"]}
    for each in {mine, foreign} & left:
        admin("ec2").delete_volume(VolumeId=each)


def test_permissions_hold_in_every_region(user: Clients, volumes: tuple[str, str]) -> None:
    mine, foreign = volumes
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        user("ec2").delete_volume(VolumeId=foreign)
    user("ec2").delete_volume(VolumeId=mine)
    assert foreign in {each["VolumeId"] for each in user("ec2").describe_volumes()["Volumes"]}


def test_images_come_in_pages(sandbox: Connection) -> None:
    ec2 = client(sandbox, "ec2")
    whole = [each["ImageId"] for each in ec2.describe_images()["Images"]]
    pages = list(ec2.get_paginator("describe_images").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["Images"]) for page in pages] == [5, len(whole) - 5]
    assert [each["ImageId"] for page in pages for each in page["Images"]] == whole
    with pytest.raises(ClientError, match="maxResults"):
        ec2.describe_images(MaxResults=4)


def test_schedules_are_for_everybody_to_see_and_ours_for_us_to_end(admin: Clients, user: Clients) -> None:
    ours, theirs = "runctl-of-me", "their-group"
    who = {"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [who]})
    role = admin("iam").create_role(RoleName="ends-in-regions", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    for group in (ours, theirs):
        admin("scheduler").create_schedule_group(Name=group)
        admin("scheduler").create_schedule(
            Name="one",
            GroupName=group,
            ScheduleExpression="at(2036-11-24T10:00:00)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances", "RoleArn": role},
        )
    assert {each["GroupName"] for each in user("scheduler").list_schedules()["Schedules"]} == {ours, theirs}
    with pytest.raises(ClientError, match="scheduler:DeleteSchedule"):
        user("scheduler").delete_schedule(GroupName=theirs, Name="one")
    with pytest.raises(ClientError, match="scheduler:CreateScheduleGroup"):
        user("scheduler").create_schedule_group(Name="runctl-more")
    user("scheduler").delete_schedule(GroupName=ours, Name="one")
    assert [each["GroupName"] for each in user("scheduler").list_schedules()["Schedules"]] == [theirs]
    for group in (ours, theirs):
        admin("scheduler").delete_schedule_group(Name=group)


def test_an_upload_in_parts_tells_when_it_was_begun(sandbox: Connection) -> None:
    s3 = client(sandbox, "s3")
    begun = s3.create_multipart_upload(Bucket=sandbox.bucket, Key="regions/parts")["UploadId"]
    (upload,) = s3.list_multipart_uploads(Bucket=sandbox.bucket, Prefix="regions/")["Uploads"]
    assert timedelta(0) <= datetime.now(UTC) - upload["Initiated"] < timedelta(minutes=5)
    s3.abort_multipart_upload(Bucket=sandbox.bucket, Key="regions/parts", UploadId=begun)
