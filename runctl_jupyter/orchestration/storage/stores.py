"""Makes stores: of the record, and of any bucket that an address names."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.errors import ConfigInvalid
from runctl_jupyter.orchestration.storage.bucket import BucketStore
from runctl_jupyter.orchestration.storage.folder import ListableFolder

if TYPE_CHECKING:
    from pathlib import Path

    from runctl_jupyter.orchestration.aws.session import AwsSession
    from runctl_jupyter.orchestration.storage.bucket import PlainS3
    from runctl_jupyter.orchestration.storage.options import S3Options
    from runctl_jupyter.orchestration.storage.store import Store


def bucket_store(
    session: AwsSession,
    bucket: str,
    prefix: str = "",
    *,
    options: S3Options | None = None,
    plain: PlainS3 | None = None,
    patient: bool = False,
) -> BucketStore:
    """Return a store for `bucket` with the session's credentials; see `BucketStore`."""
    env = session.connection.env
    endpoint = (options.endpoint_url if options is not None else None) or session.s3_endpoint()
    common: dict[str, Any] = {"endpoint": endpoint, "options": options, "plain": plain, "patient": patient}
    if env:
        keys = (env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
        region = session.connection.region or "us-east-1"
        return BucketStore(bucket, prefix, region, keys=keys, **common)
    from obstore.auth.boto3 import Boto3CredentialProvider

    # boto3 renews keys ten minutes before they expire; kept for longer here, they would expire all the same.
    provider = Boto3CredentialProvider(session.boto3_session, ttl=timedelta(minutes=8))
    return BucketStore(bucket, prefix, session.region, credential_provider=provider, **common)


def record_store(session: AwsSession | None, prefix: str, local_root: Path) -> Store:
    """Return the store of the run record: the connection's bucket, or a folder without one.

    Raises
    ------
    CredentialsMissing, ConfigInvalid
        There are no credentials, or no bucket is configured.
    """
    if session is None:
        return ListableFolder(local_root)
    session.check()
    bucket = session.connection.bucket
    if bucket is None:
        raise ConfigInvalid(
            "No bucket is set for the run record.",
            "Make one with runctl setup, or name yours: runctl use aws --bucket NAME (or RUNCTL_BUCKET).",
        )
    return bucket_store(session, bucket, prefix)
