"""Many objects at once, large ones in pieces: each file appears only when it is whole and verified."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional

from runctl_jupyter.run_record.sizes import size_text
from runctl_jupyter.runner.files import BLOCK, FileStore
from runctl_jupyter.runner.s3 import S3Store
from runctl_jupyter.runner.stops import Stopped, StopSignal

SPLIT_BYTES = 64 << 20
"""Larger objects are fetched in pieces."""
PIECE_BYTES = 32 << 20
TEMPORARY = ".tmp-"
"""How names of files begin that are on their way."""
_PARALLEL = 8
_REPORT_S = 5.0
_LEAVE_S = 1.0
_PLAIN_MD5 = re.compile(r'"?([0-9a-f]{32})"?')
_KEY_ENCRYPTED = ("aws:kms", "aws:kms:dsse")


class Damaged(Exception):
    """An object has, also at a second try, other bytes than were promised."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} arrives with other bytes than were stored")
        self.key = key


class DiskFailed(Exception):
    """The local disk does not take the file; the message is for people."""


@dataclass(frozen=True)
class Wanted:
    """An object and the file it becomes. What is known of its content is verified: size, and `sha256` or `etag`."""

    key: str
    path: Path
    size: int
    sha256: Optional[str] = None
    etag: str = ""
    """If given, the object must not have changed since."""


class Progress:
    """Tells in the job's log how far it is, every few seconds."""

    def __init__(self, what: str, total: int, say: Callable[[str], None]) -> None:
        self._what, self._total, self._say = what, total, say
        self._lock = threading.Lock()
        self._done = 0
        self._began = time.monotonic()
        self._said = self._began

    def add(self, size: int) -> None:
        """Count bytes that have arrived; negative when they are to be fetched again."""
        with self._lock:
            self._done += size

    @property
    def next_report_s(self) -> float:
        """Seconds until something should be said."""
        return max(0.0, self._said + _REPORT_S - time.monotonic())

    def report(self) -> None:
        """Say how far it is, if it is time."""
        if self.next_report_s <= 0:
            self._said = time.monotonic()
            self._say(f"{self._what}: {size_text(self._done)} of {size_text(self._total)}, {self._rate()}")

    def finish(self) -> None:
        """Say that all is here."""
        seconds = time.monotonic() - self._began
        self._say(f"{self._what}: {size_text(self._done)} fetched in {seconds:.1f} s, {self._rate()}")

    def _rate(self) -> str:
        return f"{self._done / 1e6 / max(time.monotonic() - self._began, 1e-3):.1f} MB/s"


def download(
    store: FileStore,
    wanted: Sequence[Wanted],
    *,
    progress: Progress,
    stop: StopSignal,
    place: Optional[Callable[[Wanted, Path], None]] = None,
) -> None:
    """Fetch all of `wanted`.

    Parameters
    ----------
    place
        Puts a file that has arrived whole, beside its final path, where it belongs; called from several threads.
        None renames it.

    Raises
    ------
    Damaged
        An object is not what it should be.
    DiskFailed
        The disk is full, or cannot be written.
    PreconditionFailed, NotFound
        An object has changed, or is gone.
    StoreError
        The store failed.
    Stopped
        The job was told to end; what had not arrived leaves nothing behind.
    """
    _Downloads(store, wanted, progress, stop, place or _rename).run()


def local_path(folder: Path, relative: str) -> Path:
    """Return the file in `folder` that a name of an object stands for.

    Raises
    ------
    ValueError
        It would lie outside, or be none.
    """
    parts = relative.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise ValueError(relative)
    return folder.joinpath(*parts)


@dataclass
class _Arriving:
    """A file on its way: its pieces go to a temporary file beside its final path."""

    wanted: Wanted
    missing: int
    """Pieces."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    temporary: Optional[Path] = None
    abandoned: bool = False
    """Whether nobody waits for it any more: a thread that comes back late must leave nothing."""
    again: bool = False
    plain: bool = True
    """Whether the object's etag can be the MD5 of its bytes."""

    def open(self) -> int:
        """Return a descriptor of the temporary file, which is made at its first use."""
        with self.lock:
            if self.abandoned:
                raise Stopped
            if self.temporary is None:
                self.wanted.path.parent.mkdir(parents=True, exist_ok=True)
                handle, name = tempfile.mkstemp(dir=self.wanted.path.parent, prefix=TEMPORARY)
                self.temporary = Path(name)
                return handle
            return os.open(self.temporary, os.O_WRONLY)

    def abandon(self) -> None:
        """Remove what has arrived, and let nothing arrive any more."""
        with self.lock:
            self.abandoned = True
            if self.temporary is not None:
                self.temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Piece:
    file: _Arriving
    start: int
    size: int


class _Downloads:
    def __init__(
        self,
        store: FileStore,
        wanted: Sequence[Wanted],
        progress: Progress,
        stop: StopSignal,
        place: Callable[[Wanted, Path], None],
    ) -> None:
        self._store, self._progress, self._stop, self._place = store, progress, stop, place
        self._files = [_Arriving(each, len(_stretches(store, each.size))) for each in wanted]
        # Large files first: the many small ones then fill the gaps at the end.
        ordered = sorted(self._files, key=lambda file: -file.wanted.size)
        self._pieces = deque(_Piece(f, at, size) for f in ordered for at, size in _stretches(store, f.wanted.size))
        self._unfinished = len(self._files)
        self._count_lock = threading.Lock()
        self._failure: Optional[BaseException] = None

    def run(self) -> None:
        # Daemons, and not a pool: a thread that hangs in a read must not hold up the end of the job.
        threads = [
            threading.Thread(target=self._fetch_pieces, name="download", daemon=True)
            for _ in range(min(_PARALLEL, len(self._pieces)))
        ]
        for thread in threads:
            thread.start()
        try:
            while self._unfinished and self._failure is None:
                self._stop.wait_for(self._is_over, self._progress.next_report_s)
                if self._stop.reason is not None:
                    raise Stopped
                self._progress.report()
            if self._failure is not None:
                raise self._failure
        except BaseException as error:
            self._failure = self._failure or error
            self._tidy(threads)
            raise

    def _is_over(self) -> bool:
        return not self._unfinished or self._gives_up()

    def _gives_up(self) -> bool:
        return self._failure is not None or self._stop.reason is not None

    def _tidy(self, threads: Iterable[threading.Thread]) -> None:
        until = time.monotonic() + _LEAVE_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        for file in self._files:
            file.abandon()

    def _fetch_pieces(self) -> None:
        try:
            while not self._gives_up():
                try:
                    piece = self._pieces.popleft()
                except IndexError:
                    return
                self._fetch(piece)
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits for all of them
            self._failure = self._failure or error
            self._stop.poke()

    def _fetch(self, piece: _Piece) -> None:
        file = piece.file
        try:
            handle = file.open()
            try:
                self._receive(piece, handle)
            finally:
                os.close(handle)
            with file.lock:
                file.missing -= 1
                whole = file.missing == 0
            if whole:
                self._finish(file)
        except DiskFailed:
            raise
        except OSError as error:
            raise DiskFailed(_complaint(file.wanted.path, error)) from error

    def _receive(self, piece: _Piece, handle: int) -> None:
        wanted = piece.file.wanted
        if not isinstance(self._store, S3Store):
            self._store.get_file(wanted.key, piece.file.temporary or wanted.path)
            self._progress.add(wanted.size)
            return
        headers = {"if-match": wanted.etag} if wanted.etag else {}
        if piece.size != wanted.size:
            headers["range"] = f"bytes={piece.start}-{piece.start + piece.size - 1}"
        counted = 0

        def save(response: http.client.HTTPResponse) -> bytes:
            nonlocal counted
            self._progress.add(-counted)  # of a try before, whose connection broke
            counted = 0
            if response.headers.get("content-length", str(piece.size)) != str(piece.size):
                raise Damaged(wanted.key)
            buffer = memoryview(bytearray(min(BLOCK, piece.size)))
            while counted < piece.size:
                if self._gives_up():
                    raise Stopped
                count = response.readinto(buffer[: piece.size - counted])
                if not count:
                    raise http.client.IncompleteRead(b"", piece.size - counted)
                _write(handle, buffer[:count], piece.start + counted, wanted.path)
                counted += count
                self._progress.add(count)
            return response.read()

        reply = self._store.call("GET", wanted.key, headers=headers, receive=save)
        if not _etag_may_be_md5(reply.headers):
            piece.file.plain = False

    def _finish(self, file: _Arriving) -> None:
        arrived, wanted = file.temporary, file.wanted
        if arrived is None:
            raise AssertionError("its pieces lie in a file")
        if not _is_what_was_promised(arrived, file):
            if file.again:
                raise Damaged(wanted.key)
            stretches = _stretches(self._store, wanted.size)
            self._progress.add(-wanted.size)
            file.again, file.missing = True, len(stretches)
            # This thread goes on with one of them, others may have come to the end of the queue and left.
            self._pieces.extend(_Piece(file, start, size) for start, size in stretches)
            return
        with file.lock:
            if file.abandoned:
                raise Stopped
            self._place(wanted, arrived)
        with self._count_lock:
            self._unfinished -= 1
        if not self._unfinished:
            self._stop.poke()


def _stretches(store: FileStore, size: int) -> list[tuple[int, int]]:
    """Return start and size of the pieces that an object is fetched in."""
    if size <= SPLIT_BYTES or not isinstance(store, S3Store):
        return [(0, size)]
    return [(start, min(PIECE_BYTES, size - start)) for start in range(0, size, PIECE_BYTES)]


def _rename(wanted: Wanted, arrived: Path) -> None:
    arrived.replace(wanted.path)


def _write(handle: int, data: memoryview, at: int, path: Path) -> None:
    try:
        while data:
            written = os.pwrite(handle, data, at)
            data, at = data[written:], at + written
    except OSError as error:
        # Not as it is: an OSError from within a request is taken for a broken connection.
        raise DiskFailed(_complaint(path, error)) from error


def _is_what_was_promised(arrived: Path, file: _Arriving) -> bool:
    wanted = file.wanted
    if arrived.stat().st_size != wanted.size:
        return False
    if wanted.sha256 is not None:
        return _digest(arrived, "sha256") == wanted.sha256
    md5 = _PLAIN_MD5.fullmatch(wanted.etag)
    if md5 is None or not file.plain:
        return True
    return _digest(arrived, "md5") == md5.group(1)


def _etag_may_be_md5(headers: Mapping[str, str]) -> bool:
    """Whether an etag of 32 hex digits is the MD5 (Amazon S3 API reference, "Object": the rules for ETag).

    It is for objects in plain text or with S3's own keys. With keys of KMS or of the customer it only looks so, and
    nothing but the size can be compared; that the etag has not changed since the listing S3 itself has checked.
    """
    return (
        headers.get("x-amz-server-side-encryption") not in _KEY_ENCRYPTED
        and "x-amz-server-side-encryption-customer-algorithm" not in headers
    )


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb", buffering=0) as stream:
        buffer = memoryview(bytearray(BLOCK))
        while True:
            count = stream.readinto(buffer)
            if not count:
                return digest.hexdigest()
            digest.update(buffer[:count])


def _complaint(path: Path, error: OSError) -> str:
    return f"{error.filename2 or error.filename or path} cannot be written: {error.strerror or error}"
