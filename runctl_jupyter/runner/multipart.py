"""Files in parts (Amazon S3 user guide, "Uploading an object using multipart upload").

A file is read once for its hashes and, a little behind, once more by the threads that send its parts. Nothing is
held in memory: what has just been hashed still lies in the system's cache.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runctl_jupyter.run_record import NotFound, StoreError
from runctl_jupyter.runner.files import BLOCK, StoredFile
from runctl_jupyter.runner.s3_errors import xml_text
from runctl_jupyter.runner.s3_listing import unfinished_uploads

if TYPE_CHECKING:
    from runctl_jupyter.runner.s3 import S3Store

PART_BYTES = 16 << 20
PARALLEL = 10
"""Parts on their way at once: S3 gives one connection some 90 MB/s ("Best practices design patterns").

Parts of 8 to 32 MiB, 8 to 16 at once, were tried against a server of 90 MB/s a connection and 40 ms a request, and
against SeaweedFS on the same cores: the differences were within the noise, so memory and requests decide.
"""
_AHEAD = 2 * PARALLEL
"""Parts hashed and not yet stored: so many stay in the system's cache until they are sent."""
_HASHED_BYTES = 4 << 20  # so much at once that the two hashes seldom wait for each other
_MOST_PARTS = 9000  # S3 takes 10,000
_MARK = "x-amz-meta-runctl-upload"


@dataclass(frozen=True)
class Part:
    """A stretch of a file."""

    offset: int
    size: int
    sha256: str


class PartOfFile(io.RawIOBase):
    """A stretch of a file as a stream of its own."""

    def __init__(self, path: Path, part: Part) -> None:
        super().__init__()
        self._stream = path.open("rb", buffering=0)
        self._stream.seek(part.offset)
        self._left = part.size

    def readable(self) -> bool:
        """Tell that this is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is left, at most a buffer full."""
        view = memoryview(buffer)[: self._left]
        count = self._stream.readinto(view) if view else 0
        if self._left and not count:
            # The request has promised a length; ending it short would leave S3 waiting for the rest.
            raise EOFError("the file became shorter while it was sent")
        self._left -= count
        return count

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        super().close()


def read_whole(path: Path) -> Part:
    """Read a file for its hash; it is one part."""
    whole, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(BLOCK))
    with path.open("rb", buffering=0) as stream:
        while True:
            count = stream.readinto(buffer)
            if not count:
                return Part(0, size, whole.hexdigest())
            whole.update(buffer[:count])
            size += count


def read_parts(path: Path, size: int, part_bytes: int, whole: hashlib._Hash) -> Generator[Part, None, None]:
    """Read the first `size` bytes of a file and give each part as soon as it is hashed.

    Parameters
    ----------
    whole
        Takes in all parts. It is fed the very bytes that the parts' own hashes are made of, at the same time on
        another core; S3 refuses a part that arrives otherwise: so it is the hash of what was sent.

    Raises
    ------
    EOFError
        The file is shorter.
    """
    buffer = memoryview(bytearray(_HASHED_BYTES))
    with path.open("rb", buffering=0) as stream, ThreadPoolExecutor(1, thread_name_prefix="hash") as beside:
        for offset in range(0, size, part_bytes):
            digest, left = hashlib.sha256(), min(part_bytes, size - offset)
            while left:
                count = stream.readinto(buffer[:left])
                if not count:
                    raise EOFError("the file became shorter while it was read")
                other = beside.submit(whole.update, buffer[:count])
                digest.update(buffer[:count])
                other.result()
                left -= count
            yield Part(offset, min(part_bytes, size - offset), digest.hexdigest())


def upload(store: S3Store, key: str, path: Path, size: int) -> StoredFile:
    """Upload the first `size` bytes of a file in parts; nothing is left in the bucket when it fails.

    What cannot be aborted because S3 is out of reach is aborted after the next upload that succeeds.

    Raises
    ------
    EOFError
        The file became shorter.
    StoreError
        S3 failed or refused.
    """
    token = uuid.uuid4().hex
    try:
        begun = store.call("POST", key, query={"uploads": ""}, headers={_MARK: token})
    except StoreError:
        store.unsure_uploads.add(key)
        raise
    if begun.unsure:
        store.unsure_uploads.add(key)
    upload_id = xml_text(begun.data, "UploadId")
    if not upload_id:
        raise StoreError(f"s3://{store.bucket}/{store.prefix}{key}: S3 gave no upload id", transient=True)
    whole = hashlib.sha256()
    try:
        with closing(read_parts(path, size, _part_bytes(size), whole)) as parts:
            etags = _send_parts(store, key, upload_id, path, parts)
        # The etag is not recomputed: it is a hash of the parts' MD5s only where the bucket does not encrypt with KMS,
        # and MD5 would cost more than all the rest. S3 has checked each part's SHA-256 on arrival.
        stored = StoredFile(size, whole.hexdigest(), _complete(store, key, upload_id, etags, token))
    except BaseException:
        _abort(store, key, upload_id)
        raise
    _abort_left(store, key)
    return stored


def _abort_left(store: S3Store, key: str) -> None:
    """Abort what could not be aborted when it failed: now S3 answers."""
    for _ in range(len(store.left_uploads)):
        _abort(store, *store.left_uploads.popleft())
    if key in store.unsure_uploads:
        with suppress(StoreError):
            abort_all(store, key, exactly=True)
            store.unsure_uploads.discard(key)


def abort_all(store: S3Store, prefix: str, *, exactly: bool = False) -> None:
    """Abort the uploads below a prefix, or of `exactly` this key: nobody sees their parts, and S3 bills them for ever.

    Raises
    ------
    StoreError
        S3 failed.
    """
    query = {"uploads": "", "encoding-type": "url", "prefix": store.prefix + prefix}
    try:
        # One answer holds a thousand, and a runner has a few under way.
        found = unfinished_uploads(store.call("GET", None, query=query).data)
    except StoreError as error:
        if error.transient:
            raise
        return  # a role without the right to list them; see `_abort`
    for key, upload_id in found:
        if not exactly or key == store.prefix + prefix:
            _abort(store, key[len(store.prefix) :], upload_id)


def _part_bytes(size: int) -> int:
    return max(PART_BYTES, -(-size // _MOST_PARTS))


def _send_parts(store: S3Store, key: str, upload_id: str, path: Path, parts: Iterator[Part]) -> Mapping[int, str]:
    from runctl_jupyter.runner.s3 import Payload

    def send(number: int, part: Part) -> tuple[int, str]:
        query = {"partNumber": str(number), "uploadId": upload_id}
        return number, store.call("PUT", key, query=query, payload=Payload.of_part(path, part)).etag

    etags: dict[int, str] = {}
    pending: set[Future[tuple[int, str]]] = set()
    try:
        for number, part in enumerate(parts, 1):
            pending.add(store.senders.submit(send, number, part))
            patience = None if len(pending) >= _AHEAD else 0
            done, pending = wait(pending, timeout=patience, return_when=FIRST_COMPLETED)
            etags.update(each.result() for each in done)
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            etags.update(each.result() for each in done)
    except BaseException:
        for each in pending:
            each.cancel()
        wait(pending)  # a part that arrived after the upload was given up would stay in the bucket
        raise
    return dict(sorted(etags.items()))


def _complete(store: S3Store, key: str, upload_id: str, etags: Mapping[int, str], token: str) -> str:
    from runctl_jupyter.runner.s3 import Payload

    listed = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>" for n, etag in etags.items())
    document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    try:
        reply = store.call("POST", key, query={"uploadId": upload_id}, payload=Payload.of_bytes(document))
        return xml_text(reply.data, "ETag")
    except NotFound:
        # NoSuchUpload: an earlier try may have been carried out and its answer lost. Size and etag could be those of
        # an object of an earlier run; the token is this upload's alone.
        found = store.call("HEAD", key)
        if found.headers.get(_MARK) != token or not found.etag:
            raise
        return found.etag


def _abort(store: S3Store, key: str, upload_id: str) -> None:
    try:
        store.call("DELETE", key, query={"uploadId": upload_id})
    except NotFound:
        return
    except StoreError:
        store.left_uploads.append((key, upload_id))  # the upload's own failure is the news
