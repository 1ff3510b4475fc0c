"""Other users of the account: an administrator, and people with the policies that a test gives them."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.conftest import client

pytestmark = pytest.mark.machineless


def acting(sandbox: Connection, env: dict[str, str], service: str) -> Any:
    return client(
        sandbox,
        service,
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )


def test_the_administrator_may_make_roles_and_is_the_same_each_time(sandbox: Connection) -> None:
    env = faults_client.admin_env(sandbox)
    assert env == faults_client.admin_env(sandbox)
    iam = acting(sandbox, env, "iam")
    iam.create_user(UserName="made-by-admin")
    assert iam.get_user(UserName="made-by-admin")["User"]["Arn"].endswith(":user/made-by-admin")
    iam.delete_user(UserName="made-by-admin")
    me = acting(sandbox, env, "sts").get_caller_identity()["Arn"]
    assert me != client(sandbox, "sts").get_caller_identity()["Arn"]


def test_a_user_has_the_policies_given_and_no_other(sandbox: Connection) -> None:
    nobody = faults_client.plain_env(sandbox)
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        acting(sandbox, nobody, "ec2").describe_instances()
    acting(sandbox, nobody, "sts").get_caller_identity()  # always allowed
    looks = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "ec2:DescribeInstances", "Resource": "*"}]}  # fmt: skip
    ec2 = acting(sandbox, faults_client.plain_env(sandbox, looks), "ec2")
    ec2.describe_instances()
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        ec2.describe_volumes()


def test_a_malformed_policy_makes_no_user(sandbox: Connection) -> None:
    with pytest.raises(faults_client.FaultRefusedError, match="policy"):
        faults_client.plain_env(sandbox, {"Version": "2012-10-17", "Statement": [{"Effect": "Maybe"}]})
