"""What is temporary in the bucket of the record: uploads in parts that nobody ends, blobs that no job refers to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from runctl_jupyter.orchestration.costs.storage_prices import usd_per_month
from runctl_jupyter.orchestration.errors import ConfigInvalid, RunctlError, StorageUnavailable
from runctl_jupyter.orchestration.resources.judging import Found
from runctl_jupyter.orchestration.resources.kind import Failures, Region, one_by_one
from runctl_jupyter.orchestration.resources.references import referred_to
from runctl_jupyter.orchestration.storage.bucket import BucketStore
from runctl_jupyter.orchestration.storage.storage import storage_errors
from runctl_jupyter.orchestration.units import size_text
from runctl_jupyter.run_record.layout import BLOBS_PREFIX, JOBS_PREFIX

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import MultipartUploadTypeDef

    from runctl_jupyter.orchestration.jobs.record import JobRecord

UPLOADING = timedelta(days=1)
"""An upload that is younger may still be going on; of a job that has not ended it is never garbage."""
REFERRING = timedelta(days=7)
"""A client writes blobs first and then the job that refers to them; and may refer to what it finds there."""


_GZIP = b"\x1f\x8b\x08"


class Uploads(Protocol):
    """Uploads in parts, as S3 keeps them."""

    def unfinished_uploads(self, bucket: str, prefix: str) -> list[MultipartUploadTypeDef]:
        """Return those under a prefix."""

    def uploaded_bytes(self, bucket: str, key: str, upload_id: str) -> int | None:
        """Return the bytes of one's parts; None when it has ended."""

    def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """Give one up."""


class UnfinishedUploads:
    """Uploads in parts under the record's prefix: their parts are billed and in no listing of objects.

    Parameters
    ----------
    record
        Whose jobs' uploads they are.
    uploads
        S3.
    """

    name = "upload"

    def __init__(self, record: Callable[[], JobRecord], uploads: Uploads) -> None:
        self._record, self._uploads = record, uploads

    def find(self, region: Region, ids: Sequence[str] | None = None) -> list[Found]:
        """Return uploads; see `Kind.find`."""
        record = self._record()
        store = _bucket_of(record)
        prefix = store.full_key("")
        found = []
        for each in self._uploads.unfinished_uploads(store.bucket, prefix):
            key, upload_id = each["Key"], each["UploadId"]
            size = self._uploads.uploaded_bytes(store.bucket, key, upload_id)
            if size is None:
                continue
            job_id = _job_of(key.removeprefix(prefix))
            owner, living = ("", False) if job_id is None else _owner_and_life(record, job_id)
            found.append(
                Found(
                    kind=self.name,
                    id=f"s3://{store.bucket}/{key}?uploadId={upload_id}",
                    region=region.name,
                    state="unfinished",
                    created_at=each.get("Initiated"),
                    tags={},
                    detail=size_text(size),
                    usd_per_month=usd_per_month(size, region.name),
                    in_use=f"job {job_id} has not ended" if living else "",
                    left_over="nobody goes on with it",
                    grace=UPLOADING,
                    owner=owner,
                    shared=not owner,
                    name=key.rpartition("/")[2],
                    keys=(key, upload_id),
                )
            )
        return found

    def remove(self, region: Region, going: Sequence[Found]) -> Failures:
        """Give uploads up."""
        bucket = _bucket_of(self._record()).bucket
        return one_by_one(going, lambda each: self._uploads.abort_upload(bucket, *each.keys))


class LostBlobs:
    """Blobs of the record that no job refers to, all as one thing: left of launches that did not come to be.

    Parameters
    ----------
    record
        Whose blobs they are.
    clock
        Returns the time.
    """

    name = "blobs"

    def __init__(self, record: Callable[[], JobRecord], clock: Callable[[], datetime]) -> None:
        self._record, self._clock = record, clock

    def find(self, region: Region, ids: Sequence[str] | None = None) -> list[Found]:
        """Return the blobs, if there are any; see `Kind.find`."""
        record = self._record()
        store = _bucket_of(record)
        with storage_errors():
            horizon = self._clock() - REFERRING
            # Listed before the jobs are read: whoever refers to one meanwhile is seen.
            old = [each for each in store.walk(BLOBS_PREFIX) if each.last_modified < horizon]
            if not old:
                return []
            try:
                known = referred_to(record)
            except ValueError as error:
                raise StorageUnavailable(
                    f"What the jobs of the record refer to cannot be told: {error}.", "Update runctl-jupyter."
                ) from error
            lost = [each for each in old if each.key.removeprefix(BLOBS_PREFIX) not in known]
            lost = [each for each in lost if not _is_runner(store, each.key)]
        if not lost:
            return []
        size = sum(each.size for each in lost)
        return [
            Found(
                kind=self.name,
                id=store.uri_of(BLOBS_PREFIX),
                region=region.name,
                state="unreferenced",
                created_at=max(each.last_modified for each in lost),
                tags={},
                detail=f"{len(lost):,} objects, {size_text(size)}",
                usd_per_month=usd_per_month(size, region.name),
                left_over="no job refers to them",
                grace=REFERRING,
                owner="",
                shared=True,
                keys=tuple(each.key for each in lost),
            )
        ]

    def remove(self, region: Region, going: Sequence[Found]) -> Failures:
        """Delete the blobs."""
        store = _bucket_of(self._record())

        def delete(each: Found) -> None:
            with storage_errors():
                store.delete(each.keys)

        return one_by_one(going, delete)


def _is_runner(store: BucketStore, key: str) -> bool:
    """Return whether a blob may be a bundle of a runner: no job names it, and a machine that boots now fetches it."""
    return store.get_part(key, 0, len(_GZIP)).data == _GZIP


def _bucket_of(record: JobRecord) -> BucketStore:
    if not isinstance(record.store, BucketStore):
        raise ConfigInvalid("The run record is on this computer, not in a bucket.", "Choose a target: runctl use aws")
    return record.store


def _job_of(key: str) -> str | None:
    """Return the job whose folder a key of the record lies in."""
    if not key.startswith(JOBS_PREFIX):
        return None
    return key.removeprefix(JOBS_PREFIX).partition("/")[0]


def _owner_and_life(record: JobRecord, job_id: str) -> tuple[str, bool]:
    """Return whose a job is, and whether it has not ended; one that cannot be read may well be running."""
    try:
        with storage_errors():
            seen = record.try_look(job_id)
    except (RunctlError, ValueError):
        return "", True
    return ("", False) if seen is None else (seen.spec.owner, not seen.status.state.ended)
