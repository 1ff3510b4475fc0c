"""Who we are for AWS, and what its clock says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.aws.failures import aws_errors

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.session import AwsSession


@dataclass(frozen=True)
class Identity:
    """The answer to GetCallerIdentity, which needs no permission."""

    account: str
    arn: str
    clock_ahead_s: float | None
    """By how much this computer's clock is ahead of AWS's; None when AWS did not send its time."""

    @property
    def partition(self) -> str:
        """The part of AWS: ``aws``, ``aws-cn``, ``aws-us-gov``."""
        return self.arn.split(":")[1]

    @property
    def name(self) -> str:
        """The ARN's last part, e.g. ``user/ada``."""
        return self.arn.rsplit(":", 1)[-1]


def who_am_i(session: AwsSession) -> Identity:
    """Return whose credentials these are."""
    with aws_errors("ask who you are"):
        answer = session.sts.get_caller_identity()
    sent = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    ahead = None if sent is None else (datetime.now(UTC) - parsedate_to_datetime(sent)).total_seconds()
    return Identity(answer["Account"], answer["Arn"], ahead)
