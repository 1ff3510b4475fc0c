"""What a client has to live with on AWS: ids that are not known yet, limits, and machines that are taken away."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from runctl_jupyter.sandbox import faults_client, service
from runctl_jupyter.sandbox.connection import Connection, call_control
from tests.sandbox.conftest import client, sandbox_mode
from tests.sandbox.control.conftest import Account
from tests.sandbox.control.test_users import acting

LIMIT = 2
SPOT = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}}
TAGS = [{"Key": "runctl:managed", "Value": "true"}]
SPOT_REQUEST = {
    "InstanceMarketOptions": SPOT,
    "TagSpecifications": [
        {"ResourceType": kind, "Tags": TAGS} for kind in ("instance", "volume", "spot-instances-request")
    ],
}


def code(call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**request)
    return str(error.value.response["Error"]["Code"])


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """A sandbox that takes its time, so that what is only briefly so can be seen, on a busy machine too."""
    home = tmp_path_factory.mktemp("slow")
    try:
        yield service.start(home, sandbox_mode(), service.StartOptions(pace=8.0, max_instances=LIMIT))
    finally:
        service.stop(home)


def test_fresh_ids_are_unknown_and_the_limit_holds(slow: Connection) -> None:
    account = Account(lambda name: client(slow, name))
    first, second = account.launch_many(MaxCount=LIMIT + 3)  # as many as there is room for
    assert code(account.ec2.describe_instances, InstanceIds=[first]) == "InvalidInstanceID.NotFound"
    listed = [one for found in account.ec2.describe_instances()["Reservations"] for one in found["Instances"]]
    assert {one["State"]["Name"] for one in listed if one["InstanceId"] in (first, second)} == {"pending"}
    ec2, tag = acting(slow, faults_client.admin_env(slow), "ec2"), [{"Key": "a", "Value": "b"}]
    for call in (ec2.describe_instances, ec2.terminate_instances, ec2.stop_instances, ec2.start_instances,
                 ec2.reboot_instances, ec2.describe_instance_status):  # fmt: skip
        assert code(call, InstanceIds=[first]) == "InvalidInstanceID.NotFound"
    for call in (ec2.create_tags, ec2.delete_tags):
        assert code(call, Resources=[first], Tags=tag) == "InvalidInstanceID.NotFound"
    shutdown = {"InstanceInitiatedShutdownBehavior": {"Value": "stop"}}
    assert code(ec2.modify_instance_attribute, InstanceId=first, **shutdown) == "InvalidInstanceID.NotFound"
    assert code(account.ec2.run_instances, **account.request()) == "InstanceLimitExceeded"
    assert code(account.ec2.run_instances, **account.request(**SPOT_REQUEST)) == "MaxSpotInstanceCountExceeded"

    def known() -> bool:
        try:
            return account.state(first) == "running"
        except account.ec2.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "InvalidInstanceID.NotFound":
                raise
            return False

    account.until(known)
    account.until(lambda: account.online(first) and account.online(second))
    command = account.send(first, "true")
    assert code(account.ssm.get_command_invocation, CommandId=command, InstanceId=first) == "InvocationDoesNotExist"
    assert account.ssm.list_command_invocations(CommandId=command)["CommandInvocations"] == []
    assert account.result(command, first)["Status"] == "Success"


@pytest.mark.machineless
def test_fresh_launch_templates_are_unknown(slow: Connection) -> None:
    account = Account(lambda name: client(slow, name))
    ec2 = acting(slow, faults_client.admin_env(slow), "ec2")
    data = {name: account.request()[name] for name in ("ImageId", "InstanceType", "TagSpecifications")}
    own = [{"ResourceType": "launch-template", "Tags": TAGS}]
    asked = {"LaunchTemplateName": "fresh", "LaunchTemplateData": data, "TagSpecifications": own, "ClientToken": "t"}
    made = ec2.create_launch_template(**asked)["LaunchTemplate"]["LaunchTemplateId"]

    def fleet(**named: str) -> str:
        return code(
            ec2.create_fleet,
            Type="instant",
            LaunchTemplateConfigs=[{"LaunchTemplateSpecification": {"Version": "$Latest", **named}}],
            TargetCapacitySpecification={"TotalTargetCapacity": 1},
        )

    assert fleet(LaunchTemplateId=made) == "InvalidLaunchTemplateId.NotFound"
    assert fleet(LaunchTemplateName="fresh") == "InvalidLaunchTemplateName.NotFoundException"
    assert code(ec2.delete_launch_template, LaunchTemplateId=made) == "InvalidLaunchTemplateId.NotFound"
    assert ec2.create_launch_template(**asked)["LaunchTemplate"]["LaunchTemplateId"] == made  # the same call once more
    names = {"LaunchTemplateNames": ["fresh"]}
    account.until(lambda: _found(lambda: ec2.describe_launch_templates(**names)))
    ec2.delete_launch_template(LaunchTemplateId=made)


def _found(look: Callable[[], Any]) -> bool:
    try:
        look()
    except ClientError as error:
        if "NotFound" not in error.response["Error"]["Code"]:
            raise
        return False
    return True


def test_a_fresh_instance_profile_is_unknown_to_ec2(slow: Connection) -> None:
    admin = faults_client.admin_env(slow)
    iam, ec2 = (acting(slow, admin, name) for name in ("iam", "ec2"))
    iam.create_instance_profile(InstanceProfileName="fresh")
    iam.add_role_to_instance_profile(InstanceProfileName="fresh", RoleName="runctl-instance")
    iam.get_waiter("instance_profile_exists").wait(InstanceProfileName="fresh")  # which proves nothing about EC2
    request = Account(lambda name: client(slow, name)).request(IamInstanceProfile={"Name": "fresh"})
    with pytest.raises(ClientError, match="Invalid IAM Instance Profile name") as error:
        ec2.run_instances(**request)
    assert error.value.response["Error"]["Code"] == "InvalidParameterValue"


def test_a_spot_machine_is_taken_away_with_notice(sandbox: Connection, account: Account) -> None:
    instance_id = account.ready(**SPOT_REQUEST)
    request_id = account.describe(instance_id)["SpotInstanceRequestId"]

    def request() -> dict[str, Any]:
        found = account.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[request_id])
        (spot,) = found["SpotInstanceRequests"]
        return {"instance": spot["InstanceId"], "state": spot["State"], "status": spot["Status"]["Code"]}

    assert request() == {"instance": instance_id, "state": "active", "status": "fulfilled"}
    status, said = call_control(sandbox, "POST", f"/_sandbox/interrupt/{instance_id}?notice=8")
    assert (status, said["action"]) == (200, "terminate")
    # The request says so at once; the machine runs on and can read it from its own metadata.
    assert (request()["status"], account.state(instance_id)) == ("instance-terminated-no-capacity", "running")
    script = """base=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254/}latest
token=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' ${base}/api/token)
curl -s -H "X-aws-ec2-metadata-token: $token" ${base}/meta-data/spot/instance-action"""
    assert said["time"] in account.run(instance_id, script)["StandardOutputContent"]
    account.await_state(instance_id, "terminated")
    assert account.describe(instance_id)["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    assert request() == {"instance": instance_id, "state": "closed", "status": "instance-terminated-no-capacity"}


def test_only_who_knows_the_token_may_interrupt(sandbox: Connection, account: Account) -> None:
    instance_id = account.ready()
    stranger = Connection.from_dict({**sandbox.to_dict(), "control_token": "guess"})
    assert call_control(stranger, "POST", f"/_sandbox/interrupt/{instance_id}")[0] == 403
    assert call_control(sandbox, "POST", f"/_sandbox/interrupt/{instance_id}")[0] == 409  # not a Spot Instance
    assert account.state(instance_id) == "running"


def test_a_killed_sandbox_forgets_no_launch_and_no_object(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("killed")
    options = service.StartOptions(pace=0.0)
    try:
        connection = service.start(home, sandbox_mode(), options)
        account = Account(lambda name: client(connection, name))
        spot = account.ready(**SPOT_REQUEST)
        stays = {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"}
        lasting = account.launch(
            **SPOT_REQUEST | {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": stays}}
        )
        account.await_state(lasting, "running")
        kept = account.ready(ClientToken="before")
        before = account.describe(kept)
        data = {name: account.request()[name] for name in ("ImageId", "InstanceType", "TagSpecifications")}
        own = [{"ResourceType": kind, "Tags": TAGS} for kind in ("launch-template", "fleet")]
        named = account.ec2.create_launch_template(
            LaunchTemplateName="kept", LaunchTemplateData=data, TagSpecifications=own[:1]
        )["LaunchTemplate"]
        fleet = {
            "Type": "instant",
            "ClientToken": "fleet-before",
            "TagSpecifications": own[1:],
            "LaunchTemplateConfigs": [
                {"LaunchTemplateSpecification": {"LaunchTemplateName": "kept", "Version": "$Latest"}}
            ],
            "TargetCapacitySpecification": {"TotalTargetCapacity": 1},
        }
        of_fleet = account.ec2.create_fleet(**fleet)["Instances"]
        bucket, s3 = connection.bucket, account.s3
        s3.put_object(Bucket=bucket, Key="o", Body=b"x", ContentType="text/csv", Tagging="a=b")
        upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
        part = s3.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=1, Body=b"y" * (5 << 20))
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        etag = s3.complete_multipart_upload(Bucket=bucket, Key="m", UploadId=upload, MultipartUpload=parts)["ETag"]
        lost = s3.create_multipart_upload(Bucket=bucket, Key="lost")["UploadId"]
        os.kill(connection.pid, signal.SIGKILL)
        account.until(lambda: not psutil.pid_exists(connection.pid))

        again = service.start(home, sandbox_mode(), options)
        back = Account(lambda name: client(again, name))
        assert back.s3.head_object(Bucket=bucket, Key="o")["ContentType"] == "text/csv"
        assert back.s3.get_object_tagging(Bucket=bucket, Key="o")["TagSet"] == [{"Key": "a", "Value": "b"}]
        assert back.s3.head_object(Bucket=bucket, Key="m")["ETag"] == etag
        assert (
            code(back.s3.upload_part, Bucket=bucket, Key="lost", UploadId=lost, PartNumber=1, Body=b"z")
            == "NoSuchUpload"
        )
        after = back.describe(kept)
        for name in ("ReservationId", "Tags", "LaunchTime", "IamInstanceProfile", "SubnetId", "InstanceType"):
            if name == "IamInstanceProfile":
                assert after[name]["Arn"] == before[name]["Arn"]
            else:
                assert after.get(name) == before.get(name)
        assert after["BlockDeviceMappings"][0]["Ebs"]["VolumeId"] == before["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
        same = back.ec2.run_instances(**back.request(ClientToken="before"))["Instances"]
        assert [one["InstanceId"] for one in same] == [kept]
        (template,) = back.ec2.describe_launch_templates(LaunchTemplateNames=["kept"])["LaunchTemplates"]
        assert template == named
        assert back.ec2.create_fleet(**fleet)["Instances"] == of_fleet
        back.await_state(spot, "terminated")
        back.await_state(lasting, "running")  # EC2 starts what it has stopped
        requests = back.ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
        assert {one["InstanceId"]: (one["Type"], one["State"]) for one in requests} == {
            spot: ("one-time", "closed"),
            lasting: ("persistent", "active"),
        }
    finally:
        service.stop(home)
