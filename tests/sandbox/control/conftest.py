"""Instances for the tests of the control plane."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.sandbox.conftest import Boto

UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"


class Account:
    """Shortcuts through boto3 for one account."""

    def __init__(self, boto: Boto) -> None:
        self.ec2, self.ssm, self.s3 = boto("ec2"), boto("ssm"), boto("s3")
        self.image = self.ssm.get_parameter(Name=UBUNTU)["Parameter"]["Value"]
        self.launched: list[str] = []

    def request(self, **changes: Any) -> dict[str, Any]:
        tags = [{"Key": "runctl:managed", "Value": "true"}]
        return {
            "ImageId": self.image,
            "InstanceType": "m5.large",
            "MinCount": 1,
            "MaxCount": 1,
            "IamInstanceProfile": {"Name": "runctl-instance"},
            "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
        } | changes

    def launch(self, **changes: Any) -> str:
        return self.launch_many(**changes)[0]

    def launch_many(self, **changes: Any) -> list[str]:
        made = self.ec2.run_instances(**self.request(**changes))["Instances"]
        ids = [instance["InstanceId"] for instance in made]
        self.launched += ids
        return ids

    def describe(self, instance_id: str) -> dict[str, Any]:
        found = self.ec2.describe_instances(InstanceIds=[instance_id])
        instance: dict[str, Any] = found["Reservations"][0]["Instances"][0]
        return instance

    def state(self, instance_id: str) -> str:
        return str(self.describe(instance_id)["State"]["Name"])

    def until(self, look: Callable[[], Any], seconds: float = 60.0) -> Any:
        end = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < end, "the awaited state did not come"
            time.sleep(0.02)
        return found

    def await_state(self, instance_id: str, state: str) -> None:
        self.until(lambda: self.state(instance_id) == state)

    def online(self, instance_id: str) -> bool:
        filters = [{"Key": "InstanceIds", "Values": [instance_id]}]
        return bool(self.ssm.describe_instance_information(Filters=filters)["InstanceInformationList"])

    def ready(self, **changes: Any) -> str:
        instance_id = self.launch(**changes)
        self.until(lambda: self.online(instance_id))
        return instance_id

    def send(self, instance_id: str, script: str, **parameters: str) -> str:
        values = {"commands": script.split("\n"), **{k: [v] for k, v in parameters.items()}}
        sent = self.ssm.send_command(InstanceIds=[instance_id], DocumentName="AWS-RunShellScript", Parameters=values)
        return str(sent["Command"]["CommandId"])

    def invocation(self, command_id: str, instance_id: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.ssm.get_command_invocation(CommandId=command_id, InstanceId=instance_id)
        except self.ssm.exceptions.InvocationDoesNotExist:
            return None
        return found

    def result(self, command_id: str, instance_id: str) -> dict[str, Any]:
        ended = ("Success", "Failed", "Cancelled", "TimedOut")
        found: dict[str, Any] = self.until(
            lambda: (seen := self.invocation(command_id, instance_id)) and seen["Status"] in ended and seen
        )
        return found

    def run(self, instance_id: str, script: str, **parameters: str) -> dict[str, Any]:
        return self.result(self.send(instance_id, script, **parameters), instance_id)

    def end(self) -> None:
        live = [i for i in self.launched if self.state(i) not in ("terminated", "shutting-down")]
        if live:
            self.ec2.terminate_instances(InstanceIds=live)
        for instance_id in self.launched:
            self.await_state(instance_id, "terminated")


@pytest.fixture
def account(boto: Boto) -> Iterator[Account]:
    found = Account(boto)
    yield found
    found.end()


@pytest.fixture(scope="module")
def shared(boto: Boto) -> Iterator[Account]:
    """An account whose instances live as long as the module."""
    found = Account(boto)
    yield found
    found.end()


@pytest.fixture(scope="module")
def machine(shared: Account) -> str:
    return shared.ready()
