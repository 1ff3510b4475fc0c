"""``--data-s3``: an object, or all below a prefix, becomes files in ``RUNCTL_DATA_DIR``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Callable

from runctl_jupyter.run_record import DataFile, DataManifest, NotFound, PreconditionFailed
from runctl_jupyter.run_record.sizes import size_text
from runctl_jupyter.runner.data_cache import DataCache
from runctl_jupyter.runner.downloads import Damaged, DiskFailed, Progress, Wanted, download, local_path
from runctl_jupyter.runner.files import FileStore
from runctl_jupyter.runner.locks import turn
from runctl_jupyter.runner.s3 import S3Store
from runctl_jupyter.runner.s3_listing import ListedFile, S3Address, find_objects
from runctl_jupyter.runner.stops import Stopped, StopSignal

_SPARE_BYTES = 64 << 20
"""Left free, so that the log and the script's first files still find room."""


class DataError(Exception):
    """The data cannot be brought; the message, of two lines, is for people."""

    def __init__(self, what: str, to_resolve: str) -> None:
        super().__init__(f"{what}\n{to_resolve}")


def fetch_data(
    store: FileStore, uri: str, cache: Path, target: Path, *, say: Callable[[str], None], stop: StopSignal
) -> DataManifest:
    """Bring what lies at `uri` into `target`, from `cache` where it is there already; files are read-only.

    Parameters
    ----------
    store
        The job's record; its keys are used.
    uri
        ``s3://BUCKET/KEY``: the object of this name, else all below it as a folder.
    say
        Writes a line to the job's log.

    Raises
    ------
    DataError
        There is nothing, it does not fit, or it cannot become files.
    StoreError
        S3 failed or refused.
    Stopped
        The job was told to end.
    """
    if not isinstance(store, S3Store):
        raise DataError(
            f"{uri} cannot be fetched: a job on this computer keeps its record in a folder and does not use S3.",
            "Choose a target with S3 (aws or sandbox), or let the script read local files.",
        )
    try:
        address = S3Address.parse(uri)
    except ValueError as error:
        raise DataError(f"--data-s3: {error}.", "Write s3://BUCKET/KEY or s3://BUCKET/FOLDER/.") from error
    fetch = _Fetch(store.elsewhere(f"s3://{address.bucket}"), address, uri, DataCache(cache), target, say, stop)
    try:
        try:
            return fetch.run()
        except (PreconditionFailed, NotFound):
            say("data: an object has changed meanwhile; looking once more")
            return fetch.run()
    except (PreconditionFailed, NotFound) as error:
        raise DataError(
            f"{uri} is being changed while it is fetched: {error}.", "Run again when what writes there is done."
        ) from error
    except Damaged as error:
        raise DataError(
            f"s3://{address.bucket}/{error.key} arrives with other bytes than its MD5 says, twice.",
            "Upload it again, or look at what lies between this machine and S3.",
        ) from error
    except (DiskFailed, OSError) as error:
        raise DataError(f"{uri} cannot be stored here: {error}.", _LARGER_DISK) from error


_LARGER_DISK = "Use an instance with a larger disk (create --volume-size), or fetch less."


@dataclass(frozen=True)
class _Found:
    path: str
    target: Path
    object: ListedFile


class _Fetch:
    """One `fetch_data`; `run` may be called again when the objects have changed."""

    def __init__(
        self,
        bucket: S3Store,
        address: S3Address,
        uri: str,
        cache: DataCache,
        target: Path,
        say: Callable[[str], None],
        stop: StopSignal,
    ) -> None:
        self._bucket, self._address, self._uri = bucket, address, uri
        self._cache, self._target, self._say, self._stop = cache, target, say, stop
        self._files: list[_Found] = []

    def run(self) -> DataManifest:
        for earlier in self._files:
            earlier.target.unlink(missing_ok=True)
        self._files = self._find()
        self._target.mkdir(parents=True, exist_ok=True)
        missing = [file for file in self._files if not self._is_here(file)]
        if missing:
            # Another job may be fetching the very same: it is waited for, and its files are taken.
            with turn(self._cache.lock(self._uri), self._stop, self._waits):
                missing = [file for file in missing if not self._is_here(file)]
                self._say(self._opening(missing))
                if missing:
                    self._make_room(sum(file.object.size for file in missing))
                    self._download(missing)
        else:
            self._say(self._opening(missing))
        return DataManifest(self._uri, [DataFile(f.path, f.object.size, f.object.etag.strip('"')) for f in self._files])

    def _waits(self) -> None:
        self._say("data: waiting for another job that fetches the same")

    def _find(self) -> list[_Found]:
        found = []
        for path, listed in find_objects(self._bucket, self._address.key):
            self._look_for_the_end()
            try:
                found.append(_Found(path, local_path(self._target, path), listed))
            except ValueError:
                raise DataError(
                    f"s3://{self._address.bucket}/{listed.key} cannot become a file: {path!r} is no path in a folder.",
                    "Rename the object, or name a prefix that leaves it out.",
                ) from None
        if not found:
            raise DataError(
                f"There is nothing at {self._uri}: no object of this name, and none below it.",
                f"Look what is there: aws s3 ls s3://{self._address.bucket}/",
            )
        names = {file.path for file in found}
        for file in found:
            both = next((str(p) for p in PurePosixPath(file.path).parents if str(p) in names), None)
            if both is not None:
                raise DataError(
                    f"{both!r} in {self._uri} is an object and also has objects below it, such as {file.path!r}:"
                    " a disk cannot hold both.",
                    "Rename one of them, or name a prefix that leaves one out.",
                )
        return found

    def _look_for_the_end(self) -> None:
        if self._stop.reason is not None:
            raise Stopped

    def _is_here(self, file: _Found) -> bool:
        self._look_for_the_end()
        return self._cache.give(self._kept(file), file.object, file.target)

    def _kept(self, file: _Found) -> Path:
        return self._cache.path(self._address.bucket, file.object)

    def _opening(self, missing: list[_Found]) -> str:
        count, here = len(self._files), len(self._files) - len(missing)
        size = size_text(sum(file.object.size for file in self._files))
        line = f"data: {_files(count)}, {size} from {self._uri}"
        if not here:
            return line
        if not missing:
            return f"{line}; {'it is' if count == 1 else 'all are'} here already"
        return f"{line}; {_files(here)} {'is' if here == 1 else 'are'} here already"

    def _make_room(self, size: int) -> None:
        free = self._cache.make_room(size + _SPARE_BYTES)
        if free < size + _SPARE_BYTES:
            raise DataError(
                f"{size_text(size)} of {self._uri} are to be fetched, and {size_text(free)} are free on the disk of"
                f" {self._target}.",
                _LARGER_DISK,
            )

    def _download(self, missing: list[_Found]) -> None:
        by_kept = {self._kept(file): file for file in missing}

        def place(wanted: Wanted, arrived: Path) -> None:
            file = by_kept[wanted.path]
            self._cache.keep(arrived, wanted.path, file.object, file.target)

        wanted = [Wanted(f.object.key, kept, f.object.size, etag=f.object.etag) for kept, f in by_kept.items()]
        progress = Progress("data", sum(each.size for each in wanted), self._say)
        download(self._bucket, wanted, progress=progress, stop=self._stop, place=place)
        progress.finish()


def _files(count: int) -> str:
    return f"{count:,} file" if count == 1 else f"{count:,} files"
