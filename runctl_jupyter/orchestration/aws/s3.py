"""What the object-store library lacks of S3: pages of a level, keys that it cannot name, what S3 tells of the bytes."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.aws.failures import aws_errors, code_of
from runctl_jupyter.orchestration.errors import InvalidRequest, StorageUnavailable
from runctl_jupyter.orchestration.model import ObjectEntry, ObjectPage, PrefixEntry

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CopySourceTypeDef, MultipartUploadTypeDef

    from runctl_jupyter.orchestration.aws.session import AwsSession


class S3:
    """S3 of one session.

    Parameters
    ----------
    endpoint
        URL of another S3 than the session's.
    request_payer
        Whether requests are paid for by who makes them.
    sse, sse_kms_key_id
        Encryption of what is written.
    """

    def __init__(
        self,
        session: AwsSession,
        *,
        endpoint: str | None = None,
        request_payer: bool = False,
        sse: str | None = None,
        sse_kms_key_id: str | None = None,
    ) -> None:
        self._session, self._endpoint = session, endpoint
        kept = {"ServerSideEncryption": sse, "SSEKMSKeyId": sse_kms_key_id}
        self._kept: dict[str, Any] = {name: value for name, value in kept.items() if value is not None}
        self._payer: dict[str, Any] = {"RequestPayer": "requester"} if request_payer else {}

    @property
    def _client(self) -> S3Client:
        return self._session.s3 if self._endpoint is None else self._session.s3_at(self._endpoint)

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

    def walk(self, bucket: str, prefix: str, after: str) -> Iterator[tuple[str, int, datetime, str]]:
        """Yield key, size, time and tag of everything under `prefix`, behind the key `after`."""
        with aws_errors(f"list bucket {bucket!r}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=prefix, StartAfter=after, **self._payer
            )
            for page in pages:
                for each in page.get("Contents", []):
                    yield each["Key"], each["Size"], each["LastModified"], each["ETag"]

    def told_digest(self, bucket: str, key: str) -> tuple[bool, bytes | None]:
        """Return whether an object's tag is made from its bytes, and the SHA-256 of all of them if S3 keeps it."""
        with aws_errors(f"read what {key!r} is"):
            told = self._client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED", **self._payer)
        kept = told.get("ChecksumSHA256", "")
        # Of an object in parts it is a checksum of checksums, with the number of parts behind it.
        whole = base64.b64decode(kept) if kept and "-" not in kept else None
        keyed = told.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in told
        return not keyed, whole

    def copy(self, source: tuple[str, str], bucket: str, key: str) -> None:
        """Copy an object, given as bucket and key, within S3; in parts where it is large."""
        with aws_errors(f"copy {source[1]!r} to bucket {bucket!r}"):
            found: CopySourceTypeDef = {"Bucket": source[0], "Key": source[1]}
            self._client.copy(found, bucket, key, ExtraArgs={**self._payer, **self._kept})

    def unfinished_uploads(self, bucket: str, prefix: str) -> list[MultipartUploadTypeDef]:
        """Return the uploads in parts under `prefix` that have been begun and neither ended nor given up."""
        with aws_errors(f"list unfinished uploads to bucket {bucket!r}"):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
            return [each for page in pages for each in page.get("Uploads", [])]

    def uploaded_bytes(self, bucket: str, key: str, upload_id: str) -> int | None:
        """Return the bytes of an unfinished upload's parts, which are billed; None when it has ended meanwhile."""
        from botocore.exceptions import ClientError

        with aws_errors(f"list the parts of an upload to {key!r}"):
            pages = self._client.get_paginator("list_parts").paginate(Bucket=bucket, Key=key, UploadId=upload_id)
            try:
                return sum(int(part.get("Size", 0)) for page in pages for part in page.get("Parts", []))
            except ClientError as error:
                if code_of(error) == "NoSuchUpload":
                    return None
                raise

    def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """Give an unfinished upload up; its parts are removed."""
        with aws_errors(f"end an upload to {key!r}"):
            self._client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)


def _name(key: str) -> str:
    return key.rstrip("/").rpartition("/")[2]
