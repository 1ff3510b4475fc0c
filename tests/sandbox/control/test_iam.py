"""What IAM refuses where moto does not, and what AWS has that moto has not."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.conftest import client

pytestmark = pytest.mark.machineless
EC2 = {"Service": "ec2.amazonaws.com"}
CORE = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"


def policy(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow"} | statement]})


def code(call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**request)
    return str(error.value.response["Error"]["Code"])


@pytest.fixture(scope="module")
def iam(sandbox: Connection) -> Any:
    env = faults_client.admin_env(sandbox)
    keys = {"aws_access_key_id": env["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"]}
    return client(sandbox, "iam", **keys)


@pytest.fixture
def role(iam: Any) -> Iterator[str]:
    name = f"role-{uuid.uuid4().hex[:8]}"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(Principal=EC2, Action="sts:AssumeRole"))
    yield name
    for one in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=one)
    for one in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=name, PolicyArn=one["PolicyArn"])
    iam.delete_role(RoleName=name)


@pytest.mark.parametrize(
    "document",
    [
        "{}",
        "no json",
        json.dumps({"Version": "2012-10-17", "Statement": []}),
        policy(Action="sts:AssumeRole"),
        policy(Principal=EC2, Action="ec2:RunInstances"),
        policy(Principal=EC2, Action="sts:AssumeRole", Resource="*"),
        policy(Principal=EC2, Action="sts:AssumeRole", Sid="not alpha-numeric"),
    ],
)
def test_a_trust_policy_says_whom_it_trusts(iam: Any, role: str, document: str) -> None:
    malformed = "MalformedPolicyDocument"
    assert code(iam.create_role, RoleName="never", AssumeRolePolicyDocument=document) == malformed
    assert code(iam.update_assume_role_policy, RoleName=role, PolicyDocument=document) == malformed
    assert code(iam.get_role, RoleName="never") == "NoSuchEntity"


@pytest.mark.parametrize(
    "statement",
    [
        {"Action": "ec2:FlyInstances", "Resource": "*"},
        {"Action": "s3:GetBanana", "Resource": "*"},
        {"Action": "RunInstances", "Resource": "*"},
        {"Action": "ec2:RunInstances"},
        {"Action": "ec2:RunInstances", "Resource": "*", "Sid": "has a space"},
        {"Action": "ec2:RunInstances", "Resource": "*", "Condition": {"StringAlmost": {"a": "b"}}},
    ],
)
def test_a_malformed_policy_is_refused(iam: Any, role: str, statement: dict[str, Any]) -> None:
    request = {"RoleName": role, "PolicyName": "p", "PolicyDocument": policy(**statement)}
    assert code(iam.put_role_policy, **request) == "MalformedPolicyDocument"
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == []


def test_policies_have_a_size(iam: Any, role: str) -> None:
    def of_size(characters: int) -> str:
        return policy(Action="s3:GetObject", Resource=[f"arn:aws:s3:::{'b' * 80}/{n}" for n in range(characters // 95)])

    put = {"RoleName": role, "PolicyName": "p"}
    iam.put_role_policy(**put, PolicyDocument=of_size(6_000))
    iam.put_role_policy(**put, PolicyDocument=of_size(9_000))  # in the place of the one before
    assert code(iam.put_role_policy, **put | {"PolicyName": "q"}, PolicyDocument=of_size(2_500)) == "LimitExceeded"
    assert code(iam.create_policy, PolicyName="large", PolicyDocument=of_size(7_000)) == "LimitExceeded"
    iam.create_user(UserName="sized")
    small = {"UserName": "sized", "PolicyName": "p", "PolicyDocument": of_size(3_000)}
    assert code(iam.put_user_policy, **small) == "LimitExceeded"
    iam.delete_user(UserName="sized")


def test_policies_of_aws_can_be_attached(iam: Any, role: str) -> None:
    iam.attach_role_policy(RoleName=role, PolicyArn=CORE)
    (attached,) = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert attached["PolicyArn"] == CORE
    version = iam.get_policy(PolicyArn=CORE)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=CORE, VersionId=version)["PolicyVersion"]["Document"]
    assert "ssm:UpdateInstanceInformation" in str(document)
    assert code(iam.attach_role_policy, RoleName=role, PolicyArn=f"{CORE}Banana") == "NoSuchEntity"


def test_an_instance_profile_has_one_role(iam: Any, role: str) -> None:
    iam.create_instance_profile(InstanceProfileName="one")
    iam.add_role_to_instance_profile(InstanceProfileName="one", RoleName=role)
    second = {"InstanceProfileName": "one", "RoleName": "runctl-instance"}
    assert code(iam.add_role_to_instance_profile, **second) == "LimitExceeded"
    iam.remove_role_from_instance_profile(InstanceProfileName="one", RoleName=role)
    iam.delete_instance_profile(InstanceProfileName="one")


def test_the_role_of_spot_has_its_name_and_is_made_once(iam: Any) -> None:
    name = "AWSServiceRoleForEC2Spot"
    try:
        iam.get_role(RoleName=name)
    except iam.exceptions.NoSuchEntityException:
        made = iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")["Role"]
        assert (made["RoleName"], made["Arn"].rpartition("/")[2]) == (name, name)
    assert code(iam.create_service_linked_role, AWSServiceName="spot.amazonaws.com") == "InvalidInput"
