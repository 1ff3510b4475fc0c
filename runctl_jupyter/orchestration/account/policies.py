"""IAM policies: what a person needs who uses runctl, what a machine of ours needs, and who may be such a machine.

Actions, resources and condition keys: Service Authorization Reference. Sizes: IAM User Guide, "IAM and STS quotas".
Ours is told by the tag ``runctl:managed``: it has to be set on what is created, and has to be there on what is
changed; tags are only ever set while something is created, so that nobody tags a foreign machine into reach.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from runctl_jupyter.orchestration.errors import ConfigInvalid

Document = dict[str, Any]

ROLE = "runctl-instance"
"""Name of the instance role, of its profile and of the policy in it."""
SPOT_SERVICE = "spot.amazonaws.com"
SPOT_ROLE = "AWSServiceRoleForEC2Spot"

MANAGED_POLICY_CHARACTERS = 6_144
"""Largest managed policy, white space not counted."""
ROLE_POLICIES_CHARACTERS = 10_240
"""Largest sum of the inline policies of a role."""

_VERSION = "2012-10-17"
_REQUEST_IS_OURS = {"StringEquals": {"aws:RequestTag/runctl:managed": "true"}}
_IS_OURS = {"StringEquals": {"aws:ResourceTag/runctl:managed": "true"}}
_OBJECTS = (
    "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts",
    "s3:GetObjectTagging", "s3:PutObjectTagging",
)  # fmt: skip
_BUCKET = ("s3:ListBucket", "s3:ListBucketMultipartUploads")


def user_policy(bucket: str, *, role: str = ROLE, partition: str = "aws") -> Document:
    """Return what a person needs for every verb, with `bucket` and machines that take `role`."""
    iam = f"arn:{partition}:iam::*:"
    reads = [
        "ec2:Describe*", "ec2:GetSpotPlacementScores", "ssm:DescribeInstanceInformation",
        "ssm:GetCommandInvocation", "ssm:ListCommandInvocations", "ssm:ListCommands", "ssm:CancelCommand",
        "ssm:GetConnectionStatus", "pricing:GetProducts", "servicequotas:GetServiceQuota",
        "servicequotas:ListServiceQuotas", "servicequotas:GetAWSDefaultServiceQuota", "ecr:GetAuthorizationToken",
        "sts:DecodeAuthorizationMessage", "cloudwatch:GetMetricStatistics",
    ]  # fmt: skip
    return _document(
        _allow("Read", reads, "*"),
        _allow(
            "ReadSetup",
            ["iam:GetInstanceProfile", "iam:GetRole", "iam:GetRolePolicy"],
            [
                f"{iam}instance-profile/{role}",
                f"{iam}role/{role}",
                f"{iam}role/*{SPOT_ROLE}",  # with its path, or without while there is none
            ],
        ),
        _allow("PublicAmi", ["ssm:GetParameter*"], f"arn:{partition}:ssm:*:*:parameter/aws/service/*"),
        *_launching(partition),
        _allow(
            "Own",
            [
                "ec2:TerminateInstances", "ec2:StopInstances", "ec2:StartInstances", "ec2:ModifyInstanceAttribute",
                "ec2:CancelSpotInstanceRequests", "ec2:AttachVolume", "ec2:DetachVolume", "ec2:DeleteVolume",
                "ec2:DeleteSnapshot", "ec2:CreateSnapshot", "ec2:DeleteLaunchTemplate", "ec2:DeleteFleets",
                "ec2:DeregisterImage", "ec2:GetConsoleOutput",
            ],
            "*",
            _IS_OURS,
        ),
        # Of what is ours the one tag that protects it; "Null", since DeleteTags without keys takes off all tags.
        _allow(
            "Protect",
            ["ec2:CreateTags", "ec2:DeleteTags"],
            f"arn:{partition}:ec2:*:*:instance/*",
            {
                **_IS_OURS,
                "Null": {"aws:TagKeys": "false"},
                "ForAllValues:StringEquals": {"aws:TagKeys": ["runctl:protected"]},
            },
        ),
        _allow(
            "ListSchedules",
            ["scheduler:ListScheduleGroups", "scheduler:ListSchedules", "scheduler:ListTagsForResource"],
            "*",
        ),
        # Only groups of schedules have tags: a name is what tells ours.
        _allow("OwnSchedules", ["scheduler:DeleteSchedule"], f"arn:{partition}:scheduler:*:*:schedule/runctl*/*"),
        *_commands(partition),
        _allow(
            "PassRole",
            ["iam:PassRole"],
            f"{iam}role/{role}",
            {"StringEquals": {"iam:PassedToService": _ec2_principal(partition)}},
        ),
        _allow(
            "SpotRole",
            ["iam:CreateServiceLinkedRole"],
            "*",
            {"StringEquals": {"iam:AWSServiceName": SPOT_SERVICE}},
        ),
        *_secrets(
            partition,
            [
                "ssm:PutParameter", "ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath",
                "ssm:DeleteParameter", "ssm:DeleteParameters", "ssm:AddTagsToResource",
            ],
            [
                "secretsmanager:CreateSecret", "secretsmanager:PutSecretValue", "secretsmanager:UpdateSecret",
                "secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue", "secretsmanager:DeleteSecret",
                "secretsmanager:TagResource",
            ],
        ),
        *_storage(
            bucket,
            partition,
            ["s3:GetBucketPublicAccessBlock", "s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration"],
        ),
    )  # fmt: skip


def instance_policy(bucket: str, *, partition: str = "aws") -> Document:
    """Return what a machine needs: its SSM agent's calls, the bucket, the jobs' secrets; nothing of EC2 or IAM.

    Not AWS's AmazonSSMManagedInstanceCore, which lets a machine read every parameter of the account.
    """
    agent = [
        "ssm:UpdateInstanceInformation", "ssm:ListInstanceAssociations", "ssm:ListAssociations", "ssm:GetDocument",
        "ssm:DescribeDocument", "ssmmessages:*", "ec2messages:*",
    ]  # fmt: skip
    return _document(
        _allow("Agent", agent, "*"),
        *_secrets(partition, ["ssm:GetParameter"], ["secretsmanager:GetSecretValue"]),
        *_storage(bucket, partition),
    )


def trust_policy(*, partition: str = "aws") -> Document:
    """Return who may take the instance role: EC2, on behalf of an instance."""
    principal = {"Service": _ec2_principal(partition)}
    return {
        "Version": _VERSION,
        "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}],
    }


def written(document: Mapping[str, Any], most: int) -> str:
    """Return a policy as JSON without white space.

    Raises
    ------
    ConfigInvalid
        It is longer than IAM takes: names of bucket or role are too long.
    """
    text = json.dumps(document, separators=(",", ":"))
    if len(text) > most:
        raise ConfigInvalid(
            f"The policy is {len(text):,} characters long; IAM takes {most:,}.", "Choose a shorter name of the bucket."
        )
    return text


def _document(*statements: Document) -> Document:
    return {"Version": _VERSION, "Statement": list(statements)}


def _allow(
    sid: str, actions: Sequence[str], resources: str | list[str], condition: Mapping[str, Any] | None = None
) -> Document:
    statement: Document = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resources}
    return {**statement, "Condition": condition} if condition else statement


def _launching(partition: str) -> list[Document]:
    here, anybodys = f"arn:{partition}:ec2:*:*:", f"arn:{partition}:ec2:*::"
    made = [f"{here}instance/*", f"{here}volume/*", f"{here}fleet/*", f"{anybodys}snapshot/*",
            f"{here}launch-template/*", f"{here}spot-instances-request/*"]  # fmt: skip
    kinds = ("subnet", "security-group", "network-interface", "launch-template", "key-pair", "placement-group",
             "capacity-reservation")  # fmt: skip
    used = [f"{anybodys}image/*", *(f"{here}{kind}/*" for kind in kinds), f"{anybodys}snapshot/*"]
    creating = ["RunInstances", "CreateFleet", "CreateVolume", "CreateSnapshot", "CreateLaunchTemplate"]  # fmt: skip
    actions = ["ec2:RunInstances", "ec2:CreateFleet", "ec2:CreateVolume", "ec2:CreateSnapshot",
               "ec2:CreateLaunchTemplate"]  # fmt: skip
    return [
        _allow("LaunchNew", actions, made, _REQUEST_IS_OURS),
        _allow("LaunchUse", ["ec2:RunInstances", "ec2:CreateFleet"], used),
        _allow("TagOnCreate", ["ec2:CreateTags"], f"{here}*/*", {"StringEquals": {"ec2:CreateAction": creating}}),
    ]


def _commands(partition: str) -> list[Document]:
    """Statements about commands: a document and a machine, each by a statement of its own (Systems Manager)."""
    sends, ours = ["ssm:SendCommand", "ssm:StartSession"], {"StringEquals": {"ssm:resourceTag/runctl:managed": "true"}}
    documents = [
        f"arn:{partition}:ssm:*::document/AWS-RunShellScript",
        f"arn:{partition}:ssm:*::document/AWS-StartPortForwardingSession",
    ]
    return [
        _allow("SendDocument", sends, documents),
        _allow("SendInstance", sends, f"arn:{partition}:ec2:*:*:instance/*", ours),
    ]


def _secrets(partition: str, parameter_actions: list[str], secret_actions: list[str]) -> list[Document]:
    """Statements about the secrets of jobs: names under ``runctl/``, and nobody's else in the account."""
    return [
        _allow("Parameters", parameter_actions, f"arn:{partition}:ssm:*:*:parameter/runctl/*"),
        _allow("Secrets", secret_actions, f"arn:{partition}:secretsmanager:*:*:secret:runctl/*"),
    ]


def _storage(bucket: str, partition: str, more: Sequence[str] = ()) -> list[Document]:
    return [
        _allow("BucketObjects", _OBJECTS, f"arn:{partition}:s3:::{bucket}/*"),
        _allow("BucketItself", [*_BUCKET, *more], f"arn:{partition}:s3:::{bucket}"),
    ]


def _ec2_principal(partition: str) -> str:
    return "ec2.amazonaws.com.cn" if partition == "aws-cn" else "ec2.amazonaws.com"
