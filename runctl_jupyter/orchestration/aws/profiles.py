"""Instance profiles: whether one is so new that EC2 may not know it yet."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from runctl_jupyter.run_record import now

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.session import AwsSession

_NEW = timedelta(minutes=15)


def may_be_new(session: AwsSession, name: str) -> bool:
    """Return whether an instance profile, or its role, was made a moment ago, as IAM says.

    When IAM may not tell us: no. Then it is more likely misspelt, and waiting would only hide that.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        profile = session.iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    except (ClientError, BotoCoreError):
        return False
    begun = [profile["CreateDate"], *(role["CreateDate"] for role in profile["Roles"])]
    return now() - max(begun) < _NEW
