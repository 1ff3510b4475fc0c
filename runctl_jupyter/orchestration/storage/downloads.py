"""Objects on their way to files: in one request, or in ranges that survive a cut; checked before they get a name."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from runctl_jupyter.orchestration.errors import ObjectChanged, StorageUnavailable
from runctl_jupyter.orchestration.storage.bucket import BucketStore
from runctl_jupyter.orchestration.storage.crew import Job, Tally
from runctl_jupyter.orchestration.storage.listed import ListedObject
from runctl_jupyter.orchestration.storage.parts import MIB, PART_BYTES, EntityTag, tag_fits
from runctl_jupyter.orchestration.storage.ranged import RangedFile
from runctl_jupyter.run_record import NotFound, PreconditionFailed

_RANGE_BYTES = 16 * MIB
_MOST_RANGE = 64 * MIB
"""Ranges larger than this would lose too much in a cut."""


class Downloads:
    """Writes objects of one bucket into files.

    Parameters
    ----------
    verify
        Compare the content with what S3 says of it, beyond its size.
    """

    def __init__(self, store: BucketStore, tally: Tally, *, verify: bool = True) -> None:
        self._store, self._tally, self._verify = store, tally, verify
        self._open_files: list[RangedFile] = []

    def jobs(self, places: Mapping[str, ListedObject]) -> Iterator[Job]:
        """Yield the work of many objects by the absolute paths they go to; large ones are many jobs."""
        folders: set[str] = set()
        for path, found in places.items():
            folder = path.rpartition("/")[0]
            if folder not in folders:
                with file_errors(folder):
                    Path(folder).mkdir(parents=True, exist_ok=True)
                folders.add(folder)
            if found.size > PART_BYTES:
                yield from self._in_ranges(path, found)
            else:
                yield self._whole(path, found)

    def _whole(self, path: str, found: ListedObject) -> Job:
        def fetch() -> None:
            try:
                self._fetch(path, found)
            except NotFound:
                if found.size > 0:
                    raise
                # The library lists the empty object `a/` as `a`: a folder, as consoles make them.
                with file_errors(path):
                    Path(path).mkdir(exist_ok=True)
            self._tally.finished()

        return fetch

    def _fetch(self, path: str, found: ListedObject) -> None:
        tag = EntityTag(found.etag)
        checked = self._verify and tag.md5 and not tag.parts
        digest = hashlib.md5(usedforsecurity=False)
        temporary = f"{path.rpartition('/')[0]}/.{secrets.token_hex(8)}.part"
        try:
            with self._reading(found), file_errors(path):
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
                try:
                    size = 0
                    for piece in self._store.read(found.key, 0, 0, found.etag):
                        write_at(descriptor, piece, size)
                        size += len(piece)
                        if checked:
                            digest.update(piece)
                        self._tally.moved(len(piece))
                finally:
                    os.close(descriptor)
                require_size(self._store.uri_of(found.key), size, found.size)
                if checked and not tag.says([digest.digest()]) and not self._is_what_is_told(found, temporary):
                    raise _wrong(self._store.uri_of(found.key))
                Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def _in_ranges(self, path: str, found: ListedObject) -> Iterator[Job]:
        tag = EntityTag(found.etag)
        cut = tag.cut(found.size) if self._verify and tag.parts else None
        # With ranges that are the object's own parts, the bytes are checked as they come by.
        as_parts = cut is not None and cut <= _MOST_RANGE
        with file_errors(path):
            uri = self._store.uri_of(found.key)
            part = cut if cut and as_parts else _RANGE_BYTES
            file = RangedFile(path, uri, found.etag, found.size, part, digests=as_parts)
        self._open_files.append(file)
        self._tally.moved(file.held_bytes)

        def fetch(index: int) -> None:
            start, end = file.range(index)
            digest = hashlib.md5(usedforsecurity=False)
            with self._reading(found), file_errors(path):
                at = start
                for piece in self._store.read(found.key, start, end, found.etag):
                    write_at(file.descriptor, piece, at)
                    at += len(piece)
                    if as_parts:
                        digest.update(piece)
                    self._tally.moved(len(piece))
                require_size(uri, at - start, end - start)
                last = file.note(index, digest.digest())
            if last:
                finish()

        def finish() -> None:
            with file_errors(path):
                if self._verify and not self._is_right(found, file, as_parts=as_parts):
                    file.forget()
                    raise _wrong(uri)
                file.finish()
            self._tally.finished()

        missing = file.missing()
        if not missing:
            yield finish
        for index in missing:
            yield partial(fetch, index)

    def close(self) -> None:
        """Let go of files that were not finished, when nobody writes any more."""
        for file in self._open_files:
            file.close()

    def _is_right(self, found: ListedObject, file: RangedFile, *, as_parts: bool) -> bool:
        tag = EntityTag(found.etag)
        fits = tag.says(file.digests()) if as_parts else tag_fits(file.partial, found.size, tag)
        return fits is not False or self._is_what_is_told(found, file.partial)

    def _is_what_is_told(self, found: ListedObject, path: str) -> bool:
        """Ask once more what S3 says of an object: under a KMS key its tag tells nothing of its bytes."""
        told = self._store.told_digest(found.key)
        if told is None or told.tag_is_md5:
            return False
        if told.sha256 is None:
            return True
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest() == told.sha256

    @contextmanager
    def _reading(self, found: ListedObject) -> Iterator[None]:
        try:
            yield
        except PreconditionFailed as error:
            raise ObjectChanged(
                f"{self._store.uri_of(found.key)} was written anew while it was read.",
                "Download again: that begins with the new version.",
            ) from error


def _wrong(uri: str) -> StorageUnavailable:
    return StorageUnavailable(
        f"{uri} did not arrive as S3 says it is: the checksums differ.",
        "Download it again; if it stays, check this computer's disk and memory.",
    )


def require_size(uri: str, size: int, expected: int) -> None:
    """Raise when an object ended early."""
    if size != expected:
        raise StorageUnavailable(
            f"{uri} ended after {size:,} of {expected:,} bytes.", "Download it again: it goes on where it was."
        )


@contextmanager
def file_errors(path: str) -> Iterator[None]:
    """Say in two lines what the disk does not do."""
    try:
        yield
    except OSError as error:
        raise StorageUnavailable(
            f"{error.filename or path} cannot be written: {error.strerror or error}.",
            "Make room or choose another folder; what has arrived stays, and the next download goes on from there.",
        ) from error


def write_at(descriptor: int, piece: memoryview, at: int) -> None:
    """Write all of a piece at an offset."""
    while piece.nbytes:
        written = os.pwrite(descriptor, piece, at)
        at += written
        piece = piece[written:]
