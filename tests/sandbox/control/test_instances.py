"""EC2 of the sandbox: states over time, and refusals in EC2's words."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.control.conftest import Account
from tests.sandbox.control.test_users import acting

SPOT = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}}


def refusal(call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**request)
    return str(error.value.response["Error"]["Code"])


def test_a_life_from_pending_to_terminated(account: Account) -> None:
    made = account.ec2.run_instances(**account.request())["Instances"][0]
    account.launched.append(made["InstanceId"])
    assert made["State"]["Name"] == "pending"
    account.until(lambda: account.online(made["InstanceId"]))
    assert account.state(made["InstanceId"]) == "running"
    account.run(made["InstanceId"], "echo kept > ${RUNCTL_ROOT:-/var/lib/runctl}/disk")
    stopping = account.ec2.stop_instances(InstanceIds=[made["InstanceId"]])["StoppingInstances"][0]
    assert stopping["CurrentState"]["Name"] == "stopping"
    account.await_state(made["InstanceId"], "stopped")
    assert account.describe(made["InstanceId"])["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    starting = account.ec2.start_instances(InstanceIds=[made["InstanceId"]])["StartingInstances"][0]
    assert starting["CurrentState"]["Name"] == "pending"
    account.until(lambda: account.online(made["InstanceId"]))
    seen = account.run(made["InstanceId"], "cat ${RUNCTL_ROOT:-/var/lib/runctl}/disk")
    assert seen["StandardOutputContent"] == "kept\n"
    ending = account.ec2.terminate_instances(InstanceIds=[made["InstanceId"]])["TerminatingInstances"][0]
    assert ending["CurrentState"]["Name"] == "shutting-down"
    account.await_state(made["InstanceId"], "terminated")
    assert refusal(account.ec2.start_instances, InstanceIds=[made["InstanceId"]]) == "IncorrectInstanceState"


@pytest.mark.parametrize(("behavior", "state"), [("stop", "stopped"), ("terminate", "terminated")])
def test_shutdown_inside_obeys_the_behavior(account: Account, behavior: str, state: str) -> None:
    instance_id = account.ready(InstanceInitiatedShutdownBehavior=behavior)
    account.send(instance_id, "shutdown -h now")
    account.await_state(instance_id, state)
    assert account.describe(instance_id)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


def test_the_same_token_is_the_same_machine(account: Account) -> None:
    first = account.launch(ClientToken="token-1")
    assert account.ec2.run_instances(**account.request(ClientToken="token-1"))["Instances"][0]["InstanceId"] == first
    other = account.request(ClientToken="token-1", InstanceType="m5.xlarge")
    assert refusal(account.ec2.run_instances, **other) == "IdempotentParameterMismatch"


def test_max_count_is_honoured(account: Account) -> None:
    assert len(account.launch_many(MaxCount=2)) == 2


ROOT = "/dev/sda1"
TOO_FAST = {"VolumeSize": 9, "VolumeType": "gp3", "Iops": 99_999}
TAG = {"Key": "runctl:managed", "Value": "true"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"InstanceType": "g99.banana"}, "InvalidParameterValue"),
        ({"ImageId": "ami-00000000000000000"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "banana"}, "InvalidAMIID.Malformed"),
        ({"InstanceType": "g5g.xlarge"}, "InvalidParameterValue"),
        ({"UserData": "#!/bin/sh\n" + "x" * 17_000}, "InvalidParameterValue"),
        ({"IamInstanceProfile": {"Name": "nobody"}}, "InvalidParameterValue"),
        ({"MetadataOptions": {"HttpPutResponseHopLimit": 99}}, "InvalidParameterValue"),
        ({"BlockDeviceMappings": [{"DeviceName": ROOT, "Ebs": {"VolumeSize": 2}}]}, "InvalidBlockDeviceMapping"),
        (
            {
                "BlockDeviceMappings": [
                    {"DeviceName": ROOT, "Ebs": {"VolumeSize": 9, "VolumeType": "gp3", "Iops": 99999}}
                ]
            },
            "InvalidParameterValue",
        ),
        (
            {
                "InstanceMarketOptions": {
                    "MarketType": "spot",
                    "SpotOptions": {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "terminate"},
                }
            },
            "InvalidParameterCombination",
        ),
    ],
)
def test_what_ec2_rejects_is_rejected(account: Account, changes: dict[str, Any], code: str) -> None:
    before = len(account.ec2.describe_instances()["Reservations"])
    assert refusal(account.ec2.run_instances, **account.request(**changes)) == code
    assert len(account.ec2.describe_instances()["Reservations"]) == before


@pytest.mark.parametrize(
    "tags", [[{"Key": "aws:foo", "Value": "1"}], [{"Key": "k", "Value": "v" * 257}], [{"Key": "k" * 129, "Value": "v"}]]
)
def test_bad_tags_are_rejected(account: Account, tags: list[dict[str, str]]) -> None:
    specs = [{"ResourceType": kind, "Tags": [TAG, *tags]} for kind in ("instance", "volume")]
    assert refusal(account.ec2.run_instances, **account.request(TagSpecifications=specs)) == "InvalidParameterValue"


@pytest.mark.machineless
def test_bad_tags_are_rejected_also_later(account: Account, sandbox: Connection) -> None:
    ec2 = acting(sandbox, faults_client.admin_env(sandbox), "ec2")
    (subnet, *_) = ec2.describe_subnets()["Subnets"]
    on = {"Resources": [subnet["SubnetId"]]}
    for bad in ({"Key": "aws:foo", "Value": "1"}, {"Key": "k", "Value": "v" * 257}):
        assert refusal(ec2.create_tags, **on, Tags=[bad]) == "InvalidParameterValue"
    assert refusal(ec2.create_tags, **on, Tags=[TAG, TAG]) == "InvalidParameterValue"
    assert refusal(ec2.delete_tags, **on, Tags=[{"Key": "aws:foo"}]) == "InvalidParameterValue"
    ec2.create_tags(**on, Tags=[TAG])
    ec2.delete_tags(**on, Tags=[{"Key": TAG["Key"]}])
    assert not ec2.describe_subnets(SubnetIds=on["Resources"])["Subnets"][0].get("Tags")


@pytest.mark.machineless
def test_spot_instances_have_no_termination_protection(account: Account) -> None:
    request = account.request(InstanceMarketOptions=SPOT, DisableApiTermination=True)
    assert refusal(account.ec2.run_instances, **request) == "UnsupportedOperation"


def test_a_launch_without_our_tag_is_not_allowed(account: Account) -> None:
    assert refusal(account.ec2.run_instances, **account.request(TagSpecifications=[])) == "UnauthorizedOperation"


def test_unknown_ids_and_types(account: Account) -> None:
    ec2 = account.ec2
    assert refusal(ec2.describe_instances, InstanceIds=["i-0123456789abcdef0"]) == "InvalidInstanceID.NotFound"
    assert refusal(ec2.describe_instances, InstanceIds=["banana"]) == "InvalidInstanceID.Malformed"
    assert refusal(ec2.describe_instance_types, InstanceTypes=["g99.banana"]) == "InvalidInstanceType"
    known = ec2.describe_instance_types(InstanceTypes=["g5.xlarge"])["InstanceTypes"][0]
    assert known["GpuInfo"]["Gpus"][0]["Count"] == 1


def test_one_time_spot_cannot_be_stopped(account: Account) -> None:
    instance_id = account.ready(InstanceMarketOptions=SPOT)
    assert account.describe(instance_id)["InstanceLifecycle"] == "spot"
    assert refusal(account.ec2.stop_instances, InstanceIds=[instance_id]) == "UnsupportedOperation"


def test_root_volume_ends_with_its_instance_and_carries_tags(account: Account) -> None:
    instance_id = account.ready()
    (mapping,) = account.describe(instance_id)["BlockDeviceMappings"]
    assert mapping["DeviceName"] == ROOT
    assert mapping["Ebs"]["DeleteOnTermination"] is True
    volumes = account.ec2.describe_volumes(VolumeIds=[mapping["Ebs"]["VolumeId"]])["Volumes"]
    assert TAG in volumes[0]["Tags"]


def test_user_data_runs_once(account: Account) -> None:
    script = "#!/bin/sh\necho x >> ${RUNCTL_ROOT:-/var/lib/runctl}/boots\n"
    instance_id = account.ready(UserData=script)
    count = "wc -l < ${RUNCTL_ROOT:-/var/lib/runctl}/boots"
    account.until(lambda: account.run(instance_id, count)["StandardOutputContent"].strip() == "1")
    account.ec2.stop_instances(InstanceIds=[instance_id])
    account.await_state(instance_id, "stopped")
    account.ec2.start_instances(InstanceIds=[instance_id])
    account.until(lambda: account.online(instance_id))
    assert account.run(instance_id, count)["StandardOutputContent"].strip() == "1"
