"""Files in parts (Amazon S3 user guide, "Uploading an object using multipart upload").

Each file is read once for all its hashes and once for each try to send it: nothing is held in memory.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runctl_jupyter.run_record import NotFound, StoreError
from runctl_jupyter.runner.files import BLOCK
from runctl_jupyter.runner.s3_errors import xml_text

if TYPE_CHECKING:
    from runctl_jupyter.runner.s3 import S3Store

PART_BYTES = 16 << 20
_MOST_PARTS = 9000  # S3 takes 10,000
_PARALLEL = 4


@dataclass(frozen=True)
class Part:
    """A stretch of a file."""

    offset: int
    size: int
    sha256: str


@dataclass(frozen=True)
class ReadFile:
    """A file as it was read: whole and in parts."""

    size: int
    sha256: str
    parts: list[Part]


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


def read_file(path: Path, single_bytes: int) -> ReadFile:
    """Read a file for its hashes; up to `single_bytes` it is one part."""
    expected = path.stat().st_size
    part_bytes = single_bytes if expected <= single_bytes else max(PART_BYTES, -(-expected // _MOST_PARTS))
    parts: list[Part] = []
    whole, size = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as stream:
        while True:
            digest, start = hashlib.sha256(), size
            while size - start < part_bytes:
                block = stream.read(min(BLOCK, part_bytes - (size - start)))
                if not block:
                    break
                whole.update(block)
                digest.update(block)
                size += len(block)
            if size > start or not parts:
                parts.append(Part(start, size - start, digest.hexdigest()))
            if size - start < part_bytes:
                return ReadFile(size, whole.hexdigest(), parts)


def upload(store: S3Store, key: str, path: Path, read: ReadFile) -> str:
    """Upload a file in parts and return the object's etag; nothing is left in the bucket when it fails.

    Raises
    ------
    StoreError
        S3 failed or refused.
    """
    from runctl_jupyter.runner.s3 import Payload

    upload_id = xml_text(store.call("POST", key, query={"uploads": ""}).data, "UploadId")
    if not upload_id:
        raise StoreError(f"s3://{store.bucket}/{store.prefix}{key}: S3 gave no upload id", transient=True)

    def send(number: int, part: Part) -> str:
        query = {"partNumber": str(number), "uploadId": upload_id}
        return store.call("PUT", key, query=query, payload=Payload.of_part(path, part)).etag

    try:
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="part") as pool:
            pending = [pool.submit(send, number, part) for number, part in enumerate(read.parts, 1)]
            try:
                etags = {number: future.result() for number, future in enumerate(pending, 1)}
            except BaseException:
                for future in pending:
                    future.cancel()
                raise
        return _complete(store, key, upload_id, etags, read.size)
    except BaseException:
        _abort(store, key, upload_id)
        raise


def _complete(store: S3Store, key: str, upload_id: str, etags: Mapping[int, str], size: int) -> str:
    from runctl_jupyter.runner.s3 import Payload

    listed = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>" for n, etag in etags.items())
    document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    try:
        reply = store.call("POST", key, query={"uploadId": upload_id}, payload=Payload.of_bytes(document))
        return xml_text(reply.data, "ETag")
    except NotFound:
        # NoSuchUpload: an earlier try may have been carried out and its answer lost.
        found = store.head(key)
        if found.size != size or not found.etag:
            raise
        return found.etag


def _abort(store: S3Store, key: str, upload_id: str) -> None:
    try:
        store.call("DELETE", key, query={"uploadId": upload_id})
    except StoreError:
        # The upload's own failure is the news; the bucket's lifecycle rule ends what is left over.
        return
