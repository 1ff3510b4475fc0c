"""A bucket itself: whether it is there and ours, where, and its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.aws.failures import aws_errors, code_of
from runctl_jupyter.orchestration.errors import StorageUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        PublicAccessBlockConfigurationTypeDef,
        ServerSideEncryptionConfigurationTypeDef,
    )

    from runctl_jupyter.orchestration.aws.session import AwsSession

LifecycleRule = dict[str, Any]

ALL_PRIVATE: PublicAccessBlockConfigurationTypeDef = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
"""Nothing in the bucket is for everybody, whatever a policy or an object's list says."""
ENCRYPTED: ServerSideEncryptionConfigurationTypeDef = {
    "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
}

_NO_SETTING = frozenset(
    {
        "NoSuchLifecycleConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)


@dataclass(frozen=True)
class FoundBucket:
    """What HeadBucket says."""

    region: str | None


class BucketSettings:
    """One bucket of the account.

    Parameters
    ----------
    account
        Number of the account that has to own it: names of buckets are the whole world's. None: whoever does.
    """

    def __init__(self, session: AwsSession, name: str, account: str | None) -> None:
        self._session, self._name = session, name
        self._owned: Any = {"Bucket": name, **({"ExpectedBucketOwner": account} if account else {})}

    @property
    def _s3(self) -> S3Client:
        return self._session.s3

    def find(self) -> FoundBucket | None:
        """Return the bucket, or None when nobody has one of this name.

        Raises
        ------
        StorageUnavailable
            Somebody has, but not this account, or this user may not see it.
        """
        from botocore.exceptions import ClientError

        with aws_errors(f"look at bucket {self._name}"):
            try:
                answer = self._s3.head_bucket(**self._owned)
            except ClientError as error:
                # An answer to HEAD has no body, so the code is the status (S3 API reference, HeadBucket).
                status = code_of(error)
                if status in ("404", "NoSuchBucket"):
                    return None
                if status in ("403", "AccessDenied"):
                    raise StorageUnavailable(
                        f"Bucket {self._name} is of another account, or you may not list it.",
                        "Name another with --bucket, or let an administrator see: runctl setup --print",
                    ) from error
                if status == "301":
                    return FoundBucket(error.response["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region"))
                raise
        return FoundBucket(answer.get("BucketRegion") or None)

    def create(self, region: str) -> bool:
        """Make the bucket; False when this account has made it meanwhile.

        Raises
        ------
        StorageUnavailable
            Somebody else has one of this name.
        """
        from botocore.exceptions import ClientError

        # us-east-1 is the place that must not be named (S3 API reference, CreateBucket).
        place: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        with aws_errors(f"make bucket {self._name}"):
            try:
                self._s3.create_bucket(Bucket=self._name, **place)
            except ClientError as error:
                if code_of(error) == "BucketAlreadyOwnedByYou":
                    return False
                if code_of(error) == "BucketAlreadyExists":
                    raise StorageUnavailable(
                        f"The name {self._name} is taken by another account.", "Choose another: runctl setup --bucket B"
                    ) from error
                raise
        return True

    def private(self) -> bool:
        """Return whether public access is blocked in every way."""
        found = self._setting("public access", self._s3.get_public_access_block)
        return found is not None and found["PublicAccessBlockConfiguration"] == ALL_PRIVATE

    def make_private(self) -> None:
        """Block public access in every way."""
        with aws_errors(f"block public access to {self._name}"):
            self._s3.put_public_access_block(**self._owned, PublicAccessBlockConfiguration=ALL_PRIVATE)

    def encrypted(self) -> bool:
        """Return whether objects are encrypted by default, by whatever key."""
        return self._setting("encryption", self._s3.get_bucket_encryption) is not None

    def encrypt(self) -> None:
        """Encrypt objects by default, with keys of S3's own."""
        with aws_errors(f"encrypt {self._name}"):
            self._s3.put_bucket_encryption(**self._owned, ServerSideEncryptionConfiguration=ENCRYPTED)

    def lifecycle(self) -> list[LifecycleRule]:
        """Return the rules by which objects end."""
        found = self._setting("lifecycle", self._s3.get_bucket_lifecycle_configuration)
        return [] if found is None else list(found["Rules"])

    def set_lifecycle(self, rules: list[LifecycleRule]) -> None:
        """Write all the rules."""
        configuration: Any = {"Rules": rules}
        with aws_errors(f"set the lifecycle of {self._name}"):
            self._s3.put_bucket_lifecycle_configuration(**self._owned, LifecycleConfiguration=configuration)

    def _setting(self, what: str, ask: Callable[..., Any]) -> Any | None:
        from botocore.exceptions import ClientError

        with aws_errors(f"read the {what} settings of {self._name}"):
            try:
                return ask(**self._owned)
            except ClientError as error:
                if code_of(error) in _NO_SETTING:
                    return None
                raise
