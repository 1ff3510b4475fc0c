"""Whether AWS would let us: requests that say ``DryRun`` and change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.aws.failures import aws_errors, code_of

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.session import AwsSession

_WOULD = "DryRunOperation"
"""The error that says that there would have been none (EC2 API reference, RunInstances, DryRun)."""


def may_launch(
    session: AwsSession, *, instance_type: str, image_id: str, instance_profile: str, subnet: str | None = None
) -> None:
    """Ask whether a machine of ours may be launched and be given its role; says nothing of quota and capacity.

    Raises
    ------
    PermissionDenied
        Naming what is missing.
    LaunchRefused, InvalidRequest
        Type, image or profile cannot be used.
    """
    from botocore.exceptions import ClientError

    tags = [{"Key": "runctl:managed", "Value": "true"}]
    request: Any = {
        "ImageId": image_id,
        "InstanceType": instance_type,
        "MinCount": 1,
        "MaxCount": 1,
        "IamInstanceProfile": {"Name": instance_profile},
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
        **({"SubnetId": subnet} if subnet else {}),
    }
    with aws_errors(f"launch {instance_type}"):
        try:
            session.launcher.run_instances(DryRun=True, **request)
        except ClientError as error:
            if code_of(error) != _WOULD:
                raise
