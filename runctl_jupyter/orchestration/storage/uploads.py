"""One file on its way into a bucket: whole or in parts, never half, and never a mixture of two versions of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import FileIO

from runctl_jupyter.orchestration.errors import InvalidRequest, ObjectChanged, StorageUnavailable
from runctl_jupyter.orchestration.storage.bucket import BucketStore
from runctl_jupyter.orchestration.storage.crew import Job, Tally
from runctl_jupyter.orchestration.storage.names import LocalFile
from runctl_jupyter.orchestration.storage.parts import PART_BYTES, part_size, parts_in_flight, ranges
from runctl_jupyter.run_record import NotFound, PreconditionFailed

_LIST_FROM = 50
"""So many objects are looked for in a listing; fewer are asked for one by one."""


@dataclass(frozen=True)
class Condition:
    """What must be at a key for a write to take place."""

    no_clobber: bool = False
    """Nothing."""
    if_match: str | None = None
    """The object with this etag."""

    def check(self, store: BucketStore, key: str) -> None:
        """Raise `PreconditionFailed` when it does not hold now."""
        if not self.no_clobber and self.if_match is None:
            return
        try:
            etag: str | None = store.look(key).etag
        except NotFound:
            etag = None
        if etag != self.if_match:
            raise PreconditionFailed(f"{store.uri_of(key)} exists or has changed")


@dataclass(frozen=True)
class Sent:
    """An object as it was written."""

    key: str
    size: int
    etag: str
    """Empty until it is read back, where the answer to the upload does not tell."""


class Uploads:
    """Writes files into one bucket.

    Parameters
    ----------
    condition
        What must be at a key for it to be written.
    """

    def __init__(self, store: BucketStore, tally: Tally, condition: Condition | None = None) -> None:
        self._store, self._tally = store, tally
        self._condition = condition or Condition()
        self.sent: list[tuple[LocalFile, Sent]] = []
        self.etags: dict[str, str] = {}
        """By the keys that have been read back."""
        self.skipped: list[str] = []
        """Keys that hold something and were not to be written over."""

    def job(self, file: LocalFile, key: str) -> Job:
        """Return the upload of one file."""
        return lambda: self._upload(file, key)

    def _upload(self, file: LocalFile, key: str) -> None:
        try:
            etag = self._in_parts(file, key) if file.size > PART_BYTES else self._whole(file, key)
        except PreconditionFailed as error:
            if not self._condition.no_clobber:
                raise ObjectChanged(
                    f"{self._store.uri_of(key)} is not the version that was to be replaced.",
                    "Look at what it is now, and upload again without the condition if that is right.",
                ) from error
            self.skipped.append(key)
        else:
            self.sent.append((file, Sent(key, file.size, etag)))
        self._tally.finished()

    def _whole(self, file: LocalFile, key: str) -> str:
        with _opened(file) as stream:
            data = _read_exactly(file, stream, file.size + 1)
            _require_unchanged(file, stream, len(data))
        self._tally.moved(0)
        condition = self._condition
        etag = self._store.put(key, data, create_only=condition.no_clobber, if_etag=condition.if_match)
        self._tally.moved(len(data))
        return etag

    def _in_parts(self, file: LocalFile, key: str) -> str:
        part = part_size(file.size)
        self._condition.check(self._store, key)
        with _opened(file) as stream:
            self._store.put_parts(key, self._parts(file, stream, key, part), part, parts_in_flight(part))
        return ""

    def _parts(self, file: LocalFile, stream: FileIO, key: str, part: int) -> Iterator[bytes]:
        done = 0
        for start, end in ranges(file.size, part):
            data = _read_exactly(file, stream, end - start)
            if len(data) < end - start:
                _require_unchanged(file, stream, start + len(data))
            yield data
            self._tally.moved(end - start)
            done = end
        # An error here still leaves nothing in S3: the object begins to exist when its last part is confirmed. S3 takes
        # conditions with parts too, but the library does not send them: so they are checked as late as can be.
        _require_unchanged(file, stream, done)
        self._condition.check(self._store, key)

    def confirm(self, prefix: str) -> Iterator[Job]:
        """Yield jobs that read back what was sent, and raise when S3 has something else.

        Parameters
        ----------
        prefix
            What all keys begin with.
        """
        sent = [each for _, each in self.sent]
        if len(sent) < _LIST_FROM:
            for each in sent:
                yield self._confirmation(each)
        else:
            yield lambda: self._confirm_by_list(sent, prefix)

    def _confirmation(self, sent: Sent) -> Job:
        def look() -> None:
            try:
                found = self._store.look(sent.key)
            except NotFound:
                raise self._not_there(sent, "nothing") from None
            self._compare(sent, found.size, found.etag)

        return look

    def _confirm_by_list(self, sent: Sequence[Sent], prefix: str) -> None:
        waiting = {each.key: each for each in sent}
        # A few among very many are found sooner one by one.
        left = 4 * len(waiting) + 1000
        for found in self._store.walk(prefix, after=min(waiting)[:-1]):
            each = waiting.pop(found.key, None)
            if each is not None:
                self._compare(each, found.size, found.etag)
            left -= 1
            if not waiting or left == 0:
                break
        for each in waiting.values():
            self._confirmation(each)()

    def _compare(self, sent: Sent, size: int, etag: str) -> None:
        if size != sent.size:
            raise self._not_there(sent, f"{size:,} bytes")
        if sent.etag and etag != sent.etag:
            raise ObjectChanged(
                f"{self._store.uri_of(sent.key)} was written by somebody else while it was uploaded.",
                "See which version is there, and upload again if it should be yours.",
            )
        self.etags[sent.key] = etag

    def _not_there(self, sent: Sent, has: str) -> StorageUnavailable:
        return StorageUnavailable(
            f"{self._store.uri_of(sent.key)} should have {sent.size:,} bytes, S3 has {has}.",
            "Upload it again; if it stays, that S3 loses what it confirms.",
        )


def _opened(file: LocalFile) -> FileIO:
    try:
        return FileIO(file.path, "rb")
    except OSError as error:
        raise InvalidRequest(
            f"{file.path} cannot be read: {error.strerror}.", "Make it readable, or leave it out with --exclude."
        ) from error


def _read_exactly(file: LocalFile, stream: FileIO, count: int) -> bytes:
    """Return so many bytes, or as many as are left."""
    try:
        data = stream.read(count) or b""
        while data and len(data) < count and (more := stream.read(count - len(data))):
            data += more
    except OSError as error:
        raise StorageUnavailable(
            f"{file.path} cannot be read to its end: {error.strerror}.", "Nothing of it was uploaded: check the disk."
        ) from error
    return data


def _require_unchanged(file: LocalFile, stream: FileIO, count: int) -> None:
    facts = os.fstat(stream.fileno())
    if (facts.st_size, facts.st_mtime_ns) != (file.size, file.mtime_ns) or count != file.size:
        raise StorageUnavailable(
            f"{file.path} changed while it was read.", "Nothing of it was uploaded: upload it when it is complete."
        )
