"""What a refusal tells: EC2's encoded message, who may decode it, and faults that take rights and throttle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.conftest import client

pytestmark = pytest.mark.machineless
ONCE = Config(retries={"total_max_attempts": 1})
MARK = "Encoded authorization failure message: "


def refusal(call: Any, **request: Any) -> ClientError:
    with pytest.raises(ClientError) as error:
        call(**request)
    return error.value


def acting(sandbox: Connection, service: str, *statements: dict[str, Any]) -> Any:
    env = faults_client.plain_env(sandbox, *[{"Version": "2012-10-17", "Statement": [one]} for one in statements])
    keys = {"aws_access_key_id": env["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"]}
    return client(sandbox, service, **keys)


def test_the_encoded_message_says_what_was_missing_to_those_who_may_decode_it(sandbox: Connection) -> None:
    ec2 = acting(sandbox, "ec2", {"Sid": "A", "Effect": "Allow", "Action": "ec2:*", "Resource": "*"},
                 {"Sid": "Never", "Effect": "Deny", "Action": "ec2:CreateVolume", "Resource": "*"})  # fmt: skip
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "team", "Value": "red"}]}]
    said = str(refusal(ec2.create_volume, AvailabilityZone="us-east-1a", Size=1, TagSpecifications=tags))
    assert "explicit deny" in said
    message = said.partition(MARK)[2]
    assert 0 < len(message) <= 10_240
    assert "Never" not in message
    decoded = json.loads(client(sandbox, "sts").decode_authorization_message(EncodedMessage=message)["DecodedMessage"])
    assert (decoded["allowed"], decoded["explicitDeny"]) == (False, True)
    assert decoded["matchedStatements"]["items"][0]["statementId"] == "Never"
    context = decoded["context"]
    assert context["action"] == "ec2:CreateVolume"
    assert context["resource"].endswith(":volume/*")
    values = {one["key"]: one["values"]["items"] for one in context["conditions"]["items"]}
    assert values["aws:requesttag/team"] == [{"value": "red"}]
    helpless = acting(sandbox, "sts")
    denial = refusal(helpless.decode_authorization_message, EncodedMessage=message)
    assert denial.response["Error"]["Code"] == "AccessDenied"


def test_a_message_of_nobody_is_not_decoded_and_describe_calls_have_none(sandbox: Connection) -> None:
    unknown = refusal(client(sandbox, "sts").decode_authorization_message, EncodedMessage="x" * 100)
    assert unknown.response["Error"]["Code"] == "InvalidAuthorizationMessageException"
    denial = refusal(acting(sandbox, "ec2").describe_instances)
    assert denial.response["Error"]["Code"] == "UnauthorizedOperation"
    assert MARK not in str(denial)


@pytest.fixture
def no_faults(sandbox: Connection) -> Iterator[None]:
    yield
    faults_client.clear(sandbox)


@pytest.mark.usefixtures("no_faults")
@pytest.mark.parametrize(
    ("service", "operation", "request_", "code", "status"),
    [
        ("ec2", "CreateVolume", {"AvailabilityZone": "us-east-1a", "Size": 1}, "UnauthorizedOperation", 403),
        ("ssm", "ListCommands", {}, "AccessDeniedException", 400),
        ("iam", "GetRole", {"RoleName": "runctl-instance"}, "AccessDenied", 403),
        ("s3", "ListBuckets", {}, "AccessDenied", 403),
    ],
)
def test_a_right_can_be_taken_away(
    sandbox: Connection, service: str, operation: str, request_: dict[str, Any], code: str, status: int
) -> None:
    asked = client(sandbox, service, config=ONCE)
    faults_client.add(sandbox, "denied", service=service, operation=operation, count=1)
    call = getattr(asked, {"CreateVolume": "create_volume", "ListCommands": "list_commands", "GetRole": "get_role",
                           "ListBuckets": "list_buckets"}[operation])  # fmt: skip
    answer = refusal(call, **request_).response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    assert (MARK in answer["Error"]["Message"]) == (service == "ec2")


@pytest.mark.usefixtures("no_faults")
@pytest.mark.parametrize(
    ("service", "call", "code", "status"),
    [
        ("ec2", "describe_instances", "RequestLimitExceeded", 503),
        ("ssm", "list_commands", "ThrottlingException", 400),
        ("sts", "get_caller_identity", "Throttling", 400),
        ("s3", "list_buckets", "SlowDown", 503),
    ],
)
def test_throttling_in_the_words_of_each_service(
    sandbox: Connection, service: str, call: str, code: str, status: int
) -> None:
    faults_client.add(sandbox, "throttle", service=service)
    answer = refusal(getattr(client(sandbox, service, config=ONCE), call)).response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)


def test_a_denial_names_its_service(sandbox: Connection) -> None:
    with pytest.raises(faults_client.FaultRefusedError, match="which service"):
        faults_client.add(sandbox, "denied")


def test_what_the_sandbox_does_not_have_is_said_with_what_it_has(sandbox: Connection) -> None:
    answer = refusal(client(sandbox, "lambda", config=ONCE).list_functions).response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert "secretsmanager" in answer["Error"]["Message"]
    answer = refusal(client(sandbox, "ec2", config=ONCE).allocate_address).response
    assert answer["Error"]["Code"] == "InvalidAction"
    assert "RunInstances" in answer["Error"]["Message"]
    answer = refusal(client(sandbox, "ec2", config=ONCE).describe_fast_snapshot_restores).response
    assert answer["Error"]["Code"] == "InvalidAction"
