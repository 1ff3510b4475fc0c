"""Object storage for users: list, upload, download."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from runctl_jupyter.orchestration.errors import InvalidRequest, ObjectMissing, StorageUnavailable
from runctl_jupyter.orchestration.listing import Column, Listing
from runctl_jupyter.orchestration.model import ObjectPage, Preview, StorageObject, Transfer
from runctl_jupyter.orchestration.storage.bucket import BucketStore
from runctl_jupyter.orchestration.storage.objects import MOST_IN_PAGE, Objects
from runctl_jupyter.orchestration.storage.uris import S3Uri
from runctl_jupyter.orchestration.units import age_text, size_text
from runctl_jupyter.run_record import NotFound, PreconditionFailed, StoreError

Progress = Callable[[int, int, int], None]
"""Called with files done, files in all, bytes moved so far."""

_PARALLEL = 16
J = TypeVar("J")


@dataclass(frozen=True)
class ObjectStream:
    """An object on its way."""

    size: int
    chunks: Iterator[bytes]


class Storage:
    """``rc.storage``: objects in any bucket the credentials reach.

    Parameters
    ----------
    open_bucket
        Returns the store of a bucket.
    objects
        What pages and previews are read from.
    """

    def __init__(self, open_bucket: Callable[[str], BucketStore], objects: Objects) -> None:
        self._open, self._objects = open_bucket, objects

    def list(self, uri: str, *, recursive: bool = False) -> Listing[StorageObject]:
        """List the objects under an ``s3://`` address, one level unless `recursive`.

        Raises
        ------
        InvalidRequest
            The address is malformed.
        StorageUnavailable
            The bucket is missing or not ours.
        """
        address = S3Uri.parse(uri)
        store = self._open(address.bucket)
        rows: list[StorageObject] = []
        with storage_errors():
            if recursive:
                found = list(store.walk(_as_prefix(address.key)))
            else:
                below, found = store.children(_as_prefix(address.key))
                parent = _as_prefix(address.key)
                keys = [f"{parent}{name}/" for name in below]
                rows += [StorageObject(f"s3://{address.bucket}/{k}", k, None, None, is_prefix=True) for k in keys]
        rows += [StorageObject(f"s3://{address.bucket}/{e.key}", e.key, e.size, e.last_modified) for e in found]
        return Listing(rows, _COLUMNS, f"Nothing under {address}. Put something there: runctl s3 upload FILE {address}")

    def page(self, uri: str, token: str | None = None, prefix_filter: str = "", limit: int = 200) -> ObjectPage:
        """Return one level under an address, a page of it: one request, however much there is.

        Parameters
        ----------
        token
            `ObjectPage.next` of the page before; None for the first.
        prefix_filter
            How the names begin.
        limit
            The most entries, up to 1000.

        Raises
        ------
        InvalidRequest
            The address, the token or the limit is wrong.
        StorageUnavailable, PermissionDenied
            The bucket is missing or not ours.
        """
        if not 1 <= limit <= MOST_IN_PAGE:
            raise InvalidRequest(f"A page of {limit} objects cannot be had.", f"Ask for 1 to {MOST_IN_PAGE}.")
        return self._objects.page(uri, token, prefix_filter, limit)

    def preview(self, uri: str) -> Preview:
        """Return the beginning of an object as text, if it is some, and what it is; reads 64 kB, and runs nothing.

        Raises
        ------
        InvalidRequest
            The address is malformed, or names a folder.
        ObjectMissing
            There is no such object.
        StorageUnavailable
            S3 refused or failed.
        """
        from runctl_jupyter.orchestration.storage.preview import preview

        with storage_errors():
            return preview(uri, self._objects)

    def stream(self, uri: str) -> ObjectStream:
        """Begin to read an object without a file.

        Raises
        ------
        InvalidRequest
            The address is malformed, or names a folder.
        ObjectMissing
            There is no such object.
        StorageUnavailable
            S3 refused or failed; also while the bytes are read.
        """
        address = S3Uri.parse(uri)
        if not address.key or address.key.endswith("/"):
            raise InvalidRequest(f"{address} names a folder.", "Read its objects one by one.")
        with storage_errors():
            size, pieces = self._open(address.bucket).stream(address.key)
        return ObjectStream(size, _explained(pieces))

    def upload(
        self, source: str | Path, uri: str, *, recursive: bool = False, on_progress: Progress | None = None
    ) -> Transfer:
        """Upload a file, or a folder when `recursive`; each object's size is read back.

        Raises
        ------
        InvalidRequest
            The source is missing, or a folder without `recursive`.
        StorageUnavailable
            S3 refused or failed.
        """
        address, path = S3Uri.parse(uri), Path(source).expanduser()
        if not path.exists():
            raise InvalidRequest(f"There is no file {path}.", "Check the path; it is relative to where you are.")
        if path.is_dir() and not recursive:
            raise InvalidRequest(f"{path} is a folder.", "Upload all of it with --recursive.")
        if path.is_dir():
            prefix = _as_prefix(address.key)
            jobs = [(f, prefix + f.relative_to(path).as_posix()) for f in sorted(path.rglob("*")) if f.is_file()]
        else:
            jobs = [(path, address.key + path.name if not address.key or address.key.endswith("/") else address.key)]
        store = self._open(address.bucket)

        def move(job: tuple[Path, str]) -> int:
            file, key = job
            expected, arrived = file.stat().st_size, store.put_file(key, file)
            if arrived != expected:
                raise StorageUnavailable(
                    f"s3://{address.bucket}/{key} has {arrived:,} bytes, {file} has {expected:,}.",
                    "The file changed while it was read, or S3 lost some: upload it again.",
                )
            return arrived

        return self._transfer(str(path), str(address), jobs, move, on_progress)

    def download(
        self, uri: str, destination: str | Path, *, recursive: bool = False, on_progress: Progress | None = None
    ) -> Transfer:
        """Download an object, or everything under a prefix when `recursive`.

        Raises
        ------
        ObjectMissing
            There is nothing at the address.
        InvalidRequest
            A prefix without `recursive`, or a key that would leave the folder.
        StorageUnavailable
            S3 refused or failed.
        """
        address, target = S3Uri.parse(uri), Path(destination).expanduser()
        store = self._open(address.bucket)
        if recursive:
            prefix = _as_prefix(address.key)
            with storage_errors():
                keys = [each.key for each in store.walk(prefix)]
            jobs = [(key, _inside(target, key.removeprefix(prefix))) for key in keys if not key.endswith("/")]
            if not jobs:
                raise ObjectMissing(f"There is nothing under {address}.", "See what is there: runctl s3 list")
        else:
            if not address.key or address.key.endswith("/"):
                raise InvalidRequest(f"{address} names a folder.", "Download all of it with --recursive.")
            into = target.is_dir() or str(destination).endswith("/")
            jobs = [(address.key, target / Path(address.key).name if into else target)]

        def move(job: tuple[str, Path]) -> int:
            return store.get_file(*job)

        return self._transfer(str(address), str(target), jobs, move, on_progress)

    def _transfer(
        self, source: str, destination: str, jobs: Sequence[J], move: Callable[[J], int], on_progress: Progress | None
    ) -> Transfer:
        started, moved = time.monotonic(), 0
        with storage_errors(), ThreadPoolExecutor(_PARALLEL) as pool:
            done: Iterable[int] = pool.map(move, jobs)
            for count, size in enumerate(done, 1):
                moved += size
                if on_progress:
                    on_progress(count, len(jobs), moved)
        return Transfer(source, destination, len(jobs), moved, round(time.monotonic() - started, 3))


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what a store raises into errors for people."""
    try:
        yield
    except PreconditionFailed:
        # Not a failure but an answer: somebody else was first. Whoever wrote conditionally asked for it.
        raise
    except NotFound as error:
        raise ObjectMissing(f"There is {error}.", "See what is there: runctl s3 list") from error
    except StoreError as error:
        raise StorageUnavailable(f"{error}.", "Try again; if it stays, check the network and the bucket.") from error


def _explained(pieces: Iterator[bytes]) -> Iterator[bytes]:
    with storage_errors():
        yield from pieces


def _as_prefix(key: str) -> str:
    return key if not key or key.endswith("/") else key + "/"


def _inside(folder: Path, relative: str) -> Path:
    parts = relative.split("/")
    if any(part in ("", ".", "..") for part in parts) or Path(relative).is_absolute():
        raise InvalidRequest(
            f"The key {relative!r} would be written outside {folder}.",
            "Download that object by itself to a name of yours.",
        )
    return folder.joinpath(*parts)


_COLUMNS = (
    Column[StorageObject]("uri", lambda row: row.uri),
    Column[StorageObject]("size", lambda row: "" if row.size is None else size_text(row.size), right=True),
    Column[StorageObject]("age", lambda row: age_text(row.last_modified) if row.last_modified else "", right=True),
)
