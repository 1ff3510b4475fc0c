"""Puts things into an account on paper: ours and others', in any region; and tells what is there."""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping
from typing import Any

from runctl_jupyter.sandbox import faults_client
from tests.sandbox.conftest import client
from tests.sandbox.paper import Paper

ME, HOME, AWAY = getpass.getuser(), "us-east-1", "eu-west-1"
BUCKET = "runctl-sandbox"
_UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"


def ours(owner: str = ME, **tags: str) -> dict[str, str]:
    """Tags of something of ours; underscores stand for the hyphens of keys."""
    return {
        "runctl:managed": "true",
        "runctl:owner": owner,
        **{f"runctl:{k.replace('_', '-')}": v for k, v in tags.items()},
    }


class Garden:
    """The account, tended by its administrator: what is planted is whoever's its tags say."""

    def __init__(self, paper: Paper) -> None:
        self._paper = paper
        env = faults_client.admin_env(paper.connection)
        self._keys = {
            "aws_access_key_id": env["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"],
        }
        self._clients: dict[tuple[str, str], Any] = {}
        self._image = self.client("ssm").get_parameter(Name=_UBUNTU)["Parameter"]["Value"]

    def client(self, service: str, region: str = HOME) -> Any:
        if (service, region) not in self._clients:
            made = client(self._paper.connection, service, region_name=region, **self._keys)
            self._clients[service, region] = made
        return self._clients[service, region]

    def machine(self, tags: Mapping[str, str], *tagged: str, **request: Any) -> str:
        launched = self.client("ec2").run_instances(
            ImageId=self._image,
            InstanceType="m5.large",
            MinCount=1,
            MaxCount=1,
            **_tagged(tags, "instance", "volume", *tagged),
            **request,
        )
        found: str = launched["Instances"][0]["InstanceId"]
        return found

    def disk_of(self, machine: str) -> str:
        filters = [{"Name": "attachment.instance-id", "Values": [machine]}]
        found: str = self.client("ec2").describe_volumes(Filters=filters)["Volumes"][0]["VolumeId"]
        return found

    def volume(self, tags: Mapping[str, str], region: str = HOME, gib: int = 10) -> str:
        made = self.client("ec2", region).create_volume(
            AvailabilityZone=f"{region}a", Size=gib, VolumeType="gp3", **_tagged(tags, "volume")
        )
        found: str = made["VolumeId"]
        return found

    def snapshot(self, tags: Mapping[str, str], volume: str, region: str = HOME) -> str:
        made = self.client("ec2", region).create_snapshot(VolumeId=volume, **_tagged(tags, "snapshot"))
        found: str = made["SnapshotId"]
        return found

    def template(self, tags: Mapping[str, str], name: str, region: str = HOME) -> str:
        made = self.client("ec2", region).create_launch_template(
            LaunchTemplateName=name, LaunchTemplateData={"InstanceType": "m5.large"}, **_tagged(tags, "launch-template")
        )
        found: str = made["LaunchTemplate"]["LaunchTemplateId"]
        return found

    def image(self, tags: Mapping[str, str], machine: str, name: str) -> str:
        made = self.client("ec2").create_image(InstanceId=machine, Name=name, **_tagged(tags, "image"))
        found: str = made["ImageId"]
        return found

    def schedule(self, tags: Mapping[str, str], group: str, name: str) -> str:
        scheduler = self.client("scheduler")
        if group not in [each["Name"] for each in scheduler.list_schedule_groups()["ScheduleGroups"]]:
            scheduler.create_schedule_group(Name=group, Tags=[{"Key": k, "Value": v} for k, v in tags.items()])
        scheduler.create_schedule(
            Name=name,
            GroupName=group,
            ScheduleExpression="at(2036-11-24T10:00:00)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={
                "Arn": "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances",
                "RoleArn": self._scheduler_role(),
                "Input": "{}",
            },
        )
        return f"{group}/{name}"

    def _scheduler_role(self) -> str:
        iam, name = self.client("iam"), "ends-machines"
        principal = {"Service": "scheduler.amazonaws.com"}
        trust = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]}  # fmt: skip
        try:
            return str(iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"])
        except iam.exceptions.EntityAlreadyExistsException:
            return str(iam.get_role(RoleName=name)["Role"]["Arn"])

    def upload(self, key: str, data: bytes = b"x" * 1000) -> str:
        """Begin an upload in parts and leave it."""
        s3 = self.client("s3")
        begun = s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
        s3.upload_part(Bucket=BUCKET, Key=key, UploadId=begun, PartNumber=1, Body=data)
        return f"s3://{BUCKET}/{key}?uploadId={begun}"

    def tag(self, resource_id: str, key: str, value: str | None, region: str = HOME) -> None:
        if value is None:
            self.client("ec2", region).delete_tags(Resources=[resource_id], Tags=[{"Key": key}])
        else:
            self.client("ec2", region).create_tags(Resources=[resource_id], Tags=[{"Key": key, "Value": value}])

    def there(self) -> set[str]:
        """Return the ids of all that is there, whoever's it is."""
        found: set[str] = set()
        for region in (HOME, AWAY):
            ec2 = self.client("ec2", region)
            machines = [each for one in ec2.describe_instances()["Reservations"] for each in one["Instances"]]
            found |= {each["InstanceId"] for each in machines if each["State"]["Name"] in ("pending", "running")}
            found |= {each["VolumeId"] for each in ec2.describe_volumes()["Volumes"]}
            found |= {each["SnapshotId"] for each in ec2.describe_snapshots()["Snapshots"]}
            found |= {each["LaunchTemplateId"] for each in ec2.describe_launch_templates()["LaunchTemplates"]}
            found |= {each["ImageId"] for each in ec2.describe_images()["Images"]}
        schedules = self.client("scheduler").list_schedules()["Schedules"]
        found |= {f"{each['GroupName']}/{each['Name']}" for each in schedules}
        uploads = self.client("s3").list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        found |= {f"s3://{BUCKET}/{each['Key']}?uploadId={each['UploadId']}" for each in uploads}
        objects = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return found | {each["Key"] for page in objects for each in page.get("Contents", [])}


def _tagged(tags: Mapping[str, str], *kinds: str) -> dict[str, Any]:
    if not tags:
        return {}
    said = [{"Key": key, "Value": value} for key, value in tags.items()]
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": said} for kind in kinds]}
