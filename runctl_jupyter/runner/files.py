"""Stores that also take whole files: the record's `RecordStore` plus streams that do not fit in memory."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Optional, Protocol

from runctl_jupyter.run_record import FolderStore, NotFound, RecordStore, StoreError

BLOCK = 1 << 20
_TEMPORARY = ".tmp-"


class FileChanged(Exception):
    """The file was written to while it was read: try again later."""


@dataclass(frozen=True)
class StoredFile:
    """A file as it lies in the store; `sha256` is known to who wrote or read it, `etag` only to S3."""

    size: int
    sha256: Optional[str] = None
    etag: Optional[str] = None


class FileStore(RecordStore, Protocol):
    """A `RecordStore` that streams files."""

    def put_file(self, key: str, path: Path) -> StoredFile:
        """Upload a file.

        Raises
        ------
        FileChanged
            It was written to meanwhile; what lies at `key` is worth nothing.
        StoreError
            The store failed.
        """

    def get_file(self, key: str, path: Path) -> StoredFile:
        """Download to `path`, which appears only when whole; the caller compares the hash.

        Raises
        ------
        NotFound
            There is no such object.
        StoreError
            The store failed.
        """

    def head(self, key: str) -> StoredFile:
        """Return size and etag of an object.

        Raises
        ------
        NotFound
            There is no such object.
        StoreError
            The store failed.
        """

    def names(self, prefix: str) -> Sequence[str]:
        """Return the names of the objects directly below `prefix`, which ends in ``/``; not of what lies deeper.

        Raises
        ------
        StoreError
            The store failed or refused.
        """

    def keep_only(self, prefix: str, names: Collection[str]) -> None:
        """Remove the objects below `prefix` other than `names`, which are relative to it.

        Raises
        ------
        StoreError
            The store failed or refused.
        """

    def end_uploads(self, prefix: str) -> None:
        """Give up what was begun below `prefix` and not finished, by a process that was killed.

        Raises
        ------
        StoreError
            The store failed.
        """


def fingerprint(path: Path) -> tuple[int, int, int]:
    """Return what changes when somebody writes to a file or replaces it: inode, size, mtime in ns."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while True:
            block = stream.read(BLOCK)
            if not block:
                return digest.hexdigest()
            digest.update(block)


def put_verified(store: FileStore, key: str, path: Path) -> StoredFile:
    """Upload a file and read back what the store has of it.

    Raises
    ------
    FileChanged
        It was written to meanwhile.
    StoreError
        The store failed, or holds something else than was sent.
    """
    sent = store.put_file(key, path)
    found = store.head(key)
    if found.size != sent.size or (sent.etag and found.etag and sent.etag != found.etag):
        raise StoreError(f"{key} has {found.size} bytes in the store, {sent.size} were sent", transient=True)
    return sent


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a temporary file that becomes `path` when the block ends well, and is gone when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class FolderFiles(FolderStore):
    """A `FileStore` in a local folder; a full disk is a `StoreError` like any other."""

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
        try:
            return super().put(key, data, create_only=create_only, if_etag=if_etag, metadata=metadata)
        except OSError as error:
            raise StoreError(f"{key} cannot be written in {self.root}: {error}", transient=True) from error

    def put_file(self, key: str, path: Path) -> StoredFile:
        """Copy a file into the store; see `FileStore.put_file`."""
        before = fingerprint(path)
        try:
            copied = _copy(path, self.path(key))
        except OSError as error:
            raise StoreError(f"{key} cannot be written in {self.root}: {error}", transient=True) from error
        if copied.size != before[1] or fingerprint(path) != before:
            raise FileChanged(str(path))
        return copied

    def get_file(self, key: str, path: Path) -> StoredFile:
        """Copy a file out of the store; see `FileStore.get_file`."""
        source = self.path(key)
        if not source.is_file():
            raise NotFound(f"no {key} in {self.root}")
        return _copy(source, path)

    def head(self, key: str) -> StoredFile:
        """Return the size of an object; see `FileStore.head`."""
        try:
            return StoredFile(self.path(key).stat().st_size)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"no {key} in {self.root}") from None

    def names(self, prefix: str) -> Sequence[str]:
        """List files; see `FileStore.names`."""
        try:
            with os.scandir(self.path(prefix.rstrip("/"))) as entries:
                return [entry.name for entry in entries if entry.is_file()]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def keep_only(self, prefix: str, names: Collection[str]) -> None:
        """Remove files; see `FileStore.keep_only`."""
        folder = self.path(prefix.rstrip("/"))
        for found in folder.rglob("*"):
            if found.is_file() and found.relative_to(folder).as_posix() not in names:
                found.unlink(missing_ok=True)

    def end_uploads(self, prefix: str) -> None:
        """Remove temporary files; see `FileStore.end_uploads`."""
        for left in self.path(prefix.rstrip("/")).rglob(f"{_TEMPORARY}*"):
            left.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> StoredFile:
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as reading, whole_file(target) as writing:
        while True:
            block = reading.read(BLOCK)
            if not block:
                break
            digest.update(block)
            size += len(block)
            writing.write(block)
        writing.flush()
        os.fsync(writing.fileno())
    return StoredFile(size, digest.hexdigest())
