"""Instance profiles: whether one is so new that EC2 may not know it yet."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.aws.failures import code_of
from runctl_jupyter.run_record import now

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.session import AwsSession

_NEW = timedelta(minutes=15)


def may_be_new(session: AwsSession, name: str) -> bool:
    """Return whether an instance profile was made a moment ago, as IAM says; also when it may not tell us."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        profile = session.iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    except ClientError as error:
        return code_of(error) != "NoSuchEntity"
    except BotoCoreError:
        return True
    begun = [profile["CreateDate"], *(role["CreateDate"] for role in profile["Roles"])]
    return now() - max(begun) < _NEW
