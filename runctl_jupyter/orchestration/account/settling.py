"""From a person's settings to what the account should have, and back: the bucket that `setup` made is remembered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.account.by_hand import SetupByHand, by_hand
from runctl_jupyter.orchestration.account.setup import Setup, SetupReport
from runctl_jupyter.orchestration.account.wanted import Wanted, default_bucket
from runctl_jupyter.orchestration.aws.identity import Identity, who_am_i
from runctl_jupyter.orchestration.config import user_file
from runctl_jupyter.orchestration.config_file import write_values
from runctl_jupyter.orchestration.errors import AwsRefused, ConfigInvalid, CredentialsMissing

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.session import AwsSession
    from runctl_jupyter.orchestration.config import Settings

_ACCOUNT, _REGION = "ACCOUNT", "REGION"


def wanted_for(settings: Settings, identity: Identity, region: str, bucket: str | None) -> Wanted:
    """Return what the account of `identity` should have.

    Parameters
    ----------
    bucket
        The one in use; None: the default one.
    """
    name = bucket or default_bucket(identity.account, region)
    role = settings.launch.instance_profile
    return Wanted(name, region, identity.account, role, settings.prefix, identity.partition)


def settle(session: AwsSession, settings: Settings) -> SetupReport:
    """Make what is missing in the session's account.

    Raises
    ------
    ConfigInvalid
        Everything is there, but the bucket cannot be written down.
    """
    known = session.connection.bucket
    wanted = wanted_for(settings, who_am_i(session), session.region, known)
    steps = Setup(session, wanted).run()
    config = None
    if known is None:
        config = user_file()
        try:
            write_values(config, {"aws": {"bucket": wanted.bucket, "region": wanted.region}})
        except OSError as error:
            raise ConfigInvalid(
                f"All is made, but {config} cannot be written: {error.strerror}.",
                f"Name the bucket where you work: runctl use aws --bucket {wanted.bucket}",
            ) from error
    return SetupReport(
        wanted.bucket,
        wanted.region,
        wanted.role,
        steps,
        wanted.user_policy,
        None if config is None else str(config),
    )


def settled_by_hand(session: Callable[[], AwsSession], settings: Settings) -> SetupByHand:
    """Return the same for an administrator to do; what cannot be known without credentials is left open."""
    note = ""
    try:
        found = session().in_a_hurry(3.0)
        identity, region, bucket = who_am_i(found), found.region, found.connection.bucket
    except (AwsRefused, ConfigInvalid, CredentialsMissing) as error:
        identity = Identity(_ACCOUNT, f"arn:aws:iam::{_ACCOUNT}:root", None)
        region, bucket = settings.aws.region or _REGION, settings.aws.bucket
        left = [word for word in (_ACCOUNT, _REGION) if bucket is None or word == region]
        note = f"{error.what} Put yours in place of {' and '.join(left)}." if left else error.what
    return by_hand(wanted_for(settings, identity, region, bucket), note)
