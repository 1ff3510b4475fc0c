"""The two decisions in front of every request: is it signed, and may its signer do that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runctl_jupyter.sandbox.control.access.policies import Permission, allows, instance_role_policy, user_policy
from runctl_jupyter.sandbox.control.requests.signature import HttpRequest, SignatureError, SigningKey, check_signature

# The worked examples of the S3 API reference, "Signature Calculations for the Authorization Header" (GET Object)
# and "Authenticating Requests: Using Query Parameters".
KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW = datetime(2013, 5, 24, tzinfo=UTC)
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SCOPE = f"{KEY_ID}/20130524/us-east-1/s3/aws4_request"
HEADERS = {
    "host": "examplebucket.s3.amazonaws.com",
    "range": "bytes=0-9",
    "x-amz-content-sha256": EMPTY,
    "x-amz-date": "20130524T000000Z",
    "authorization": f"AWS4-HMAC-SHA256 Credential={SCOPE},SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
    "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
}
SIGNED = HttpRequest("GET", "/test.txt", "", HEADERS, b"")


def key_of(access_key_id: str) -> SigningKey | None:
    return SigningKey(SECRET) if access_key_id == KEY_ID else None


def refusal(request: HttpRequest, now: datetime = NOW) -> str:
    with pytest.raises(SignatureError) as error:
        check_signature(request, key_of, now)
    return error.value.reason


def test_the_published_example_is_accepted() -> None:
    scope = check_signature(SIGNED, key_of, NOW)
    assert (scope.access_key_id, scope.service, scope.region) == (KEY_ID, "s3", "us-east-1")


def test_the_published_presigned_example_is_accepted_until_it_expires() -> None:
    query = (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={SCOPE.replace('/', '%2F')}&X-Amz-Date=20130524T000000Z"
        "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    request = HttpRequest("GET", "/test.txt", query, {"host": "examplebucket.s3.amazonaws.com"}, b"")
    assert check_signature(request, key_of, NOW + timedelta(hours=23)).presigned
    assert refusal(request, NOW + timedelta(hours=25)) == SignatureError.EXPIRED


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"range": "bytes=0-10"}, SignatureError.MISMATCH),
        ({"authorization": HEADERS["authorization"].replace(KEY_ID, "AKIAOTHER")}, SignatureError.UNKNOWN_KEY),
        ({"x-amz-security-token": "stolen"}, SignatureError.BAD_TOKEN),
        ({"authorization": ""}, SignatureError.MISSING),
    ],
)
def test_a_changed_request_is_refused(change: dict[str, str], reason: str) -> None:
    assert refusal(HttpRequest("GET", "/test.txt", "", HEADERS | change, b"")) == reason
    assert refusal(HttpRequest("GET", "/other.txt", "", HEADERS, b"")) == SignatureError.MISMATCH


def test_an_old_request_is_refused() -> None:
    assert refusal(SIGNED, NOW + timedelta(minutes=16)) == SignatureError.SKEWED


INSTANCE = "arn:aws:ec2:us-east-1:123456789012:instance/i-1"
OURS = {"aws:resourcetag/runctl:managed": ["true"]}
BUCKET = "arn:aws:s3:::runctl-sandbox"


@pytest.mark.parametrize(
    ("permission", "allowed"),
    [
        (Permission("ec2:DescribeInstances"), True),
        (Permission("EC2:describeinstances"), True),
        (Permission("ec2:TerminateInstances", INSTANCE, OURS), True),
        (Permission("ec2:TerminateInstances", INSTANCE, {"aws:resourcetag/runctl:managed": ["false"]}), False),
        (Permission("ec2:TerminateInstances", INSTANCE), False),
        (Permission("ec2:CreateTags", INSTANCE), False),
        (Permission("ec2:CreateTags", INSTANCE, {"ec2:createaction": ["RunInstances"]}), True),
        (Permission("s3:PutObject", f"{BUCKET}/a/b"), True),
        (Permission("s3:PutObject", f"{BUCKET}-2/a"), False),
        (Permission("iam:CreateUser", "arn:aws:iam::123456789012:user/x"), False),
    ],
)
def test_what_a_user_may_do(permission: Permission, allowed: bool) -> None:
    assert allows([user_policy()], permission) is allowed


def test_a_machine_may_use_the_bucket_and_nothing_of_ec2_or_iam() -> None:
    policies = [instance_role_policy()]
    assert allows(policies, Permission("s3:GetObject", f"{BUCKET}/k"))
    for action in (
        "ec2:DescribeInstances",
        "ec2:TerminateInstances",
        "iam:GetRole",
        "ssm:SendCommand",
        "s3:DeleteBucket",
    ):
        assert not allows(policies, Permission(action))


def test_a_denial_wins_and_conditions_hold() -> None:
    allow = {"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}
    deny = {
        "Statement": [
            {
                "Effect": "Deny",
                "NotAction": "s3:Get*",
                "Resource": "*",
                "Condition": {"StringNotLike": {"s3:prefix": ["mine/*"]}},
            }
        ]
    }
    assert allows([allow, deny], Permission("s3:GetObject"))
    assert not allows([allow, deny], Permission("s3:PutObject"))
    assert allows([allow, deny], Permission("s3:ListBucket", "*", {"s3:prefix": ["mine/a"]}))
    assert not allows([allow, deny], Permission("s3:ListBucket", "*", {"s3:prefix": ["yours/a"]}))
