"""The service-linked role without which nothing is bought on the Spot market.

Source: EC2 User Guide ("Service-linked role for Spot Instance requests"): the first request makes it, when who asks
may do that.
"""

from __future__ import annotations

import json

from moto.iam.models import iam_backends

from runctl_jupyter.sandbox.control.access.acting import may
from runctl_jupyter.sandbox.control.access.policies import Permission
from runctl_jupyter.sandbox.control.ec2.launch_rules import refuse
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID

SERVICE, NAME = "spot.amazonaws.com", "AWSServiceRoleForEC2Spot"
_PATH = f"/aws-service-role/{SERVICE}/"


def require_spot_role() -> None:
    """Refuse to buy Spot capacity in an account without the role, unless it can be made now.

    Raises
    ------
    EC2ClientError
        ``AuthFailure.ServiceLinkedRoleCreationNotPermitted``.
    """
    iam = iam_backends[ACCOUNT_ID]["aws"]
    if any(role.name == NAME for role in iam.roles.values()):
        return
    arn = f"arn:aws:iam::{ACCOUNT_ID}:role{_PATH}{NAME}"
    if not may(Permission("iam:CreateServiceLinkedRole", arn, {"iam:awsservicename": [SERVICE]})):
        raise refuse(
            "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
            "The provided credentials do not have permission to create the service-linked role for EC2 Spot Instances.",
        )
    trust = {"Effect": "Allow", "Principal": {"Service": SERVICE}, "Action": "sts:AssumeRole"}
    iam.create_role(
        NAME, json.dumps({"Version": "2012-10-17", "Statement": [trust]}), _PATH, permissions_boundary=None,
        description="Default EC2 Spot Service Linked Role", tags=[], max_session_duration="3600",
        linked_service=SERVICE,
    )  # fmt: skip
