"""Checks of who and where you are, and of what `setup` makes: credentials, clock, region, bucket, roles."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from datetime import timedelta
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.account.checkup import Answer
from runctl_jupyter.orchestration.account.policies import SPOT_ROLE, SPOT_SERVICE, instance_policy
from runctl_jupyter.orchestration.account.wanted import Wanted
from runctl_jupyter.orchestration.aws.bucket_settings import BucketSettings
from runctl_jupyter.orchestration.aws.credentials import CredentialFacts
from runctl_jupyter.orchestration.aws.failures import masked
from runctl_jupyter.orchestration.aws.iam import Iam, Role
from runctl_jupyter.orchestration.aws.identity import Identity, who_am_i
from runctl_jupyter.orchestration.aws.regions import region_status
from runctl_jupyter.orchestration.errors import CredentialsMissing, PermissionDenied, RunctlError
from runctl_jupyter.orchestration.units import duration_text
from runctl_jupyter.run_record import now

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.session import AwsSession
    from runctl_jupyter.orchestration.config import Settings


_SOON = timedelta(hours=1)
_CLOCK_WARNING_S, _CLOCK_BLOCKED_S = 60.0, 300.0
"""AWS refuses signatures that are more than five minutes off (IAM User Guide, "Elements of an AWS API request
signature"); S3 takes fifteen."""
_FOR_WHOM_S = 0.5
"""How long the bucket's check waits to know the account, of which it asks whether it owns the bucket."""


def credentials_told(facts: CredentialFacts) -> Answer:
    """Say where credentials come from and whether they end soon."""
    where = ("of the target" if facts.method == "explicit" else f"from {facts.method}") + (
        f", profile {facts.profile}" if facts.profile else ""
    )
    if facts.ends_at is None:
        return "ok", where
    left = facts.ends_at - now()
    profile = f" --profile {facts.profile}" if facts.profile else ""
    said = f"{where}; the sign-in ends in {duration_text(max(left.total_seconds(), 0))}"
    return ("ok", said) if left > _SOON else ("warning", said, f"aws sso login{profile}")


class PlaceChecks:
    """Checks of one session.

    Parameters
    ----------
    session
        Asks once, and not for long.
    """

    def __init__(self, session: AwsSession, settings: Settings) -> None:
        self._session, self._settings = session, settings
        self._identity: Future[Identity] = Future()
        self._role: Future[Role | None] = Future()
        self._lock = threading.Lock()

    def identity(self) -> Answer:
        """Who we are; everything else hangs on it."""
        try:
            found = who_am_i(self._session)
        except RunctlError as error:
            self._identity.set_exception(error)
            raise
        self._identity.set_result(found)
        who = masked(found.name)
        if found.name == "root":
            return (
                "warning",
                "the account's root user, whom nothing limits",
                "Use a user of your own: runctl setup --print",
            )
        return "ok", who

    def clock(self) -> Answer:
        """Whether this computer's time is AWS's: signatures hold for minutes."""
        ahead = self._identity.result().clock_ahead_s
        if ahead is None:
            return "warning", "AWS did not send its time", "Compare it yourself: date -u"
        said = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} AWS"
        fix = "Let this computer set its clock by the network: timedatectl set-ntp true"
        if abs(ahead) >= _CLOCK_BLOCKED_S:
            return "blocked", f"{said}: AWS refuses what is signed so", fix
        return ("warning", said, fix) if abs(ahead) >= _CLOCK_WARNING_S else ("ok", said)

    def region(self) -> Answer:
        """Whether the account may use the region."""
        name = self._session.region
        status = region_status(self._session, name)
        if status == "not-opted-in":
            return "blocked", f"{name} is not enabled", f"aws account enable-region --region-name {name}"
        return "ok", name

    def bucket(self) -> Answer:
        """Whether the bucket is there, ours, near, private and encrypted."""
        name, region = self._session.connection.bucket, self._session.region
        if name is None:
            return "blocked", "none is set", "runctl setup"
        bucket = BucketSettings(self._session, name, self._account())
        found = bucket.find()
        if found is None:
            return "blocked", f"there is no bucket {name}", "runctl setup"
        if found.region not in (None, region):
            return (
                "warning",
                f"{name} is in {found.region}, machines are in {region}: slow, and every byte between is billed",
                "runctl setup --bucket B makes one in this region",
            )
        try:
            lacks = [
                what
                for what, there in (
                    ("a block of public access", bucket.private()),
                    ("encryption", bucket.encrypted()),
                    ("an end for uploads that never ended", self._wanted(name).with_ours(bucket.lifecycle()) is None),
                )
                if not there
            ]
        except PermissionDenied as error:
            return "warning", f"{name} is there; its settings are not known. {error.what}", error.to_resolve
        if lacks:
            return "warning", f"{name} lacks {', '.join(lacks)}", "runctl setup"
        return "ok", f"{name}: private, encrypted"

    def role(self) -> Answer:
        """Whether machines have a role that EC2 may give them."""
        name, iam = self._settings.launch.instance_profile, Iam(self._session)
        try:
            roles = iam.profile_roles(name)
            role = iam.role(roles[0]) if roles else None
        except RunctlError as error:
            self._role.set_exception(error)
            raise
        self._role.set_result(role)
        if roles is None:
            return "blocked", f"there is no instance profile {name}", "runctl setup"
        if role is None:
            return "blocked", f"instance profile {name} holds no role", "runctl setup"
        if not role.lets_ec2_in:
            return "blocked", f"role {role.name} does not let EC2 take it", "runctl setup"
        return "ok", f"{name}, for EC2"

    def rights(self) -> Answer:
        """Whether the machines' role may do what a machine does: report to Systems Manager, write to the bucket."""
        role, bucket = self._role.result(), self._session.connection.bucket
        if role is None or bucket is None:
            return "warning", "not known without role and bucket", "runctl setup"
        iam, partition = Iam(self._session), role.arn.split(":")[1]
        if iam.role_policy(role.name, role.name) == instance_policy(bucket, partition=partition):
            return "ok", f"bucket {bucket} and Systems Manager, nothing else"
        missing = iam.simulated(role.arn, ["ssm:UpdateInstanceInformation"], "*")
        prefix = self._settings.prefix.strip("/")
        objects = f"arn:{partition}:s3:::{bucket}/{prefix}/x"
        missing += iam.simulated(role.arn, ["s3:GetObject", "s3:PutObject"], objects)
        if missing:
            return "blocked", f"role {role.name} may not {', '.join(missing)}", "runctl setup"
        return "ok", f"enough, though not as runctl setup writes them, for {bucket}"

    def spot_role(self) -> Answer:
        """Whether the account has the role that spot machines take."""
        if Iam(self._session).role(SPOT_ROLE) is None:
            return (
                "warning",
                "the account has never used spot: its first spot machine needs a role",
                f"runctl setup, or: aws iam create-service-linked-role --aws-service-name {SPOT_SERVICE}",
            )
        return "ok", SPOT_ROLE

    def _wanted(self, bucket: str) -> Wanted:
        return Wanted(bucket, self._session.region, "", self._settings.launch.instance_profile, self._settings.prefix)

    def _account(self) -> str | None:
        try:
            return self._identity.result(_FOR_WHOM_S).account
        except CredentialsMissing:
            raise  # S3 would say no more than 403
        except (NotYet, RunctlError):
            return None  # of whom it is cannot be asked then; whether it is there and may be used can
