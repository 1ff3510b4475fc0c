"""What `setup` would do, for an administrator to do: the policies, and the lines of the AWS CLI."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runctl_jupyter.orchestration.account.policies import SPOT_SERVICE, Document
from runctl_jupyter.orchestration.account.wanted import Wanted
from runctl_jupyter.orchestration.aws.bucket_settings import ALL_PRIVATE, ENCRYPTED
from runctl_jupyter.orchestration.model import Value

USER_POLICY_NAME = "runctl-user"
_REPLACES = (
    "put-bucket-lifecycle-configuration replaces all rules of a bucket: if it is there and has some, look at them "
    "first (aws s3api get-bucket-lifecycle-configuration) and add them to those here; runctl setup keeps them."
)
_OURS = [{"Key": "runctl:managed", "Value": "true"}]


@dataclass(frozen=True)
class SetupByHand(Value):
    """Policies and commands; nothing has been done."""

    bucket: str
    role: str
    trust_policy: Document
    role_policy: Document
    user_policy: Document
    commands: list[str]
    """Lines of the AWS CLI that an administrator runs, in this order."""
    warning: str = _REPLACES
    """What one of them does to a bucket that is there already."""
    note: str = ""
    """What could not be filled in."""


def by_hand(wanted: Wanted, note: str = "") -> SetupByHand:
    """Return what to do for `wanted`."""
    role, bucket = wanted.role, wanted.bucket
    here = {"bucket": bucket, "region": wanted.region}
    place = {} if wanted.region == "us-east-1" else {
        "create-bucket-configuration": {"LocationConstraint": wanted.region}}  # fmt: skip
    commands = [
        _line("s3api create-bucket", {**here, **place}),
        _line("s3api put-public-access-block", {**here, "public-access-block-configuration": ALL_PRIVATE}),
        _line("s3api put-bucket-encryption", {**here, "server-side-encryption-configuration": ENCRYPTED}),
        _line(
            "s3api put-bucket-lifecycle-configuration",
            {**here, "lifecycle-configuration": {"Rules": wanted.lifecycle()}},
        ),
        _line(
            "iam create-role", {"role-name": role, "assume-role-policy-document": wanted.trust, "tags": _OURS}
        ),
        _line(
            "iam put-role-policy", {"role-name": role, "policy-name": role, "policy-document": wanted.role_policy_text}
        ),
        _line("iam create-instance-profile", {"instance-profile-name": role, "tags": _OURS}),
        _line("iam add-role-to-instance-profile", {"instance-profile-name": role, "role-name": role}),
        _line("iam create-service-linked-role", {"aws-service-name": SPOT_SERVICE}),
        _line(
            "iam create-policy", {"policy-name": USER_POLICY_NAME, "policy-document": wanted.user_policy_text}
        ),
    ]  # fmt: skip
    return SetupByHand(bucket, role, wanted.trust, wanted.role_policy, wanted.user_policy, commands, note=note)


def _line(command: str, options: Mapping[str, Any]) -> str:
    words = ["aws", *command.split()]
    for name, value in options.items():
        words += [f"--{name}", value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))]
    return shlex.join(words)
