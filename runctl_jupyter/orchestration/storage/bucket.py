"""An S3 bucket as a store of the run record, on the object-store library (Rust ``object_store``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    GenericError,
    InvalidPathError,
    NotModifiedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from runctl_jupyter.orchestration.denials import denial_in
from runctl_jupyter.orchestration.errors import CredentialsMissing, StorageDenied, StorageUnavailable
from runctl_jupyter.orchestration.storage.listed import ListedObject, level_of
from runctl_jupyter.orchestration.storage.options import S3Options
from runctl_jupyter.orchestration.storage.s3_faults import (
    BEYOND_THE_END,
    DENIED,
    EXPIRED,
    PROVIDER,
    RETRIED,
    UNREACHABLE,
    code_of,
    reason_of,
)
from runctl_jupyter.orchestration.storage.store import ObjectHead, ObjectPart
from runctl_jupyter.orchestration.storage.whole_file import whole_file
from runctl_jupyter.run_record import NotFound, PreconditionFailed, StoredObject, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from obstore import GetResult
    from obstore.store import RetryConfig

_PIECE_BYTES = 1 << 20
_READ_BYTES = 1 << 18
"""Pieces of a download: of larger ones the allocator gives each back to the system, which costs a third more CPU."""
_CONNECT_S, _REQUEST_S, _PATIENT_S = "10s", "60s", "10min"
Page = TypeVar("Page", bound=Sequence[Any])
_PAGE = 1000
"""Keys that S3 lists at once."""


@dataclass(frozen=True)
class ToldDigest:
    """What S3 tells of an object's bytes."""

    tag_is_md5: bool
    """Whether its entity tag is made from them; under a KMS key it is not."""
    sha256: bytes | None
    """Of the whole, where S3 keeps it."""


class PlainS3(Protocol):
    """Requests that the object-store library cannot make."""

    def walk(self, bucket: str, prefix: str, after: str) -> Iterator[tuple[str, int, datetime, str]]:
        """Yield key, size, time and tag of everything under a prefix, behind a key."""

    def told_digest(self, bucket: str, key: str) -> tuple[bool, bytes | None]:
        """Return whether the tag is made from the bytes, and their SHA-256 if S3 has it."""

    def copy(self, source: tuple[str, str], bucket: str, key: str) -> None:
        """Copy an object, given as bucket and key, within S3."""


class BucketStore:
    """Objects under ``s3://bucket/prefix``; a `RecordStore` with listing and transfer of files.

    Parameters
    ----------
    bucket, prefix
        The prefix has no slash at either end and may be empty.
    region
        AWS region of the bucket.
    endpoint
        URL of an S3 that is not AWS's own, or None.
    keys
        ``(access key id, secret)``, or None to ask `credential_provider`.
    credential_provider
        Called by the library when it needs fresh credentials.
    options
        What requests ask for besides the object.
    patient
        Whether a request may take minutes, as large parts do on a slow line.
    plain
        For what the library cannot do, e.g. name keys as ``a//b`` or ``a/../b``; without it they are an error.
    retries
        How often the library tries again by itself; None leaves it to the library.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        region: str,
        *,
        endpoint: str | None = None,
        keys: tuple[str, str] | None = None,
        credential_provider: Any = None,
        options: S3Options | None = None,
        patient: bool = False,
        plain: PlainS3 | None = None,
        retries: int | None = None,
    ) -> None:
        self.bucket, self.prefix = bucket, prefix
        config: dict[str, Any] = {"region": region, "virtual_hosted_style_request": endpoint is None}
        if endpoint is not None:
            config["endpoint"] = endpoint
        if keys is not None:
            config["access_key_id"], config["secret_access_key"] = keys
        if credential_provider is not None:
            config["credential_provider"] = credential_provider
        self._config = config | (options.to_config() if options is not None else {})
        self._timeout = _PATIENT_S if patient else _REQUEST_S
        self._plain = plain
        self._retries: RetryConfig | None = None if retries is None else {"max_retries": retries}
        self._store = self._opened()

    def _opened(self) -> S3Store:
        return S3Store(
            self.bucket,
            prefix=self.prefix or None,
            client_options={
                "allow_http": self._config.get("endpoint", "").startswith("http:"),
                "connect_timeout": _CONNECT_S,
                "timeout": self._timeout,
            },
            retry_config=self._retries,
            **self._config,
        )

    @property
    def uri(self) -> str:
        """``s3://bucket/prefix``, no slash at the end."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def uri_of(self, key: str) -> str:
        """Return the address of `key`."""
        return f"{self.uri}/{key}"

    def get(self, key: str) -> StoredObject:
        """Read a whole object; see `RecordStore.get`."""
        with self._errors(key):
            found = obstore.get(self._store, key)
            metadata = {str(k): str(v) for k, v in found.attributes.items()}
            return StoredObject(bytes(found.bytes()), found.meta["e_tag"] or "", metadata, found.meta["last_modified"])

    def put(
        self,
        key: str,
        data: bytes,
        *,
        create_only: bool = False,
        if_etag: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Write an object; see `RecordStore.put`."""
        mode: Any = "create" if create_only else "overwrite"
        if if_etag is not None:
            mode = {"e_tag": if_etag}
        with self._errors(key):
            attributes: Any = dict(metadata) if metadata else None
            try:
                done = obstore.put(self._store, key, data, mode=mode, attributes=attributes, use_multipart=False)
            except (AlreadyExistsError, PreconditionError) as error:
                # The library has tried again: the first try may have been carried out and its answer lost.
                found = self.get(key) if RETRIED in str(error) else None
                if found is None or found.data != data:
                    raise
                return found.etag
            return done["e_tag"] or ""

    def exists(self, key: str) -> bool:
        """Return whether there is such an object."""
        try:
            with self._errors(key):
                obstore.head(self._store, key)
        except NotFound:
            return False
        return True

    def head(self, key: str) -> ObjectHead:
        """Return size and metadata of an object that is not empty; raises `NotFound`."""
        # A GET of one byte costs what a HEAD costs, and its refusals say why: a HEAD's have no body.
        with self._errors(key):
            found = obstore.get(self._store, key, options={"range": (0, 1)})
            found.bytes()  # else the connection could not be used again
            return ObjectHead(int(found.meta["size"]), {str(k): str(v) for k, v in found.attributes.items()})

    def get_part(self, key: str, start: int, end: int) -> ObjectPart:
        """Read bytes `start` to `end` of an object, or as many of them as there are; raises `NotFound`."""
        with self._errors(key):
            try:
                found = obstore.get(self._store, key, options={"range": (start, end)})
            except GenericError as error:
                if code_of(error) != f" [{BEYOND_THE_END}]":
                    raise
                meta = obstore.head(self._store, key)
                return ObjectPart(b"", meta["e_tag"] or "", {}, meta["last_modified"], int(meta["size"]))
            metadata = {str(k): str(v) for k, v in found.attributes.items()}
            data, meta = bytes(found.bytes()), found.meta
            return ObjectPart(data, meta["e_tag"] or "", metadata, meta["last_modified"], int(meta["size"]))

    def stream(self, key: str) -> tuple[int, Iterator[bytes]]:
        """Begin to read a whole object: its size, and its bytes in pieces."""
        with self._errors(key):
            found = obstore.get(self._store, key)
            return int(found.meta["size"]), self._pieces(key, found)

    def _pieces(self, key: str, found: GetResult) -> Iterator[bytes]:
        with self._errors(key):
            for piece in found.stream(min_chunk_size=_PIECE_BYTES):
                yield bytes(piece)

    def children(self, prefix: str) -> tuple[list[str], list[ListedObject]]:
        """List one level under `prefix` (ends in ``/`` or is empty): names of sub-prefixes, and objects."""
        with self._errors(prefix):
            try:
                found = obstore.list_with_delimiter(self._store, prefix or None)
            except InvalidPathError:
                return level_of(prefix, self.walk(prefix))
        below = [p.rstrip("/").rsplit("/", 1)[-1] for p in found["common_prefixes"]]
        return below, [_listed(meta) for meta in found["objects"]]

    def walk(self, prefix: str, after: str = "") -> Iterator[ListedObject]:
        """List every object under `prefix`, in the order of their keys, page by page; those behind the key `after`."""
        last = after
        with self._errors(prefix):
            try:
                for page in _ahead(obstore.list(self._store, prefix or None, offset=after or None, chunk_size=_PAGE)):
                    for meta in page:
                        yield _listed(meta)
                        last = meta["path"]
            except InvalidPathError:
                if self._plain is None or self.prefix:
                    raise
                yield from (ListedObject(*each) for each in self._plain.walk(self.bucket, prefix, last))

    def look(self, key: str) -> ListedObject:
        """Return what a listing would say of one object; raises `NotFound`."""
        found = self.get_part(key, 0, 1)
        if found.modified is None:
            raise StoreError(f"S3 does not say when {self.uri_of(key)} was written")
        return ListedObject(key, found.size, found.modified, found.etag)

    def told_digest(self, key: str) -> ToldDigest | None:
        """Return what S3 tells of an object's bytes; None when it cannot be asked."""
        if self._plain is None:
            return None
        return ToldDigest(*self._plain.told_digest(self.bucket, self.full_key(key)))

    def put_parts(self, key: str, parts: Iterable[bytes], part_bytes: int, in_flight: int) -> None:
        """Write an object from its parts; when `parts` raises, nothing of it is left in S3."""
        with self._errors(key):
            with obstore.open_writer(self._store, key, buffer_size=part_bytes, max_concurrency=in_flight) as writer:
                for part in parts:
                    writer.write(part)

    def read(self, key: str, start: int, end: int, etag: str) -> Iterator[memoryview]:
        """Read a range in pieces, of the version with this etag and no other; raises `PreconditionFailed`."""
        with self._errors(key):
            options: Any = {"if_match": etag}
            if end > start:
                options["range"] = (start, end)
            found = obstore.get(self._store, key, options=options)
            if (found.meta["e_tag"] or "") != etag:
                raise PreconditionFailed(f"{self.uri_of(key)} has changed")
            for piece in found.stream(min_chunk_size=_READ_BYTES):
                yield memoryview(piece)

    def copy_from(self, other: BucketStore, source: str, key: str) -> None:
        """Copy an object of another store to `key`, without its bytes coming here."""
        if self._plain is None:
            raise StoreError("this store cannot copy within S3")
        self._plain.copy((other.bucket, other.full_key(source)), self.bucket, self.full_key(key))

    def full_key(self, key: str) -> str:
        """Return `key` as the bucket knows it."""
        return f"{self.prefix}/{key}" if self.prefix else key

    def put_file(self, key: str, path: Path) -> int:
        """Upload a file, in parts when it is large, and return the size S3 says it has now."""
        with self._errors(key):
            obstore.put(self._store, key, path)
            return int(obstore.head(self._store, key)["size"])

    def get_file(self, key: str, path: Path) -> int:
        """Download an object to `path`, which appears only when whole; return its size in bytes."""
        with whole_file(path) as partial:
            with self._errors(key), partial.open("wb") as out:
                found = obstore.get(self._store, key)
                for chunk in found.stream(min_chunk_size=4 * 1024 * 1024):
                    out.write(chunk)
                expected = int(found.meta["size"])
            size = partial.stat().st_size
            if size != expected:
                raise StoreError(f"{self.uri_of(key)} ended after {size:,} of {expected:,} bytes", transient=True)
        return size

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, a thousand with a request; one that is not there is no error."""
        if keys:
            with self._errors(keys[0]):
                obstore.delete(self._store, keys)

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise StorageUnavailable(
                    f"There is no bucket {self.bucket!r}.", "Name another with --bucket, or create it in this account."
                ) from error
            raise NotFound(f"no {self.uri_of(key)}") from error
        except (AlreadyExistsError, PreconditionError, NotModifiedError) as error:
            raise PreconditionFailed(f"{self.uri_of(key)} exists or has changed") from error
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise self._refused(error) from error
        except (GenericError, BaseError, OSError) as error:
            if DENIED in str(error):  # what the library finds out when it ends an upload comes as an OSError
                raise self._refused(error) from error
            self._raise_if_expired(error)
            if "NoSuchBucket" in str(error):
                raise StorageUnavailable(
                    f"There is no bucket {self.bucket!r}.", "Name another with --bucket, or create it in this account."
                ) from error
            raise StoreError(f"S3 failed on {self.uri_of(key)}: {reason_of(error)}", transient=True) from error

    def _refused(self, error: BaseException) -> StorageUnavailable:
        self._raise_if_expired(error)
        what = f"S3 does not let you use bucket {self.bucket!r}{code_of(error)}"
        denial = denial_in(str(error), None)
        if denial is not None:
            return StorageDenied(f"{what}: it denies {denial.what}.", denial.to_resolve)
        return StorageUnavailable(
            f"{what}.", "Check that it is yours and in this account, or name another with --bucket."
        )

    def _raise_if_expired(self, error: BaseException) -> None:
        """Raise for credentials that are over, and forget them: the library would go on with what it has.

        Raises
        ------
        CredentialsMissing
            S3 says that they have expired, or whoever provides them says that there are no new ones.
        StoreError
            They could not be renewed because the network is down.
        """
        reason = reason_of(error)
        provider, _, said = reason.partition(PROVIDER)[2].lstrip(": ").partition(": ")
        if provider in UNREACHABLE:
            raise StoreError(f"The AWS credentials could not be renewed: {said}", transient=True) from error
        code = provider or code_of(error).strip(" []")
        if provider or code in EXPIRED:
            self._store = self._opened()
            raise CredentialsMissing(
                f"The AWS credentials have expired [{code}].", "Sign in again: aws sso login (or renew the keys)."
            ) from error


def _ahead(pages: Iterator[Page]) -> Iterator[Page]:
    """Yield pages; from the second on the next is fetched while one is looked at. The first alone costs one request."""
    first = next(pages, None)
    if first is None:
        return
    yield first
    with ThreadPoolExecutor(1, "runctl-s3-list") as pool:
        coming = pool.submit(next, pages, None)
        while (page := coming.result()) is not None:
            coming = pool.submit(next, pages, None)
            yield page


def _listed(meta: Mapping[str, Any]) -> ListedObject:
    modified: datetime = meta["last_modified"]
    return ListedObject(meta["path"], meta["size"], modified, meta["e_tag"] or "")
