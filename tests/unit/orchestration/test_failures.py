"""What AWS and botocore refuse with, and what we say of it: every code of the EC2 and credential tables."""

from __future__ import annotations

import json
import re
from typing import Any

import botocore.exceptions as aws
import pytest
from botocore.exceptions import ClientError

from runctl_jupyter.orchestration.aws import failures
from runctl_jupyter.orchestration.aws.failures import aws_errors, may_pass
from runctl_jupyter.orchestration.errors import (
    AccountNotReady,
    AwsBusy,
    AwsRefused,
    AwsUnreachable,
    ConfigInvalid,
    CredentialsMissing,
    InstanceNotReady,
    InvalidRequest,
    LaunchRefused,
    PermissionDenied,
    RunctlError,
)

ACCOUNT = "123456789012"
URL = "https://eu-west-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/"


def answer(code: str, message: str = "told to", operation: str = "RunInstances", **more: Any) -> ClientError:
    error: Any = {"Code": code, "Message": message, **more}
    return ClientError({"Error": error}, operation)


def ours(error: Exception) -> RunctlError:
    with pytest.raises(RunctlError) as caught, aws_errors("launch g5.xlarge"):
        raise error
    return caught.value


# Code, our class, what the second line names.
CODES: list[tuple[str, type[RunctlError], str]] = [
    *((code, LaunchRefused, "another instance type or region") for code in (
        "InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity",
        "InsufficientCapacity", "UnfulfillableCapacity", "SpotMaxPriceTooLow", "Unsupported",
        "InsufficientFreeAddressesInSubnet")),
    *((code, LaunchRefused, "quota") for code in (
        "VcpuLimitExceeded", "MaxSpotInstanceCountExceeded", "InstanceLimitExceeded")),
    *((code, LaunchRefused, "Service Quotas") for code in (
        "VolumeLimitExceeded", "MaxIOPSLimitExceeded", "SnapshotLimitExceeded", "AddressLimitExceeded")),
    *((code, PermissionDenied, '"Effect": "Allow"') for code in (
        "UnauthorizedOperation", "AccessDenied", "AccessDeniedException")),
    ("AuthFailure.ServiceLinkedRoleCreationNotPermitted", PermissionDenied, "create-service-linked-role"),
    ("OptInRequired", AccountNotReady, "Enable"),
    ("PendingVerification", AccountNotReady, "wait"),
    ("Blocked", AccountNotReady, "Support"),
    ("AuthFailure", CredentialsMissing, "region is enabled"),
    *((code, AwsBusy, "try again") for code in (
        "RequestLimitExceeded", "EC2ThrottledException", "Throttling", "ThrottlingException", "InternalError",
        "ServiceUnavailable", "Unavailable", "InternalFailure")),
    ("InvalidInstanceID.NotFound", InvalidRequest, "try again in a moment"),
    ("InvalidGroup.NotFound", InvalidRequest, "try again in a moment"),
    ("IncorrectInstanceState", InstanceNotReady, "runctl list"),
    ("IncorrectState", InstanceNotReady, "runctl list"),
    ("InvalidInstanceId", InstanceNotReady, "runctl wait"),
    ("InvalidParameterValue", InvalidRequest, "Change that"),
    ("InvalidParameterCombination", InvalidRequest, "Change that"),
    ("MissingParameter", InvalidRequest, "Change that"),
    ("InvalidAMIID.NotFound", InvalidRequest, "ami under [launch]"),
    ("InvalidSubnetID.NotFound", InvalidRequest, "one that exists"),
    ("IdempotentParameterMismatch", InvalidRequest, "other values"),
    ("ExpiredToken", CredentialsMissing, "Sign in again"),
    ("ExpiredTokenException", CredentialsMissing, "Sign in again"),
    ("RequestExpired", CredentialsMissing, "clock"),
    ("RequestTimeTooSkewed", CredentialsMissing, "clock"),
    *((code, CredentialsMissing, "aws sts get-caller-identity") for code in (
        "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidAccessKeyId")),
    ("NobodyKnowsThis", AwsRefused, "AWS documentation"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "error", "advice"), CODES, ids=[code for code, _, _ in CODES])
def test_every_code_becomes_one_of_ours(code: str, error: type[RunctlError], advice: str) -> None:
    said = ours(answer(code))
    assert type(said) is error
    assert advice in said.to_resolve
    assert code in said.what or "service-linked" in said.what
    assert "\n" not in said.what
    assert "\n" not in said.to_resolve


def test_only_what_may_pass_is_tried_again() -> None:
    useful = {code for code, _, _ in CODES if may_pass(answer(code))}
    assert useful == {code for code, error, _ in CODES if error is AwsBusy}
    assert may_pass(aws.ConnectionClosedError(endpoint_url="u"))
    assert not may_pass(aws.NoCredentialsError())
    assert not may_pass(aws.EndpointConnectionError(endpoint_url="u"))


def test_no_code_is_in_two_classes() -> None:
    sets = [
        failures.CAPACITY,
        failures.QUOTA,
        failures.PERMISSION,
        failures.ACCOUNT,
        failures.THROTTLE,
        failures.SERVER,
    ]
    assert sum(map(len, sets)) == len(frozenset().union(*sets))


SIGN_IN: list[tuple[Exception, type[RunctlError], str]] = [
    (aws.UnauthorizedSSOTokenError(), CredentialsMissing, "aws sso login"),
    (aws.TokenRetrievalError(provider="sso", error_msg="Token has expired and refresh failed"), CredentialsMissing,
     "aws sso login"),
    (aws.SSOTokenLoadError(error_msg="no file"), CredentialsMissing, "aws sso login"),
    (aws.LoginRefreshRequired(), CredentialsMissing, "aws login"),
    (aws.LoginTokenLoadError(error_msg="no file"), CredentialsMissing, "aws login"),
    (aws.LoginInsufficientPermissions(), CredentialsMissing, "SignInLocalDevelopmentAccess"),
    (aws.NoCredentialsError(), CredentialsMissing, "runctl use sandbox"),
    (aws.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), CredentialsMissing, "missing one"),
    (aws.CredentialRetrievalError(provider="custom-process", error_msg="exit 1"), CredentialsMissing, "by hand"),
    (aws.ProfileNotFound(profile="lab"), ConfigInvalid, "list-profiles"),
    (aws.NoRegionError(), ConfigInvalid, "runctl use aws --region"),
    (aws.ConfigParseError(path="config"), ConfigInvalid, "~/.aws/config"),
    (aws.EndpointConnectionError(endpoint_url="https://ec2"), AwsUnreachable, "network"),
    (aws.ConnectTimeoutError(endpoint_url="https://ec2"), AwsUnreachable, "network"),
    (aws.ProxyConnectionError(proxy_url="http://p"), AwsUnreachable, "HTTPS_PROXY"),
    (aws.SSLError(endpoint_url="https://ec2", error="self-signed"), AwsUnreachable, "AWS_CA_BUNDLE"),
    (aws.ParamValidationError(report="Unknown parameter"), InvalidRequest, "Change that"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "kind", "advice"), SIGN_IN, ids=[type(error).__name__ for error, _, _ in SIGN_IN])
def test_every_failure_of_botocore_becomes_one_of_ours(error: Exception, kind: type[RunctlError], advice: str) -> None:
    said = ours(error)
    assert type(said) is kind
    assert advice in said.to_resolve


def test_an_old_signature_may_be_the_clock() -> None:
    said = ours(answer("SignatureDoesNotMatch", "Signature expired: 20261101T000000Z is now earlier than"))
    assert "clock" in said.what
    assert "Sign in again" in said.to_resolve


EC2_DENIAL = (
    f"You are not authorized to perform this operation. User: arn:aws:iam::{ACCOUNT}:user/ada is not authorized to "
    f"perform: ec2:RunInstances on resource: arn:aws:ec2:eu-west-1:{ACCOUNT}:instance/* because no identity-based "
    "policy allows the ec2:RunInstances action. Encoded authorization failure message: 6hsJ_encoded"
)


def statement_in(text: str) -> dict[str, Any]:
    found = re.search(r"\{.*\}", text)
    assert found is not None
    statement: dict[str, Any] = json.loads(found[0])
    return statement


def test_a_denial_names_the_action_and_the_statement_to_add() -> None:
    said = ours(answer("UnauthorizedOperation", EC2_DENIAL))
    assert "ec2:RunInstances on arn:aws:ec2:eu-west-1:*:instance/*" in said.what
    assert statement_in(said.to_resolve) == {
        "Effect": "Allow", "Action": "ec2:RunInstances", "Resource": "arn:aws:ec2:eu-west-1:*:instance/*",
    }  # fmt: skip
    assert ACCOUNT not in str(said)
    assert "6hsJ" not in str(said)


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("ListObjectsV2", "s3:ListBucket"),
        ("HeadObject", "s3:GetObject"),
        ("CompleteMultipartUpload", "s3:PutObject"),
        ("PutBucketLifecycleConfiguration", "s3:PutLifecycleConfiguration"),
        ("GetBucketLocation", "s3:GetBucketLocation"),
    ],
)
def test_s3_says_no_more_than_denied(operation: str, action: str) -> None:
    assert statement_in(ours(answer("AccessDenied", "Access Denied", operation)).to_resolve)["Action"] == action


def test_a_message_that_could_be_decoded_says_what_it_is_about() -> None:
    decoded = {
        "allowed": False,
        "explicitDeny": True,
        "context": {"action": "ec2:StartInstances", "resource": f"arn:aws:ec2:eu-west-1:{ACCOUNT}:instance/i-1"},
    }
    said = ours(answer("UnauthorizedOperation", "You are not authorized.", DecodedAuthorization=decoded))
    assert "ec2:StartInstances on arn:aws:ec2:eu-west-1:*:instance/i-1" in said.what
    assert "explicit deny" in said.to_resolve


@pytest.mark.parametrize(
    ("because", "who"),
    [
        ("with an explicit deny in an identity-based policy", "explicit deny"),
        ("with an explicit deny in a service control policy", "service control policy"),
        ("because no service control policy allows the s3:PutObject action", "service control policy"),
        ("because no permissions boundary allows the s3:PutObject action", "permissions boundary"),
        ("because no session policy allows the s3:PutObject action", "session"),
    ],
)
def test_what_no_statement_would_change_is_said_so(because: str, who: str) -> None:
    message = f"User: u is not authorized to perform: s3:PutObject on resource: arn:aws:s3:::b/k {because}"
    said = ours(answer("AccessDenied", message, "PutObject"))
    assert who in said.to_resolve
    assert "{" not in said.to_resolve


def test_a_quota_names_its_code_its_value_and_where_more_is_asked_for() -> None:
    message = "You have requested more vCPU capacity than your current vCPU limit of 8 allows for the instance bucket"
    asked = {"instance_type": "g5.xlarge", "region": "eu-west-1", "spot": False}
    said = ours(answer("VcpuLimitExceeded", message, Asked=asked))
    assert "limit of 8" in said.what
    assert f"{URL}L-DB2E81BA" in said.to_resolve
    said = ours(
        answer("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded", Asked=asked | {"spot": True})
    )
    assert f"{URL}L-3819A6DF" in said.to_resolve


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("VolumeLimitExceeded", "servicequotas/home/services/ebs/quotas/L-7A658B76"),
        ("MaxIOPSLimitExceeded", "IOPS"),
        ("AddressLimitExceeded", f"{URL}L-0263D0A3"),
    ],
)
def test_a_quota_of_something_else_says_nothing_of_vcpus(code: str, advice: str) -> None:
    asked = {"instance_type": "g5.xlarge", "region": "eu-west-1", "spot": False}
    said = ours(answer(code, Asked=asked))
    assert advice in said.to_resolve
    assert "vCPU" not in said.to_resolve


def test_a_profile_that_ec2_does_not_know() -> None:
    message = (
        "Value (runctl-instance) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
    )
    assert "runctl setup" in ours(answer("InvalidParameterValue", message)).to_resolve
