"""The S3 call that the object-store library lacks: one level of a bucket, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.aws.failures import aws_errors, code_of
from runctl_jupyter.orchestration.errors import InvalidRequest, StorageUnavailable
from runctl_jupyter.orchestration.model import ObjectEntry, ObjectPage, PrefixEntry

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.session import AwsSession


class S3:
    """S3 of one session."""

    def __init__(self, session: AwsSession) -> None:
        self._session = session

    def page(self, bucket: str, prefix: str, token: str | None, prefix_filter: str, limit: int) -> ObjectPage:
        """Return a page of the level under `prefix`, which is empty or ends in ``/``; see `Storage.page`."""
        from botocore.exceptions import ClientError

        request: dict[str, Any] = {"ContinuationToken": token} if token is not None else {}
        with aws_errors(f"list bucket {bucket!r}"):
            try:
                answer = self._session.s3.list_objects_v2(
                    Bucket=bucket, Prefix=prefix + prefix_filter, Delimiter="/", MaxKeys=limit, **request
                )
            except ClientError as error:
                if code_of(error) == "NoSuchBucket":
                    raise StorageUnavailable(
                        f"There is no bucket {bucket!r}.", "Name another with --bucket, or create it in this account."
                    ) from error
                if code_of(error) == "InvalidArgument" and token is not None:
                    raise InvalidRequest(
                        "S3 does not know this place in the list.", "Begin again with the first page."
                    ) from error
                raise
        below = [each.get("Prefix", "") for each in answer.get("CommonPrefixes", [])]
        return ObjectPage(
            uri=f"s3://{bucket}/{prefix}",
            prefixes=[PrefixEntry(_name(key), f"s3://{bucket}/{key}") for key in below],
            objects=[
                ObjectEntry(_name(each["Key"]), f"s3://{bucket}/{each['Key']}", each["Size"], each["LastModified"])
                for each in answer.get("Contents", [])
                if each["Key"] != prefix  # an empty object that some tools write to have a folder
            ],
            next=answer.get("NextContinuationToken"),
        )


def _name(key: str) -> str:
    return key.rstrip("/").rpartition("/")[2]
