"""Where the credentials come from and how long they last, as far as it can be said without asking AWS."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.aws.failures import aws_errors, no_credentials
from runctl_jupyter.run_record import from_iso

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.session import AwsSession

_SAID_BY_ENVIRONMENT = (
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)
_SSO_CACHE = Path("~/.aws/sso/cache")


@dataclass(frozen=True)
class CredentialFacts:
    """What is known of credentials."""

    method: str
    """boto3's word for what provides them, e.g. ``env``, ``sso``, ``shared-credentials-file``, ``iam-role``."""
    profile: str | None
    ends_at: datetime | None = None
    """When a sign-in ends that cannot renew itself."""


def credential_facts(session: AwsSession) -> CredentialFacts:
    """Return what is known, after fetching credentials that have to be fetched.

    Raises
    ------
    CredentialsMissing, ConfigInvalid
        There are none, or they have ended.
    """
    profile = session.connection.profile
    with aws_errors("fetch credentials"):
        found = session.boto3_session.get_credentials()
        if found is None:
            raise no_credentials()
        found.get_frozen_credentials()
    ends_at = end_of_sign_in(profile) if found.method == "sso" else None
    return CredentialFacts(found.method or "unknown", profile, ends_at)


def metadata_alone_is_left(profile: str | None) -> bool:
    """Return whether nothing on this computer says where credentials are, so that boto3 can only ask for an instance's.

    Boto3 guide, "Credentials": the metadata service is the last of those that are asked.
    """
    import botocore.session
    from botocore.exceptions import BotoCoreError

    if profile is not None or any(os.environ.get(name) for name in _SAID_BY_ENVIRONMENT):
        return False
    try:
        return not botocore.session.Session().full_config.get("profiles")
    except BotoCoreError:
        return False  # a file that cannot be read is there all the same


def end_of_sign_in(profile: str | None) -> datetime | None:
    """Return when the IAM Identity Center sign-in of a profile ends; None when it renews itself or is not there."""
    import botocore.session
    from botocore.exceptions import BotoCoreError
    from botocore.utils import JSONFileCache, SSOTokenLoader

    core = botocore.session.Session(profile=profile)  # boto3 shows its settings nowhere
    try:
        scoped = core.get_scoped_config()
        name = scoped.get("sso_session")
        shared = core.full_config.get("sso_sessions", {}).get(name, {}) if name else scoped
        start = shared.get("sso_start_url")
        if start is None:
            return None
        token = SSOTokenLoader(JSONFileCache(str(_SSO_CACHE.expanduser())))(start, name)
    except BotoCoreError:
        return None  # whether it is good has been found out above; here only its end is looked up
    return None if token.get("refreshToken") else from_iso(token["expiresAt"])
