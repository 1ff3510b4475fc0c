"""A small S3 client on `http.client`: conditional writes, streams and retries, nothing else.

boto3 would cost 30 MB and a quarter of a second at each start and obstore is compiled code; neither can be
counted on before anything is installed on the machine. So the ten requests the runner makes are made here.
Rules are from the Amazon S3 API reference and the page "How to prevent object overwrites with conditional writes".
"""

from __future__ import annotations

import hashlib
import http.client
import io
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Callable, Optional, Union

from runctl_jupyter.run_record import NotFound, PreconditionFailed, StoredObject, StoreError, now
from runctl_jupyter.runner import multipart
from runctl_jupyter.runner.backoff import Backoff
from runctl_jupyter.runner.connections import Connections
from runctl_jupyter.runner.credentials import CredentialSource
from runctl_jupyter.runner.files import BLOCK, FileChanged, StoredFile, fingerprint, whole_file
from runctl_jupyter.runner.s3_errors import Remedy, S3Fault, xml_text
from runctl_jupyter.runner.s3_listing import ListedFile, ListPage, S3Address
from runctl_jupyter.runner.sigv4 import EMPTY_SHA256, Credentials, Target, encode_path, encode_query, sign

SINGLE_PUT_BYTES = 16 << 20
"""Files up to this size go in one request."""
_TRIES = 6
_TIMEOUT_S = 20.0
_META = "x-amz-meta-"
_MOST_LEFT = 1000
_ELSEWHERE = (301, 307, 400)
"""Statuses of PermanentRedirect, TemporaryRedirect, and AuthorizationHeaderMalformed or IllegalLocationConstraint."""


@dataclass(frozen=True)
class Reply:
    """A good answer. `unsure` tells that an earlier try of the same request may have been carried out."""

    headers: Mapping[str, str]
    data: bytes
    unsure: bool

    @property
    def etag(self) -> str:
        """The object's etag, with its quotes."""
        return self.headers.get("etag", "")


@dataclass(frozen=True)
class _Place:
    """Where a bucket is reached."""

    region: str
    connections: Connections
    root: str
    """Path of the bucket itself."""

    @classmethod
    def of(cls, bucket: str, region: str, endpoint: Optional[str]) -> _Place:
        domain = f"s3.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
        # A dot in a bucket's name does not match AWS's wildcard certificate: such buckets go by path.
        by_path = endpoint is not None or "." in bucket
        url = endpoint or (f"https://{domain}" if by_path else f"https://{bucket}.{domain}")
        return cls(region, Connections(url, _TIMEOUT_S), f"/{bucket}/" if by_path else "/")


@dataclass(frozen=True)
class Payload:
    """A body that can be sent again."""

    size: int = 0
    sha256: str = EMPTY_SHA256
    open: Callable[[], Union[bytes, IO[bytes]]] = field(default=lambda: b"")

    @classmethod
    def of_bytes(cls, data: bytes) -> Payload:
        """Return the payload that is `data`."""
        return cls(len(data), hashlib.sha256(data).hexdigest(), lambda: data)

    @classmethod
    def of_part(cls, path: Path, part: multipart.Part) -> Payload:
        """Return the payload that is a part of a file, streamed from the disk."""
        return cls(part.size, part.sha256, lambda: io.BufferedReader(multipart.PartOfFile(path, part), BLOCK))


class _UnsureFailure(Exception):
    """A try failed so that S3 may still have carried it out."""


class S3Store:
    """A `FileStore` under a prefix of a bucket; safe to use from several threads.

    Parameters
    ----------
    prefix
        Prepended to each key; ends in ``/`` or is empty.
    endpoint
        Another S3 than AWS's own, addressed by path; None for AWS, addressed by the bucket's host name.
    """

    def __init__(
        self, bucket: str, prefix: str, region: str, credentials: CredentialSource, endpoint: Optional[str] = None
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self._credentials = credentials
        self._endpoint = endpoint
        self._clock_offset = timedelta(0)
        self._place = _Place.of(bucket, region, endpoint)
        # One for all uploads of this store: its threads keep their connections from file to file.
        self.senders = ThreadPoolExecutor(multipart.PARALLEL, thread_name_prefix="part")
        self.left_uploads: deque[tuple[str, str]] = deque(maxlen=_MOST_LEFT)
        """Keys and ids of uploads in parts that are still to be aborted."""
        self.unsure_uploads: set[str] = set()
        """Keys for which S3 may have begun an upload whose id was lost with the answer."""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def __repr__(self) -> str:
        return f"S3Store({str(self)!r})"

    def elsewhere(self, uri: str) -> S3Store:
        """Return the store under another ``s3://`` address, with the same keys; its region is found out.

        Raises
        ------
        ValueError
            `uri` is no ``s3://`` address.
        """
        address = S3Address.parse(uri)
        prefix = address.key if not address.key or address.key.endswith("/") else address.key + "/"
        return S3Store(address.bucket, prefix, self._place.region, self._credentials, self._endpoint)

    def list(self, prefix: str = "", *, deep: bool = True) -> Iterator[ListedFile]:
        """List the objects whose keys begin with `prefix`, in order; keys are relative to the store's own prefix.

        Parameters
        ----------
        deep
            Those too with a ``/`` after the prefix.

        Raises
        ------
        StoreError
            S3 failed or refused.
        """
        # With encoding-type=url a key may hold what XML cannot.
        query = {"list-type": "2", "encoding-type": "url", "prefix": self.prefix + prefix}
        if not deep:
            query["delimiter"] = "/"
        while True:
            page = ListPage.of_answer(self.call("GET", None, query=query).data)
            for file in page.files:
                yield replace(file, key=file.key[len(self.prefix) :])
            if page.next_token is None:
                return
            query["continuation-token"] = page.next_token

    def get(self, key: str) -> StoredObject:
        """Read a whole object; see `RecordStore.get`."""
        reply = self.call("GET", key)
        metadata = {name[len(_META) :]: value for name, value in reply.headers.items() if name.startswith(_META)}
        return StoredObject(reply.data, reply.etag, metadata)

    def put(
        self,
        key: str,
        data: bytes,
        *,
        create_only: bool = False,
        if_etag: Optional[str] = None,
        metadata: Optional[Mapping[str, str]] = None,
    ) -> str:
        """Write an object; see `RecordStore.put`."""
        headers = {_META + name: value for name, value in (metadata or {}).items()}
        if create_only:
            headers["if-none-match"] = "*"
        if if_etag is not None:
            headers["if-match"] = if_etag
        try:
            return self.call("PUT", key, headers=headers, payload=Payload.of_bytes(data)).etag
        except PreconditionFailed as error:
            # The first try may have been carried out and its answer lost: then the object is ours already.
            if isinstance(error.__cause__, _UnsureFailure):
                found = self.get(key)
                if found.data == data:
                    return found.etag
            raise
        except NotFound as error:
            if if_etag is not None:
                raise PreconditionFailed(str(error)) from error
            raise

    def head(self, key: str) -> StoredFile:
        """Return size and etag of an object; see `FileStore.head`."""
        reply = self.call("HEAD", key)
        return StoredFile(int(reply.headers.get("content-length", "0")), etag=reply.etag)

    def get_file(self, key: str, path: Path) -> StoredFile:
        """Download to `path`; see `FileStore.get_file`."""
        with whole_file(path) as stream:
            received: list[StoredFile] = []

            def save(response: http.client.HTTPResponse) -> bytes:
                stream.seek(0)
                stream.truncate()
                digest, size = hashlib.sha256(), 0
                while True:
                    block = response.read(BLOCK)
                    if not block:
                        break
                    digest.update(block)
                    size += len(block)
                    stream.write(block)
                if str(size) != response.headers.get("content-length", str(size)):
                    raise http.client.IncompleteRead(b"")
                received.append(StoredFile(size, digest.hexdigest(), response.headers.get("etag")))
                return b""

            self.call("GET", key, receive=save)
            return received[-1]

    def put_file(self, key: str, path: Path) -> StoredFile:
        """Upload a file; see `FileStore.put_file`. A large one goes in parts, several at a time."""
        before = fingerprint(path)
        try:
            if before[1] <= SINGLE_PUT_BYTES:
                part = multipart.read_whole(path)
                etag = self.call("PUT", key, payload=Payload.of_part(path, part)).etag
                sent = StoredFile(part.size, part.sha256, etag)
            else:
                sent = multipart.upload(self, key, path, before[1])
        except (StoreError, EOFError) as error:
            if fingerprint(path) != before:
                raise FileChanged(str(path)) from error
            raise
        if fingerprint(path) != before or sent.size != before[1]:
            raise FileChanged(str(path))
        return sent

    def names(self, prefix: str) -> Sequence[str]:
        """List a level; see `FileStore.names`."""
        return [file.key[len(prefix) :] for file in self.list(prefix, deep=False)]

    def keep_only(self, prefix: str, names: Collection[str]) -> None:
        """Delete objects; see `FileStore.keep_only`."""
        for file in list(self.list(prefix)):
            if file.key[len(prefix) :] not in names:
                self.call("DELETE", file.key)

    def end_uploads(self, prefix: str) -> None:
        """Abort multipart uploads; see `FileStore.end_uploads`."""
        multipart.abort_all(self, prefix)

    def call(
        self,
        method: str,
        key: Optional[str],
        *,
        query: Optional[Mapping[str, str]] = None,
        headers: Optional[Mapping[str, str]] = None,
        payload: Optional[Payload] = None,
        receive: Callable[[http.client.HTTPResponse], bytes] = http.client.HTTPResponse.read,
    ) -> Reply:
        """Make a signed request and return its good answer, trying again where that can help.

        Parameters
        ----------
        key
            None for a request to the bucket itself.
        receive
            Reads a good answer to its end; what it raises, other than a failure of the connection, ends the call.

        Raises
        ------
        StoreError
            With its subclasses: the last try failed, or S3 refused.
        """
        what = f"{method} s3://{self.bucket}/" + ("" if key is None else self.prefix + key)
        backoff, renewed = Backoff(first_s=0.1, most_s=4.0), False
        unsure: Optional[_UnsureFailure] = None
        for attempt in range(_TRIES):
            keys, place = self._credentials.get(), self._place
            try:
                response = self._send(
                    place, method, key, keys, query=query or {}, headers=headers or {}, payload=payload or Payload()
                )
                data = receive(response) if response.status < 300 else response.read()
            except (OSError, http.client.HTTPException) as error:
                place.connections.discard()
                unsure = _UnsureFailure(f"{what}: {error or type(error).__name__}")
                # A kept-alive connection that the server has closed is the usual reason of a first failure.
                if attempt:
                    time.sleep(backoff.next())
                continue
            except BaseException:
                place.connections.discard()  # its answer is not read to the end
                raise
            if response.status < 300 and b"<Error>" not in data[:400]:
                return Reply({k.lower(): v for k, v in response.headers.items()}, data, unsure is not None)
            fault = S3Fault.of_answer(response.status, data)
            region = response.headers.get("x-amz-bucket-region") or xml_text(data, "Region")
            if region and region != place.region and response.status in _ELSEWHERE:
                place.connections.discard()
                self._place = _Place.of(self.bucket, region, self._endpoint)
            elif fault.remedy is Remedy.RENEW_KEYS and not renewed:
                renewed = True
                self._credentials.renew(keys)
            elif fault.remedy is Remedy.SET_CLOCK and attempt < 2:
                self._set_clock(response.headers.get("date"))
            elif fault.remedy is Remedy.RETRY or response.status < 300:
                if fault.status >= 500:
                    unsure = _UnsureFailure(f"{what}: {fault.code or fault.status}")
                time.sleep(backoff.next())
            else:
                raise fault.error(what) from unsure
        raise StoreError(f"{what} failed {_TRIES} times; the last time: {unsure or what}", transient=True)

    def _send(
        self,
        place: _Place,
        method: str,
        key: Optional[str],
        keys: Credentials,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        payload: Payload,
    ) -> http.client.HTTPResponse:
        path = encode_path(place.root + ("" if key is None else self.prefix + key))
        target = Target(method, place.connections.host, path, query)
        signed = sign(
            target, headers, payload.sha256, credentials=keys, region=place.region, moment=now() + self._clock_offset
        )
        if method in ("PUT", "POST"):
            signed["content-length"] = str(payload.size)
        url = f"{path}?{encode_query(query)}" if query else path
        return place.connections.send(method, url, signed, payload.open())

    def _set_clock(self, date: Optional[str]) -> None:
        """Take S3's clock for ours: a machine's clock may be wrong, its log should come all the same."""
        if date:
            self._clock_offset = parsedate_to_datetime(date) - now()
