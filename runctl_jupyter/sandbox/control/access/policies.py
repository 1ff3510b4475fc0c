"""IAM policy documents: the two the sandbox gives out, and how a policy decides about a request.

Source: IAM User Guide, "Policy evaluation logic" and "IAM JSON policy elements: Condition operators". Only
identity policies of one account exist here, so: an explicit Deny wins, then any Allow, else no.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from runctl_jupyter.sandbox.control.settings import BUCKET, ROLE_NAME

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Permission:
    """One thing a request needs: `action` on `resource`, with the condition keys that the request carries."""

    action: str
    resource: str = "*"
    context: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Condition keys in lower case, as IAM ignores their case."""


@dataclass(frozen=True)
class Decision:
    """What the policies say about a permission."""

    allowed: bool
    denying: Sequence[Document] = ()
    """The statements that deny it explicitly."""
    allowing: Sequence[Document] = ()
    """Those that allow it."""

    @property
    def explicit_deny(self) -> bool:
        """Whether a statement denies it, so that no other can allow it."""
        return bool(self.denying)


def decide(documents: Iterable[Document], permission: Permission) -> Decision:
    """Whether the policies together permit it, and what forbids it."""
    found = [
        statement
        for document in documents
        for statement in _as_list(document["Statement"])
        if _applies(statement, permission)
    ]
    denying = [statement for statement in found if statement["Effect"] == "Deny"]
    allowing = [statement for statement in found if statement["Effect"] == "Allow"]
    return Decision(bool(allowing) and not denying, denying, allowing)


def matching(statement: Document, element: str, value: str) -> list[str]:
    """Which entries of ``Action`` or ``Resource`` of a statement match a value."""
    ignore_case = element == "Action"
    return [each for each in _as_list(statement.get(element, [])) if _matches(each, value, ignore_case=ignore_case)]


def allows(documents: Iterable[Document], permission: Permission) -> bool:
    """Whether the policies together permit it."""
    return decide(documents, permission).allowed


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _applies(statement: Document, permission: Permission) -> bool:
    return (
        _element(statement, "Action", permission.action, ignore_case=True)
        and _element(statement, "Resource", permission.resource, ignore_case=False)
        and all(
            _condition(operator, key, _as_list(wanted), permission.context)
            for operator, pairs in statement.get("Condition", {}).items()
            for key, wanted in pairs.items()
        )
    )


def _element(statement: Document, name: str, value: str, *, ignore_case: bool) -> bool:
    negated = f"Not{name}" in statement
    patterns = _as_list(statement.get(f"Not{name}" if negated else name, []))
    return negated != any(_matches(pattern, value, ignore_case=ignore_case) for pattern in patterns)


@lru_cache(maxsize=2048)
def _pattern(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    escaped = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    return re.compile(escaped, (re.IGNORECASE if ignore_case else 0) | re.DOTALL)


def _matches(pattern: str, value: str, *, ignore_case: bool = False) -> bool:
    return _pattern(pattern, ignore_case).fullmatch(value) is not None


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, actual: wanted == actual,
    "StringEqualsIgnoreCase": lambda wanted, actual: wanted.lower() == actual.lower(),
    "StringLike": _matches,
    "ArnEquals": _matches,
    "ArnLike": _matches,
    "Bool": lambda wanted, actual: wanted.lower() == actual.lower(),
}
_NEGATIONS = {"StringNotEquals": "StringEquals", "StringNotLike": "StringLike", "ArnNotLike": "ArnLike"}


def _condition(operator: str, key: str, wanted: list[str], context: Mapping[str, Sequence[str]]) -> bool:
    quantifier, _, name = operator.rpartition(":")
    optional = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    actual = context.get(key.lower())
    if name == "Null":
        return [str(actual is None).lower()] == [str(value).lower() for value in wanted]
    if actual is None:
        return optional or name in _NEGATIONS or quantifier == "ForAllValues"
    holds = _OPERATORS[_NEGATIONS.get(name, name)]
    hits = [any(holds(str(value), one) for value in wanted) for one in actual]
    if name in _NEGATIONS:
        return not any(hits)
    return all(hits) if quantifier == "ForAllValues" else any(hits)


def _statement(sid: str, actions: list[str], resources: Any, condition: Document | None = None) -> dict[str, Any]:
    statement: dict[str, Any] = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
    return {**statement, "Condition": condition} if condition else statement


_OBJECT_ACTIONS = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload",
                   "s3:ListMultipartUploadParts", "s3:GetObjectTagging", "s3:PutObjectTagging"]  # fmt: skip
_BUCKET_ACTIONS = ["s3:ListBucket", "s3:ListBucketMultipartUploads"]
_OWN = {"StringEquals": {"aws:ResourceTag/runctl:managed": "true"}}


def _bucket_statements(*more: str) -> list[dict[str, Any]]:
    return [
        _statement("BucketObjects", _OBJECT_ACTIONS, f"arn:aws:s3:::{BUCKET}/*"),
        _statement("BucketItself", [*_BUCKET_ACTIONS, *more], f"arn:aws:s3:::{BUCKET}"),
    ]


def _secret_statements(parameter_actions: list[str], secret_actions: list[str]) -> list[dict[str, Any]]:
    """Statements about the secrets of jobs: names under ``runctl/``, and nobody's else in the account."""
    return [
        _statement("Parameters", parameter_actions, "arn:aws:ssm:*:*:parameter/runctl/*"),
        _statement("Secrets", secret_actions, "arn:aws:secretsmanager:*:*:secret:runctl/*"),
    ]


def user_policy() -> dict[str, Any]:
    """Least privilege of a person who uses runctl, as ``runctl setup`` would grant it."""
    ec2 = "arn:aws:ec2:*:*:"
    return {"Version": "2012-10-17", "Statement": [
        _statement("Read", [
            "ec2:Describe*", "ec2:GetSpotPlacementScores", "ssm:DescribeInstanceInformation",
            "ssm:GetCommandInvocation", "ssm:ListCommandInvocations", "ssm:ListCommands", "ssm:CancelCommand",
            "ssm:GetConnectionStatus", "pricing:GetProducts", "servicequotas:GetServiceQuota",
            "servicequotas:ListServiceQuotas", "servicequotas:GetAWSDefaultServiceQuota",
            "ecr:GetAuthorizationToken", "sts:DecodeAuthorizationMessage", "cloudwatch:GetMetricStatistics",
        ], "*"),
        _statement("ReadSetup", ["iam:GetInstanceProfile", "iam:GetRole", "iam:GetRolePolicy"], [
            f"arn:aws:iam::*:instance-profile/{ROLE_NAME}", f"arn:aws:iam::*:role/{ROLE_NAME}",
            "arn:aws:iam::*:role/*AWSServiceRoleForEC2Spot"]),
        _statement("PublicAmi", ["ssm:GetParameter*"], "arn:aws:ssm:*:*:parameter/aws/service/*"),
        _statement("LaunchNew", [
            "ec2:RunInstances", "ec2:CreateFleet", "ec2:CreateVolume", "ec2:CreateSnapshot", "ec2:CreateLaunchTemplate",
        ], [f"{ec2}instance/*", f"{ec2}volume/*", f"{ec2}fleet/*", "arn:aws:ec2:*::snapshot/*",
            f"{ec2}launch-template/*", f"{ec2}spot-instances-request/*"],
            {"StringEquals": {"aws:RequestTag/runctl:managed": "true"}}),
        _statement("LaunchUse", ["ec2:RunInstances", "ec2:CreateFleet"], ["arn:aws:ec2:*::image/*", *(
            f"{ec2}{kind}/*" for kind in ("subnet", "security-group", "network-interface", "launch-template",
                                          "key-pair", "placement-group", "capacity-reservation")),
            "arn:aws:ec2:*::snapshot/*"]),
        _statement("TagOnCreate", ["ec2:CreateTags"], f"{ec2}*/*", {"StringEquals": {"ec2:CreateAction": [
            "RunInstances", "CreateFleet", "CreateVolume", "CreateSnapshot", "CreateLaunchTemplate"]}}),
        _statement("Own", [
            "ec2:TerminateInstances", "ec2:StopInstances", "ec2:StartInstances", "ec2:ModifyInstanceAttribute",
            "ec2:CancelSpotInstanceRequests", "ec2:AttachVolume", "ec2:DetachVolume", "ec2:DeleteVolume",
            "ec2:DeleteSnapshot", "ec2:CreateSnapshot", "ec2:DeleteLaunchTemplate", "ec2:DeleteFleets",
            "ec2:DeregisterImage", "ec2:GetConsoleOutput",
        ], "*", _OWN),
        # Of what is ours the one tag that protects it; "Null", since DeleteTags without keys takes off all tags.
        _statement("Protect", ["ec2:CreateTags", "ec2:DeleteTags"], f"{ec2}instance/*", {
            **_OWN,
            "Null": {"aws:TagKeys": "false"},
            "ForAllValues:StringEquals": {"aws:TagKeys": ["runctl:protected"]},
        }),
        _statement("ListSchedules", [
            "scheduler:ListScheduleGroups", "scheduler:ListSchedules", "scheduler:ListTagsForResource"], "*"),
        # Only groups of schedules have tags: a name is what tells ours.
        _statement("OwnSchedules", ["scheduler:DeleteSchedule"], "arn:aws:scheduler:*:*:schedule/runctl*/*"),
        _statement("SendDocument", ["ssm:SendCommand", "ssm:StartSession"], [
            "arn:aws:ssm:*::document/AWS-RunShellScript", "arn:aws:ssm:*::document/AWS-StartPortForwardingSession"]),
        _statement("SendInstance", ["ssm:SendCommand", "ssm:StartSession"], f"{ec2}instance/*",
                   {"StringEquals": {"ssm:resourceTag/runctl:managed": "true"}}),
        _statement("PassRole", ["iam:PassRole"], f"arn:aws:iam::*:role/{ROLE_NAME}",
                   {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}),
        _statement("SpotRole", ["iam:CreateServiceLinkedRole"], "*",
                   {"StringEquals": {"iam:AWSServiceName": "spot.amazonaws.com"}}),
        *_secret_statements(
            ["ssm:PutParameter", "ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath",
             "ssm:DeleteParameter", "ssm:DeleteParameters", "ssm:AddTagsToResource"],
            ["secretsmanager:CreateSecret", "secretsmanager:PutSecretValue", "secretsmanager:UpdateSecret",
             "secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue", "secretsmanager:DeleteSecret",
             "secretsmanager:TagResource"],
        ),
        *_bucket_statements(
            "s3:GetBucketPublicAccessBlock", "s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration"),
    ]}  # fmt: skip


def instance_role_policy() -> dict[str, Any]:
    """Allow what runs on an instance the SSM agent's own calls, the bucket and the jobs' secrets: no ec2, no iam.

    Not AWS's AmazonSSMManagedInstanceCore, which lets a machine read every parameter of the account.
    """
    return {"Version": "2012-10-17", "Statement": [
        _statement("Agent", [
            "ssm:UpdateInstanceInformation", "ssm:ListInstanceAssociations", "ssm:ListAssociations",
            "ssm:GetDocument", "ssm:DescribeDocument", "ssmmessages:*", "ec2messages:*",
        ], "*"),
        *_secret_statements(["ssm:GetParameter"], ["secretsmanager:GetSecretValue"]),
        *_bucket_statements(),
    ]}  # fmt: skip


ADMINISTRATOR_ACCESS: Document = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "*", "Resource": "*"}]}  # fmt: skip
"""AWS's managed policy of this name."""


def instance_trust_policy() -> dict[str, Any]:
    """Who may take the instance role: EC2, on behalf of an instance."""
    return {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}  # fmt: skip
