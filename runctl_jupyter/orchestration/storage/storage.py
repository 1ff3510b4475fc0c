"""Object storage for users: list, upload, download."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from runctl_jupyter.orchestration.errors import InvalidRequest, ObjectChanged, ObjectMissing
from runctl_jupyter.orchestration.listing import Column, Listing
from runctl_jupyter.orchestration.model import ObjectPage, Preview, StorageObject, SyncReport, Transfer
from runctl_jupyter.orchestration.storage.awaiting import awaitable
from runctl_jupyter.orchestration.storage.bucket import BucketStore
from runctl_jupyter.orchestration.storage.crew import OnProgress
from runctl_jupyter.orchestration.storage.explained import explained, storage_errors
from runctl_jupyter.orchestration.storage.names import Selection, landing_places, local_file, local_files
from runctl_jupyter.orchestration.storage.objects import MOST_IN_PAGE, Objects
from runctl_jupyter.orchestration.storage.options import S3Options
from runctl_jupyter.orchestration.storage.scan import everything, one_level
from runctl_jupyter.orchestration.storage.sync import FolderSync, copy_within_s3
from runctl_jupyter.orchestration.storage.sync_memory import SyncMemory
from runctl_jupyter.orchestration.storage.transfers import below, fetch, send
from runctl_jupyter.orchestration.storage.uploads import Condition
from runctl_jupyter.orchestration.storage.uris import S3Uri, as_prefix
from runctl_jupyter.orchestration.storage.watch import Watch
from runctl_jupyter.orchestration.units import age_text, size_text

__all__ = ["ObjectStream", "Open", "Storage", "storage_errors"]

_PLAIN = S3Options()
Open = Callable[[str, S3Options], BucketStore]
"""Opens a bucket."""


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
    memory_dir
        Folder for what syncs remember.
    """

    def __init__(self, open_bucket: Open, objects: Objects, memory_dir: Path) -> None:
        self._open, self._objects, self._memory_dir = open_bucket, objects, memory_dir

    def list(
        self, uri: str, *, recursive: bool = False, limit: int | None = None, options: S3Options = _PLAIN
    ) -> Listing[StorageObject]:
        """List the objects under an ``s3://`` address, one level unless `recursive`, `limit` of them at most.

        Raises
        ------
        InvalidRequest
            The address is malformed.
        StorageUnavailable
            The bucket is missing or not ours.
        """
        rows = list(self.scan(uri, recursive=recursive, limit=limit, options=options))
        to_do = f"Put something there: runctl s3 upload FILE {uri}"
        return Listing(rows, _COLUMNS, f"Nothing under {S3Uri.parse(uri)}. {to_do}")

    def scan(
        self, uri: str, *, recursive: bool = False, limit: int | None = None, options: S3Options = _PLAIN
    ) -> Iterator[StorageObject]:
        """Yield what `list` lists, as it comes: a bucket may hold more than memory does.

        Raises
        ------
        InvalidRequest, StorageUnavailable
            As of `list`; the second also on the way.
        """
        address = S3Uri.parse(uri)
        store, prefix = self._open(address.bucket, options), as_prefix(address.key)
        found = everything(store, prefix) if recursive else one_level(store, prefix)
        return explained(islice(found, limit))

    def watch(
        self,
        uri: str,
        *,
        interval: float = 5.0,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        options: S3Options = _PLAIN,
        on_trouble: Callable[[str], object] | None = None,
    ) -> Watch:
        """Return what happens under an ``s3://`` address from now on, for ``for`` and for ``async for``.

        Parameters
        ----------
        interval
            Seconds between two listings; a thousand keys are one request.
        include, exclude
            Patterns as in ``.gitignore``, of keys relative to the prefix.
        on_trouble
            Told when S3 cannot be reached for a while; the watch goes on.

        Raises
        ------
        InvalidRequest, StorageUnavailable
            The address is wrong, or cannot be listed.
        """
        address = S3Uri.parse(uri)
        store = self._open(address.bucket, options)
        return Watch(store, as_prefix(address.key), Selection(include, exclude), interval, on_trouble)

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
            size, pieces = self._open(address.bucket, _PLAIN).stream(address.key)
        return ObjectStream(size, explained(pieces))

    def upload(
        self,
        source: str | Path,
        uri: str,
        *,
        recursive: bool = False,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        no_clobber: bool = False,
        if_match: str | None = None,
        options: S3Options = _PLAIN,
        on_progress: OnProgress | None = None,
    ) -> Transfer:
        """Upload a file, or a folder when `recursive`; what S3 has then is read back.

        Each object is written whole or not at all, also when this is interrupted.

        Parameters
        ----------
        include, exclude
            Patterns as in ``.gitignore``, of paths relative to the folder.
        no_clobber
            Leave alone what is there already; the result says how many were skipped.
        if_match
            Replace only the version with this etag.
        options
            Encryption and the like.
        on_progress
            Called in this thread, at most ten times a second.

        Raises
        ------
        InvalidRequest
            The source is missing or cannot be read, or is a folder without `recursive`; or a key cannot be used.
        ObjectChanged
            Another version is there than `if_match` says, or somebody else wrote the object meanwhile.
        StorageUnavailable
            S3 refused or failed, or a file changed while it was read.
        """
        address, path = S3Uri.parse(uri), Path(source).expanduser()
        if not path.exists():
            raise InvalidRequest(f"There is no file {path}.", "Check the path; it is relative to where you are.")
        if path.is_dir() and not recursive:
            raise InvalidRequest(f"{path} is a folder.", "Upload all of it with --recursive.")
        prefix = as_prefix(address.key) if path.is_dir() else ""
        if path.is_dir():
            files = [(file, prefix + file.name) for file in local_files(str(path), Selection(include, exclude))]
        else:
            into = not address.key or address.key.endswith("/")
            files = [(local_file(path), address.key + path.name if into else address.key)]
        started = time.monotonic()
        store = self._open(address.bucket, options)
        done = send(store, files, prefix, condition=Condition(no_clobber, if_match), on_progress=on_progress)
        moved = sum(sent.size for _, sent in done.sent)
        took = round(time.monotonic() - started, 3)
        return Transfer(str(path), str(address), len(done.sent), moved, took, len(done.skipped))

    def download(
        self,
        uri: str,
        destination: str | Path,
        *,
        recursive: bool = False,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        verify: bool = True,
        if_match: str | None = None,
        options: S3Options = _PLAIN,
        on_progress: OnProgress | None = None,
    ) -> Transfer:
        """Download an object, or everything under a prefix when `recursive`.

        A file gets its name when it is whole. A large one that was cut goes on where it was, if the object is the same.

        Parameters
        ----------
        include, exclude
            Patterns as in ``.gitignore``, of keys relative to the prefix.
        verify
            Compare the content with the checksum that S3 has, beyond its size.
        if_match
            Take only the version with this etag.
        options
            Who pays and the like.
        on_progress
            Called in this thread, at most ten times a second.

        Raises
        ------
        ObjectMissing
            There is nothing at the address.
        InvalidRequest
            A prefix without `recursive`, a key that would leave the folder, or two that cannot both be in it.
        ObjectChanged
            An object is not, or does not stay, the version it was.
        StorageUnavailable
            S3 or the disk refused or failed.
        """
        address, target = S3Uri.parse(uri), Path(destination).expanduser()
        started = time.monotonic()
        store = self._open(address.bucket, options)
        if recursive:
            found = below(store, as_prefix(address.key), Selection(include, exclude))
            if not found:
                raise ObjectMissing(f"There is nothing under {address}.", "See what is there: runctl s3 list")
            places = {path: found[name] for name, path in landing_places(str(target), found).items()}
        else:
            if not address.key or address.key.endswith("/"):
                raise InvalidRequest(f"{address} names a folder.", "Download all of it with --recursive.")
            with storage_errors():
                one = store.look(address.key)
            if if_match is not None and one.etag != if_match:
                raise ObjectChanged(
                    f"{address} is not version {if_match}.", f"It is {one.etag} now: see if it will do."
                )
            if target.is_dir() or str(destination).endswith("/"):
                name = address.key.rpartition("/")[2]
                (target,) = map(Path, landing_places(str(target), [name]).values())
            places = {str(target.absolute()): one}
        fetch(store, places, verify=verify, on_progress=on_progress)
        moved = sum(each.size for each in places.values())
        return Transfer(str(address), str(target), len(places), moved, round(time.monotonic() - started, 3))

    def sync(
        self,
        source: str | Path,
        destination: str | Path,
        *,
        delete: bool = False,
        dry_run: bool = False,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        verify: bool = True,
        options: S3Options = _PLAIN,
        on_progress: OnProgress | None = None,
    ) -> SyncReport:
        """Make `destination` like `source`: folders and ``s3://`` prefixes, at least one of these. Moves what differs.

        Parameters
        ----------
        delete
            Remove from the destination what the source does not have.
        dry_run
            Only say what would be done.
        include, exclude
            Patterns as in ``.gitignore``; what they leave out is neither moved nor removed.
        verify, options, on_progress
            As of `download` and `upload`.

        Raises
        ------
        InvalidRequest
            No address at all, or names that one of the two cannot hold.
        ObjectChanged, StorageUnavailable
            As of `download` and `upload`.
        """
        up, down = (str(place).startswith("s3://") for place in (destination, source))
        if not up and not down:
            raise InvalidRequest("A sync needs S3 on one side.", "Give one s3:// address, or two.")
        started = time.monotonic()
        wanted = Selection(include, exclude)
        if up and down:
            origin, target = S3Uri.parse(str(source)), S3Uri.parse(str(destination))
            ends = [(self._open(each.bucket, options), as_prefix(each.key)) for each in (origin, target)]
            done = copy_within_s3(ends[0], ends[1], wanted, delete=delete, dry_run=dry_run, on_progress=on_progress)
        else:
            address = S3Uri.parse(str(destination if up else source))
            folder, prefix = Path(source if up else destination).expanduser(), as_prefix(address.key)
            store = self._open(address.bucket, options)
            memory = SyncMemory(self._memory_dir, folder, f"{options.endpoint_url} {store.uri_of(prefix)}")
            pair = FolderSync(store, prefix, folder, wanted, memory)
            if up:
                done = pair.upload(delete=delete, dry_run=dry_run, on_progress=on_progress)
            else:
                done = pair.download(delete=delete, dry_run=dry_run, verify=verify, on_progress=on_progress)
        moved = list(done.moved)
        return SyncReport(
            source=str(source),
            destination=str(destination),
            uploaded=moved if up and not down else [],
            downloaded=moved if down and not up else [],
            copied=moved if up and down else [],
            deleted=list(done.deleted),
            unchanged=done.unchanged,
            bytes=sum(done.moved.values()),
            seconds=round(time.monotonic() - started, 3),
            dry_run=dry_run,
        )

    upload_async, download_async, sync_async = awaitable(upload), awaitable(download), awaitable(sync)


_COLUMNS = (
    Column[StorageObject]("uri", lambda row: row.uri),
    Column[StorageObject]("size", lambda row: "" if row.size is None else size_text(row.size), right=True),
    Column[StorageObject]("age", lambda row: age_text(row.last_modified) if row.last_modified else "", right=True),
)
