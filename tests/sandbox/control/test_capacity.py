"""No capacity, quotas and slow boots, as faults script them: the errors that AWS sends, and nothing launched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from runctl_jupyter.cli import main
from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from runctl_jupyter.sandbox.faults_client import FaultRefusedError
from tests.sandbox.conftest import Boto, client
from tests.sandbox.control.conftest import Account
from tests.sandbox.control.test_launch_templates import refusal

SPOT = {"InstanceMarketOptions": {"MarketType": "spot"}}
GPU_ON_DEMAND, GPU_SPOT, STANDARD = "L-DB2E81BA", "L-3819A6DF", "L-1216C47A"
ZONE = "us-east-1b"


@pytest.fixture(autouse=True)
def no_fault_stays(sandbox: Connection) -> Iterator[None]:
    yield
    faults_client.clear(sandbox)


@pytest.fixture
def once(sandbox: Connection) -> Any:
    """EC2 without botocore's retries."""
    return client(sandbox, "ec2", config=Config(retries={"total_max_attempts": 1}))


def error_of(call: Any, **request: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as error:
        call(**request)
    found = error.value.response
    return {**found["Error"], "status": found["ResponseMetadata"]["HTTPStatusCode"]}


@pytest.mark.machineless
def test_no_capacity_is_a_server_error_that_botocore_repeats(sandbox: Connection, account: Account, once: Any) -> None:
    faults_client.add(sandbox, "no-capacity", instance_type="m5.*")
    in_zone = account.request(Placement={"AvailabilityZone": ZONE})
    error = error_of(once.run_instances, **in_zone)
    assert (error["Code"], error["status"]) == ("InsufficientInstanceCapacity", 500)
    assert error["Message"].startswith(
        f"We currently do not have sufficient m5.large capacity in the Availability Zone you requested ({ZONE}). "
    )
    assert error_of(once.run_instances, **account.request())["Message"] == "Insufficient capacity."
    spot = error_of(once.run_instances, **account.request(**SPOT))
    assert spot["Message"] == "There is no Spot capacity available that matches your request."
    before = faults_client.list(sandbox)[0].hits
    assert refusal(account.ec2.run_instances, **in_zone) == "InsufficientInstanceCapacity"
    assert faults_client.list(sandbox)[0].hits - before > 1  # the default retry mode hides it twice
    assert not once.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["pending"]}])["Reservations"]


def test_capacity_is_one_of_type_zone_and_market(sandbox: Connection, account: Account, once: Any) -> None:
    faults_client.add(sandbox, "no-capacity", instance_type="m5.large", zone="us-east-1a", market="on-demand")
    elsewhere = account.launch()  # EC2 chooses a zone that has some
    assert account.describe(elsewhere)["Placement"]["AvailabilityZone"] != "us-east-1a"
    here = {"Placement": {"AvailabilityZone": "us-east-1a"}}
    assert error_of(once.run_instances, **account.request(**here))["Code"] == "InsufficientInstanceCapacity"
    account.launch(**here, **SPOT)


def test_a_fault_of_one_launch_is_over_after_it(sandbox: Connection, account: Account, once: Any) -> None:
    faults_client.add(sandbox, "no-capacity", count=1)
    assert error_of(once.run_instances, **account.request())["Code"] == "InsufficientInstanceCapacity"
    account.launch()


def test_a_stopped_machine_may_find_no_capacity(sandbox: Connection, account: Account, once: Any) -> None:
    instance_id = account.launch()
    account.await_state(instance_id, "running")
    account.ec2.stop_instances(InstanceIds=[instance_id])
    account.await_state(instance_id, "stopped")
    faults_client.add(sandbox, "no-capacity")
    error = error_of(once.start_instances, InstanceIds=[instance_id])
    assert (error["Code"], error["status"]) == ("InsufficientInstanceCapacity", 500)
    faults_client.clear(sandbox)
    faults_client.set_quota(sandbox, STANDARD, 0)
    assert error_of(once.start_instances, InstanceIds=[instance_id])["Code"] == "VcpuLimitExceeded"
    assert account.state(instance_id) == "stopped"


def test_capacity_that_is_missed_late_ends_what_was_pending(sandbox: Connection, account: Account) -> None:
    faults_client.add(sandbox, "no-capacity", late=True, count=2)
    for changes in ({}, SPOT):
        instance_id = account.launch(**changes)
        account.await_state(instance_id, "terminated")
        seen = account.describe(instance_id)
        assert seen["StateReason"]["Code"] == "Server.InsufficientInstanceCapacity"
    asked = account.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[seen["SpotInstanceRequestId"]])
    (request,) = asked["SpotInstanceRequests"]
    assert (request["State"], request["Status"]["Code"]) == ("closed", "instance-terminated-no-capacity")


def test_a_slow_boot_stays_pending(sandbox: Connection, account: Account) -> None:
    faults_client.add(sandbox, "slow-boot", latency_s=3600, instance_type="m5.large", count=1)
    slow, quick = account.launch(), account.launch()
    account.await_state(quick, "running")
    assert account.state(slow) == "pending"
    account.ec2.terminate_instances(InstanceIds=[slow])
    account.await_state(slow, "terminated")


@pytest.mark.machineless
def test_quotas_are_told_and_kept(sandbox: Connection, account: Account, boto: Boto, once: Any) -> None:
    quotas = boto("service-quotas")

    def value(code: str) -> float:
        return float(quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]["Value"])

    assert value(GPU_ON_DEMAND) > 0
    default = quotas.get_aws_default_service_quota(ServiceCode="ec2", QuotaCode=GPU_ON_DEMAND)["Quota"]
    assert (default["Value"], default["QuotaName"]) == (0.0, "Running On-Demand G and VT instances")
    listed = [one for page in quotas.get_paginator("list_service_quotas").paginate(
        ServiceCode="ec2", PaginationConfig={"PageSize": 4}) for one in page["Quotas"]]  # fmt: skip
    assert {one["QuotaCode"]: one["Value"] for one in listed}[STANDARD] == value(STANDARD)
    for unknown in ({"ServiceCode": "ec2", "QuotaCode": "L-00000000"}, {"ServiceCode": "s3", "QuotaCode": STANDARD}):
        assert refusal(quotas.get_service_quota, **unknown) == "NoSuchResourceException"
    with pytest.raises(FaultRefusedError, match="no quota L-0"):
        faults_client.set_quota(sandbox, "L-0", 1)

    for code in (GPU_ON_DEMAND, GPU_SPOT):
        faults_client.set_quota(sandbox, code, 3)  # a g5.xlarge has four
        assert value(code) == 3
    error = error_of(once.run_instances, **account.request(InstanceType="g5.xlarge"))
    assert (error["Code"], error["status"]) == ("VcpuLimitExceeded", 400)
    assert "your current vCPU limit of 3 allows for the instance bucket" in error["Message"]
    error = error_of(once.run_instances, **account.request(InstanceType="g5.xlarge", **SPOT))
    assert (error["Code"], error["Message"]) == ("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
    assert [fault.hits for fault in faults_client.list(sandbox)] == [1, 1]


def test_what_runs_counts_and_what_is_stopped_does_not(sandbox: Connection, account: Account) -> None:
    states = [{"Name": "instance-state-name", "Values": ["pending", "running", "shutting-down"]}]
    others = account.ec2.describe_instances(Filters=states)["Reservations"]  # of this session, in whatever state
    ids = [one["InstanceId"] for reservation in others for one in reservation["Instances"]]
    account.until(lambda: all(account.state(one) != "shutting-down" for one in ids))
    used = sum(2 for one in ids if account.state(one) != "terminated")
    faults_client.set_quota(sandbox, STANDARD, used + 5)  # two m5.large and one vCPU that is of no use
    first, _second = account.launch_many(MaxCount=4)
    assert refusal(account.ec2.run_instances, **account.request()) == "VcpuLimitExceeded"
    account.await_state(first, "running")
    account.ec2.stop_instances(InstanceIds=[first])
    account.await_state(first, "stopped")
    account.launch()
    assert refusal(account.ec2.start_instances, InstanceIds=[first]) == "VcpuLimitExceeded"


@pytest.mark.machineless
@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "no-capacity", "service": "ec2"},
        {"kind": "no-capacity", "market": "reserved"},
        {"kind": "slow-boot"},
        {"kind": "error", "zone": ZONE},
        {"kind": "error", "late": True},
    ],
)
def test_faults_of_launches_that_are_none(sandbox: Connection, rule: dict[str, Any]) -> None:
    with pytest.raises(FaultRefusedError):
        faults_client.add(sandbox, rule.pop("kind"), **rule)


@pytest.mark.machineless
def test_the_verbs_script_launches(
    sandbox: Connection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], once: Any
) -> None:
    monkeypatch.setenv("RUNCTL_SANDBOX_HOME", sandbox.home)

    def run(line: str) -> str:
        assert main(["sandbox", "fault", *line.split()]) == 0
        return capsys.readouterr().out

    assert "g5.*" in run(f"add no-capacity --type g5.* --zone {ZONE} --market spot")
    assert "is 0" in run(f"quota {GPU_ON_DEMAND} 0")
    request = Account(lambda name: client(sandbox, name)).request(InstanceType="g5.xlarge")
    assert refusal(once.run_instances, **request) == "VcpuLimitExceeded"
    spot = {"Placement": {"AvailabilityZone": ZONE}, **SPOT}
    assert refusal(once.run_instances, **request, **spot) == "InsufficientInstanceCapacity"
    assert [one["hits"] for one in json.loads(run("list --json"))["faults"]] == [1, 1]
