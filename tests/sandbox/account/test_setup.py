"""`setup`: what is in the account afterwards, who may run it, and what running it again does."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from typing import Any

import pytest

from runctl_jupyter.orchestration.account.policies import instance_policy, trust_policy, user_policy
from runctl_jupyter.orchestration.errors import LaunchRefused, PermissionDenied, StorageUnavailable
from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.account.acting import Acting, as_user

pytestmark = pytest.mark.machineless

BUCKET = f"runctl-{hashlib.sha256(b'123456789012').hexdigest()[:10]}-us-east-1"
OURS = [{"Key": "runctl:managed", "Value": "true"}]


def deeds(report: Any) -> set[str]:
    return {step.deed for step in report.steps}


def assert_complete(admin: Mapping[str, str], role: str, bucket: str) -> None:
    """What there has to be in the account, asked of AWS itself."""
    iam, s3 = as_user(admin, "iam"), as_user(admin, "s3")
    found = iam.get_role(RoleName=role)["Role"]
    assert found["AssumeRolePolicyDocument"] == trust_policy()
    assert iam.get_role_policy(RoleName=role, PolicyName=role)["PolicyDocument"] == instance_policy(bucket)
    profile = iam.get_instance_profile(InstanceProfileName=role)["InstanceProfile"]
    assert [each["RoleName"] for each in profile["Roles"]] == [role]
    blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(blocked.values()) == {True}
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    rules = {rule["ID"]: rule for rule in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
    assert rules["runctl-abort-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert rules["runctl-temporary"]["Filter"] == {"Prefix": "runctl/tmp/"}
    assert rules["runctl-temporary"]["Expiration"] == {"Days": 7}


def test_an_administrator_makes_all_and_later_commands_find_the_bucket(acting: Acting, admin: dict[str, str]) -> None:
    rc = acting(admin)
    report = rc.setup()
    assert "changed" not in deeds(report)
    assert report.bucket == BUCKET
    assert_complete(admin, "setup-role", BUCKET)
    later = acting(admin)
    assert (later.settings.aws.bucket, later.settings.aws.region) == (BUCKET, "us-east-1")
    again = later.setup()
    assert deeds(again) == {"found"}
    assert again.config is None


def test_what_differs_is_mended_and_what_others_set_stays(acting: Acting, admin: dict[str, str]) -> None:
    rc = acting(admin, bucket="setup-mended")
    rc.setup()
    iam, s3 = as_user(admin, "iam"), as_user(admin, "s3")
    iam.put_role_policy(RoleName="setup-role", PolicyName="setup-role", PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}))  # fmt: skip
    theirs = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 3}}
    s3.put_bucket_lifecycle_configuration(Bucket="setup-mended", LifecycleConfiguration={"Rules": [theirs]})
    s3.delete_public_access_block(Bucket="setup-mended")
    report = rc.setup()
    assert {step.what for step in report.steps if step.deed == "changed"} == {"policy of instance role setup-role"}
    assert_complete(admin, "setup-role", "setup-mended")
    rules = s3.get_bucket_lifecycle_configuration(Bucket="setup-mended")["Rules"]
    assert [rule["Expiration"] for rule in rules if rule["ID"] == "theirs"] == [{"Days": 3}]


def test_half_of_it_is_completed(acting: Acting, admin: dict[str, str]) -> None:
    iam = as_user(admin, "iam")
    iam.create_role(RoleName="setup-role", AssumeRolePolicyDocument=json.dumps(trust_policy()), Tags=OURS)
    iam.create_instance_profile(InstanceProfileName="setup-role")
    acting(admin, bucket="setup-half").setup()
    assert_complete(admin, "setup-role", "setup-half")


def test_a_profile_with_another_role_is_left_alone(acting: Acting, admin: dict[str, str]) -> None:
    iam = as_user(admin, "iam")
    iam.create_role(RoleName="theirs", AssumeRolePolicyDocument=json.dumps(trust_policy()))
    iam.create_instance_profile(InstanceProfileName="setup-role")
    iam.add_role_to_instance_profile(InstanceProfileName="setup-role", RoleName="theirs")
    with pytest.raises(LaunchRefused, match="theirs"):
        acting(admin, bucket="setup-taken").setup()
    profile = iam.get_instance_profile(InstanceProfileName="setup-role")["InstanceProfile"]
    assert [each["RoleName"] for each in profile["Roles"]] == ["theirs"]
    assert "setup-role" not in [each["RoleName"] for each in iam.list_roles()["Roles"]]


def test_a_role_of_somebody_else_that_machines_may_take_is_used_as_it_is(acting: Acting, admin: dict[str, str]) -> None:
    iam = as_user(admin, "iam")
    trust = trust_policy()
    trust["Statement"][0]["Principal"] = {"Service": ["lambda.amazonaws.com", "ec2.amazonaws.com"]}
    iam.create_role(RoleName="setup-role", AssumeRolePolicyDocument=json.dumps(trust))
    report = acting(admin, bucket="setup-accepted").setup()
    assert any("which is not ours" in step.what for step in report.steps if step.deed == "found")
    assert iam.get_role(RoleName="setup-role")["Role"]["AssumeRolePolicyDocument"] == trust
    assert not iam.list_role_policies(RoleName="setup-role")["PolicyNames"]
    profile = iam.get_instance_profile(InstanceProfileName="setup-role")["InstanceProfile"]
    assert [each["RoleName"] for each in profile["Roles"]] == ["setup-role"]


def test_a_role_of_somebody_else_that_machines_may_not_take_is_left_alone(
    acting: Acting, admin: dict[str, str]
) -> None:
    iam = as_user(admin, "iam")
    trust = trust_policy()
    trust["Statement"][0]["Principal"] = {"Service": "lambda.amazonaws.com"}
    iam.create_role(RoleName="setup-role", AssumeRolePolicyDocument=json.dumps(trust))
    with pytest.raises(LaunchRefused, match="not ours"):
        acting(admin, bucket="setup-refused").setup()
    assert iam.get_role(RoleName="setup-role")["Role"]["AssumeRolePolicyDocument"] == trust
    assert not iam.list_role_policies(RoleName="setup-role")["PolicyNames"]
    assert not any(b["Name"] == "setup-refused" for b in as_user(admin, "s3").list_buckets()["Buckets"])


def test_who_may_not_is_told_whom_to_ask_and_leaves_nothing(
    acting: Acting, admin: dict[str, str], sandbox: Connection
) -> None:
    rc = acting(faults_client.plain_env(sandbox, user_policy(BUCKET, role="setup-role")))
    with pytest.raises(PermissionDenied, match="iam:CreateRole") as caught:
        rc.setup()
    assert "runctl setup --print" in caught.value.to_resolve
    assert not any(b["Name"] == BUCKET for b in as_user(admin, "s3").list_buckets()["Buckets"])


def test_an_ordinary_user_finds_what_the_administrator_made(
    acting: Acting, admin: dict[str, str], sandbox: Connection
) -> None:
    bucket = "setup-shared"
    acting(admin, bucket=bucket).setup()
    user = faults_client.plain_env(sandbox, user_policy(bucket, role="setup-role"))
    assert deeds(acting(user, bucket=bucket).setup()) == {"found"}


def test_a_bucket_of_somebody_else(acting: Acting, admin: dict[str, str], sandbox: Connection) -> None:
    acting(admin, bucket="setup-theirs").setup()
    user = faults_client.plain_env(sandbox, user_policy("another", role="setup-role"))
    iam = as_user(admin, "iam")
    iam.put_role_policy(RoleName="setup-role", PolicyName="setup-role",
                        PolicyDocument=json.dumps(instance_policy("setup-theirs")))  # fmt: skip
    with pytest.raises(StorageUnavailable, match="another account, or you may not"):
        acting(user, bucket="setup-theirs").setup()


def test_what_is_printed_for_an_administrator_does_the_same(acting: Acting, admin: dict[str, str]) -> None:
    plan = acting(admin).setup_by_hand()
    assert BUCKET not in [b["Name"] for b in as_user(admin, "s3").list_buckets()["Buckets"]]
    iam = as_user(admin, "iam")
    for line in plan.commands:
        try:
            run_as_the_cli_would(admin, line)
        except (iam.exceptions.InvalidInputException, iam.exceptions.EntityAlreadyExistsException):
            assert "create-service-linked-role" in line  # once for the account, whatever test comes first
    assert_complete(admin, "setup-role", BUCKET)
    assert deeds(acting(admin).setup()) == {"found"}
    stored = as_user(admin, "iam").list_policies(Scope="Local")["Policies"][0]
    version = as_user(admin, "iam").get_policy_version(PolicyArn=stored["Arn"], VersionId=stored["DefaultVersionId"])
    assert version["PolicyVersion"]["Document"] == user_policy(BUCKET, role="setup-role")


def run_as_the_cli_would(env: Mapping[str, str], line: str) -> None:
    """Make of ``aws SERVICE COMMAND --some-parameter VALUE`` the call that the AWS CLI makes of it."""
    _, service, command, *words = shlex.split(line)
    client = as_user(env, service.removesuffix("api"))
    members = client.meta.service_model.operation_model(
        "".join(part.capitalize() for part in command.split("-"))
    ).input_shape.members
    by_option = {cli_name(name): name for name in members}
    arguments: dict[str, Any] = {}
    for option, value in zip(words[::2], words[1::2], strict=True):
        if option == "--region":
            continue  # of the client
        name = by_option[option]
        arguments[name] = value if members[name].type_name == "string" else json.loads(value)
    getattr(client, command.replace("-", "_"))(**arguments)


def cli_name(name: str) -> str:
    from botocore import xform_name

    return f"--{xform_name(name, '-')}"


def test_without_credentials_it_prints_what_it_knows(acting: Acting, admin: dict[str, str]) -> None:
    rc = acting({**admin, "AWS_ACCESS_KEY_ID": "AKIANOBODYKNOWSTHIS0"})
    plan = rc.setup_by_hand()
    assert plan.bucket == "runctl-ACCOUNT-REGION"
    assert "ACCOUNT" in plan.note


def test_the_sandbox_is_an_account_that_has_been_set_up(acting: Acting, sandbox: Connection) -> None:
    report = acting(sandbox.env, "runctl-instance", bucket=sandbox.bucket).setup()
    assert {step.what for step in report.steps if step.deed != "found"} <= {
        "service-linked role AWSServiceRoleForEC2Spot"
    }
