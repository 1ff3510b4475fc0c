"""`setup`: bucket, instance role and its profile, the role for spot. Looks first, so that it can be run again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from runctl_jupyter.orchestration.account.policies import SPOT_ROLE, SPOT_SERVICE, Document, written
from runctl_jupyter.orchestration.aws.bucket_settings import BucketSettings
from runctl_jupyter.orchestration.aws.iam import TAG_OURS, Iam, Role
from runctl_jupyter.orchestration.errors import LaunchRefused, PermissionDenied, StorageUnavailable
from runctl_jupyter.orchestration.model import Value

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.account.wanted import Wanted
    from runctl_jupyter.orchestration.aws.session import AwsSession

Deed = Literal["made", "changed", "found"]
_MOST_TRUST = 2048
"""Characters of a trust policy (IAM User Guide, quotas)."""


@dataclass(frozen=True)
class SetupStep(Value):
    """A thing that runctl needs, and what `setup` did about it."""

    deed: Deed
    """``found`` is as it should be, ``changed`` was there and was not."""
    what: str


@dataclass(frozen=True)
class SetupReport(Value):
    """What the account has now."""

    bucket: str
    region: str
    role: str
    steps: Sequence[SetupStep]
    user_policy: Document
    """What each person needs who is no administrator."""
    config: str | None = None
    """File in which the bucket has been written down; None when it was known."""


class Setup:
    """Makes what is missing in one account.

    Parameters
    ----------
    wanted
        What there should be.
    """

    def __init__(self, session: AwsSession, wanted: Wanted) -> None:
        self._iam = Iam(session)
        self._wanted = wanted
        self._bucket = BucketSettings(session, wanted.bucket, wanted.account)

    def run(self) -> list[SetupStep]:
        """Make what is missing and mend what differs; say each thing.

        The role comes first: who lacks rights mostly lacks those of IAM, and then nothing is left half made.

        Raises
        ------
        PermissionDenied
            This takes an administrator.
        StorageUnavailable, LaunchRefused
            Name or place is taken.
        """
        try:
            # Looked at before anything is made: a role beside a profile of somebody else's would be left over.
            roles = self._profile_roles()
            role = self._role()
            return [*role, self._profile(roles), self._spot_role(), *self._bucket_steps()]
        except PermissionDenied as error:
            # What is asked of the administrator is all of it at once, not one statement after the other.
            raise PermissionDenied(
                error.what, "Setup takes an administrator, once: give one what this prints: runctl setup --print"
            ) from error

    def _role(self) -> list[SetupStep]:
        name, iam = self._wanted.role, self._iam
        trust, policy = written(self._wanted.trust, _MOST_TRUST), self._wanted.role_policy_text
        said = f"instance role {name}"
        found = iam.role(name)
        if found is None:
            if iam.create_role(name, trust, "Instances of runctl"):
                iam.set_role_policy(name, name, policy)
                return [SetupStep("made", f"{said}, with its policy")]
            found = iam.role(name)  # somebody was faster
        if found is None or not found.ours:
            return self._foreign_role(found)
        deed: Deed = "found"
        if found.trust != self._wanted.trust:
            iam.set_trust(name, trust)
            deed = "changed"
        steps = [SetupStep(deed, said)]
        before = iam.role_policy(name, name)
        if before == self._wanted.role_policy:
            return [*steps, SetupStep("found", f"policy of {said}")]
        iam.set_role_policy(name, name, policy)
        return [*steps, SetupStep("made" if before is None else "changed", f"policy of {said}")]

    def _foreign_role(self, found: Role | None) -> list[SetupStep]:
        """Accept a role without our tag as it is: what else takes it would lose its trust and its rights."""
        name = self._wanted.role
        if found is None or not found.lets_ec2_in:
            raise LaunchRefused(
                f"Role {name} is not ours (it lacks the tag {TAG_OURS}), and EC2 may not take it.",
                "Name another instance_profile under [launch] in .runctl.toml; or, if nothing else needs the role: "
                f"aws iam tag-role --role-name {name} --tags Key={TAG_OURS},Value=true",
            )
        if self._iam.role_policy(name, name) == self._wanted.role_policy:
            return [SetupStep("found", f"instance role {name}, with its policy")]
        return [
            SetupStep(
                "found",
                f"instance role {name}, which is not ours (no tag {TAG_OURS}) and stays as it is: whether its rights "
                "suffice says runctl doctor",
            )
        ]

    def _profile_roles(self) -> list[str] | None:
        """Return the roles of the profile, which are ours to use; None when there is no such profile."""
        name = self._wanted.role
        roles = self._iam.profile_roles(name)
        if roles and roles != [name]:
            raise LaunchRefused(
                f"Instance profile {name} holds role {roles[0]}, and no profile holds two.",
                f"Take it out (aws iam remove-role-from-instance-profile --instance-profile-name {name} "
                f"--role-name {roles[0]}), or name another instance_profile under [launch] in .runctl.toml.",
            )
        return roles

    def _profile(self, roles: list[str] | None) -> SetupStep:
        name, iam = self._wanted.role, self._iam
        if roles == [name]:
            return SetupStep("found", f"instance profile {name}")
        made = roles is None and iam.create_profile(name)
        if not iam.add_to_profile(name, name):
            self._profile_roles()  # somebody was faster: with our role, or another
        return SetupStep("made" if made else "changed", f"instance profile {name}")

    def _spot_role(self) -> SetupStep:
        there = self._iam.role(SPOT_ROLE) is not None or not self._iam.create_service_role(SPOT_SERVICE)
        return SetupStep("found" if there else "made", f"service-linked role {SPOT_ROLE}")

    def _bucket_steps(self) -> list[SetupStep]:
        name, bucket = self._wanted.bucket, self._bucket
        found = bucket.find()
        made = found is None and bucket.create(self._wanted.region)
        if found is not None and found.region not in (None, self._wanted.region):
            raise StorageUnavailable(
                f"Bucket {name} is in {found.region}, and your region is {self._wanted.region}.",
                f"Use that region (runctl use aws --region {found.region}) or another bucket: runctl setup --bucket B",
            )
        rules = self._wanted.with_ours(bucket.lifecycle())
        return [
            SetupStep("made" if made else "found", f"bucket {name}"),
            _mended("block of public access", bucket.private(), bucket.make_private),
            _mended("encryption", bucket.encrypted(), bucket.encrypt),
            _mended(
                "lifecycle: ends uploads that never ended, and temporary objects",
                rules is None,
                lambda: bucket.set_lifecycle(rules or []),
            ),
        ]


def _mended(what: str, as_it_should_be: bool, mend: Callable[[], None]) -> SetupStep:
    if as_it_should_be:
        return SetupStep("found", what)
    mend()
    return SetupStep("made", what)
