"""SSM agents that come too early: they sleep for half an hour, unless somebody starts them anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from runctl_jupyter.sandbox import faults_client, service
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.conftest import client, sandbox_mode
from tests.sandbox.control.conftest import Account

CORE = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
TRUST = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}  # fmt: skip
# It waits for the agent's first try, which is refused, and for the role, which the test completes meanwhile.
RESTARTS = """#!/bin/sh
n=0
while [ ! -e "${RUNCTL_ROOT:-/var/lib/runctl}/heard" ] && [ $n -lt 90 ]; do
  sleep 1
  n=$((n + 1))
  if systemctl cat amazon-ssm-agent.service >/dev/null; then systemctl restart amazon-ssm-agent; fi
done
"""


@pytest.fixture
def unhurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """A sandbox in which a refused agent sleeps longer than the test takes."""
    home = tmp_path_factory.mktemp("unhurried")
    try:
        yield service.start(home, sandbox_mode(), service.StartOptions(pace=0.5))
    finally:
        service.stop(home)


def test_an_agent_that_was_refused_sleeps_until_it_is_restarted(unhurried: Connection) -> None:
    env = faults_client.admin_env(unhurried)
    keys = {"aws_access_key_id": env["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"]}

    def admin(name: str) -> Any:
        return client(unhurried, name, **keys)

    account, iam = Account(admin), admin("iam")
    iam.create_role(RoleName="late", AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.create_instance_profile(InstanceProfileName="late")
    iam.add_role_to_instance_profile(InstanceProfileName="late", RoleName="late")

    def launch(user_data: str) -> str:
        request = account.request(IamInstanceProfile={"Name": "late"}, UserData=user_data)

        def launched() -> Any:
            try:
                return account.ec2.run_instances(**request)["Instances"]
            except account.ec2.exceptions.ClientError as error:  # the profile is not known to EC2 yet
                if "Invalid IAM Instance Profile" not in str(error):
                    raise
                return None

        (instance,) = account.until(launched)
        return str(instance["InstanceId"])

    asleep, restarted = launch("#!/bin/sh\n"), launch(RESTARTS)

    def runs(machine: str) -> bool:
        found = account.ec2.describe_instances(Filters=[{"Name": "instance-id", "Values": [machine]}])["Reservations"]
        return bool(found and found[0]["Instances"][0]["State"]["Name"] == "running")

    account.until(lambda: runs(asleep) and runs(restarted))
    assert not account.online(restarted)
    iam.attach_role_policy(RoleName="late", PolicyArn=CORE)
    account.until(lambda: account.online(restarted))
    assert not account.online(asleep)
    here = 'touch "${RUNCTL_ROOT:-/var/lib/runctl}/heard"; echo here'
    assert account.run(restarted, here)["StandardOutputContent"] == "here\n"
