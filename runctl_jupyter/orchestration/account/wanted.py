"""What the account should have: the names and documents that `setup` makes, `--print` shows and `doctor` looks for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from runctl_jupyter.orchestration.account.policies import (
    MANAGED_POLICY_CHARACTERS,
    ROLE,
    ROLE_POLICIES_CHARACTERS,
    Document,
    instance_policy,
    trust_policy,
    user_policy,
    written,
)
from runctl_jupyter.orchestration.aws.bucket_settings import LifecycleRule

TEMPORARY = "tmp/"
"""Below the record's prefix: what nobody needs after some days."""
_ABORT_AFTER_DAYS = 7
_TEMPORARY_DAYS = 7


def default_bucket(account: str, region: str) -> str:
    """Return the name of the bucket that `setup` makes when nobody names one.

    It stands in errors and outputs that notebooks keep, so it does not say the account's number; the same account and
    region always lead to the same name. A bucket of another name that was made before is found by the settings.
    """
    if not account.isdigit():
        return f"runctl-{account}-{region}"  # a word that stands for the number: nothing is known of the account
    return f"runctl-{hashlib.sha256(account.encode()).hexdigest()[:10]}-{region}"


@dataclass(frozen=True)
class Wanted:
    """Names and documents for one account, region and bucket."""

    bucket: str
    region: str
    account: str
    role: str = ROLE
    prefix: str = "runctl"
    partition: str = "aws"

    @property
    def trust(self) -> Document:
        """Who may take the instance role."""
        return trust_policy(partition=self.partition)

    @property
    def role_policy(self) -> Document:
        """What the instance role may do."""
        return instance_policy(self.bucket, partition=self.partition)

    @property
    def user_policy(self) -> Document:
        """What a person needs."""
        return user_policy(self.bucket, role=self.role, partition=self.partition)

    @property
    def role_policy_text(self) -> str:
        """The role's policy as IAM takes it."""
        return written(self.role_policy, ROLE_POLICIES_CHARACTERS)

    @property
    def user_policy_text(self) -> str:
        """The person's policy as IAM takes it."""
        return written(self.user_policy, MANAGED_POLICY_CHARACTERS)

    def lifecycle(self) -> list[LifecycleRule]:
        """Return our rules: parts of uploads that never ended are billed like objects until somebody aborts them."""
        return [
            {
                "ID": "runctl-abort-uploads",
                "Status": "Enabled",
                "Filter": {"Prefix": ""},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _ABORT_AFTER_DAYS},
            },
            {
                "ID": "runctl-temporary",
                "Status": "Enabled",
                "Filter": {"Prefix": "/".join((self.prefix.strip("/"), TEMPORARY))},
                "Expiration": {"Days": _TEMPORARY_DAYS},
            },
        ]

    def with_ours(self, rules: list[LifecycleRule]) -> list[LifecycleRule] | None:
        """Return `rules` with ours among them as they should be; None when they are."""
        ours = {rule["ID"]: rule for rule in self.lifecycle()}
        there = {rule.get("ID"): rule for rule in rules}
        if all(same_rule(there.get(name), rule) for name, rule in ours.items()):
            return None
        return [*(rule for rule in rules if rule.get("ID") not in ours), *ours.values()]


def same_rule(found: LifecycleRule | None, wanted: LifecycleRule) -> bool:
    """Return whether S3 gives back the rule that was written, which it may with more in it."""
    return found is not None and all(_has(found.get(key), value) for key, value in wanted.items())


def _has(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(_has(found.get(key), value) for key, value in wanted.items())
    return bool(found == wanted)
