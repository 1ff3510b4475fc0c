"""Makes a prefix like a folder, a folder like a prefix, a prefix like another: moves what differs, by content.

Two files are the same when their sizes are, and their content is: what S3's entity tag says of an object is compared
with the file, and the answer is remembered until one of the two changes. A tag that says nothing (another tool's parts,
a KMS key) leaves the dates to decide, as with other tools.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from runctl_jupyter.orchestration.errors import InvalidRequest, ObjectMissing
from runctl_jupyter.orchestration.storage.bucket import BucketStore
from runctl_jupyter.orchestration.storage.crew import WORKERS, OnProgress, Tally, work_off
from runctl_jupyter.orchestration.storage.downloads import file_errors
from runctl_jupyter.orchestration.storage.explained import storage_errors
from runctl_jupyter.orchestration.storage.listed import ListedObject
from runctl_jupyter.orchestration.storage.names import LocalFile, Selection, check_key, landing_places, local_file
from runctl_jupyter.orchestration.storage.names import local_files as files_below
from runctl_jupyter.orchestration.storage.parts import MOST_IN_FLIGHT, EntityTag, tag_fits
from runctl_jupyter.orchestration.storage.sync_memory import Known, SyncMemory, known
from runctl_jupyter.orchestration.storage.transfers import below, fetch, send

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Difference:
    """What a sync does: names to move, names to remove, and how many are the same."""

    moved: Mapping[str, int]
    """Sizes by names."""
    deleted: Mapping[str, int]
    unchanged: int


class FolderSync:
    """A folder and a prefix that are compared.

    Parameters
    ----------
    prefix
        Empty, or ends in ``/``.
    selection
        Which names take part; others are neither moved nor removed.
    memory
        What was found out before.
    """

    def __init__(self, store: BucketStore, prefix: str, folder: Path, selection: Selection, memory: SyncMemory) -> None:
        self._store, self._prefix, self._folder = store, prefix, folder
        self._selection, self._memory = selection, memory
        self._before = memory.load()
        self._after: dict[str, Known] = {}
        self._lock = threading.Lock()

    def upload(self, *, delete: bool, dry_run: bool, on_progress: OnProgress | None) -> Difference:
        """Make the prefix like the folder.

        Raises
        ------
        InvalidRequest
            There is no such folder, or a name in it cannot be a key.
        """
        if not self._folder.is_dir():
            raise InvalidRequest(f"There is no folder {self._folder}.", "Check the path; s3 upload takes single files.")
        local = self._local()
        if not local and delete:
            raise InvalidRequest(f"There is nothing in {self._folder} to be like.", "Without --delete it does nothing.")
        remote = below(self._store, self._prefix, self._selection)
        for name in local:
            check_key(self._prefix + name)
        changed = self._changed(local, remote, lambda file, found: file.mtime_ns > _ns(found))
        wanted = [name for name in local if name not in remote or name in changed]
        extra = [name for name in remote if name not in local] if delete else []
        if not dry_run:
            files = [(local[name], self._prefix + name) for name in wanted]
            sent = send(self._store, files, self._prefix, on_progress=on_progress)
            self._after.update(
                {file.name: known(file, sent.etags.get(each.key, each.etag)) for file, each in sent.sent}
            )
            with storage_errors():
                self._store.delete([remote[name].key for name in extra])
        self._remember()
        sizes = {name: local[name].size for name in wanted}
        return Difference(sizes, {name: remote[name].size for name in extra}, len(local) - len(wanted))

    def download(self, *, delete: bool, dry_run: bool, verify: bool, on_progress: OnProgress | None) -> Difference:
        """Make the folder like the prefix.

        Raises
        ------
        InvalidRequest
            A key would leave the folder, or two cannot both be in it.
        ObjectMissing
            There is nothing under the prefix; a folder is not emptied for a slip of the pen.
        """
        remote = below(self._store, self._prefix, self._selection)
        if not remote:
            raise _nothing_under(self._store, self._prefix)
        places = landing_places(str(self._folder), remote)
        local = self._local() if self._folder.is_dir() else {}
        changed = self._changed(local, remote, _may_be_older)
        wanted = [name for name in remote if name not in local or name in changed]
        extra = [name for name in local if name not in remote] if delete else []
        if not dry_run:
            for name in extra:
                self._remove(local[name])
            fetch(self._store, {places[name]: remote[name] for name in wanted}, verify=verify, on_progress=on_progress)
            self._after.update({name: _known_at(places[name], remote[name].etag) for name in wanted})
        self._remember()
        sizes = {name: remote[name].size for name in wanted}
        return Difference(sizes, {name: local[name].size for name in extra}, len(remote) - len(wanted))

    def _remember(self) -> None:
        """Keep what was found out, and what is known of names that took no part."""
        others = {name: entry for name, entry in self._before.items() if not self._selection.takes(name)}
        self._memory.save({**others, **self._after})

    def _local(self) -> dict[str, LocalFile]:
        with file_errors(str(self._folder)):
            return {file.name: file for file in files_below(str(self._folder), self._selection)}

    def _changed(
        self,
        local: Mapping[str, LocalFile],
        remote: Mapping[str, ListedObject],
        by_date: Callable[[LocalFile, ListedObject], bool],
    ) -> set[str]:
        """Return the names that are on both sides and differ."""
        changed: set[str] = set()
        unsure: list[str] = []
        for name, file in local.items():
            found = remote.get(name)
            if found is None:
                continue
            if file.size != found.size:
                changed.add(name)
            elif self._before.get(name) == (fresh := known(file, found.etag)):
                self._after[name] = fresh
            else:
                unsure.append(name)

        def look(name: str) -> None:
            file, found = local[name], remote[name]
            with file_errors(file.path):
                fits = tag_fits(file.path, file.size, EntityTag(found.etag))
            differs = by_date(file, found) if fits is None else not fits
            with self._lock:
                if differs:
                    changed.add(name)
                else:
                    self._after[name] = known(file, found.etag)

        work_off((partial(look, name) for name in unsure), Tally(0, 0), None, WORKERS)
        return changed

    def _remove(self, file: LocalFile) -> None:
        """Remove a file, and the folders that are empty then."""
        with file_errors(file.path):
            Path(file.path).unlink()
            folder = Path(file.path).parent
            while folder != self._folder and not any(folder.iterdir()):
                folder.rmdir()
                folder = folder.parent


def copy_within_s3(
    source: tuple[BucketStore, str],
    destination: tuple[BucketStore, str],
    selection: Selection,
    *,
    delete: bool,
    dry_run: bool,
    on_progress: OnProgress | None,
) -> Difference:
    """Make a prefix like another, each given as store and prefix; the bytes stay in S3.

    Objects of the same size are the same when their tags are, or when the copy is the younger: what S3 copies in parts
    has a tag of its own.

    Raises
    ------
    ObjectMissing
        There is nothing under the source.
    """
    (origin, origin_prefix), (store, prefix) = source, destination
    theirs, ours = below(origin, origin_prefix, selection), below(store, prefix, selection)
    if not theirs:
        raise _nothing_under(origin, origin_prefix)
    wanted = {name: each for name, each in theirs.items() if _is_older(ours.get(name), each)}
    extra = {name: each for name, each in ours.items() if name not in theirs} if delete else {}
    if not dry_run:
        tally = Tally(len(wanted), sum(each.size for each in wanted.values()))

        def copy(name: str) -> None:
            store.copy_from(origin, wanted[name].key, prefix + name)
            tally.moved(wanted[name].size)
            tally.finished()

        with storage_errors():
            work_off((partial(copy, name) for name in wanted), tally, on_progress, MOST_IN_FLIGHT)
            store.delete([each.key for each in extra.values()])
    sizes = {name: each.size for name, each in wanted.items()}
    return Difference(sizes, {name: each.size for name, each in extra.items()}, len(theirs) - len(wanted))


def _is_older(found: ListedObject | None, than: ListedObject) -> bool:
    """Return whether what is there is not a copy, or may be none."""
    if found is None or found.size != than.size:
        return True
    # S3 tells time in whole seconds: within one, either may have been the first.
    return found.etag != than.etag and found.last_modified <= than.last_modified


def _may_be_older(file: LocalFile, than: ListedObject) -> bool:
    return file.mtime_ns - file.mtime_ns % _SECOND_NS <= _ns(than)


def _nothing_under(store: BucketStore, prefix: str) -> ObjectMissing:
    return ObjectMissing(f"There is nothing under {store.uri_of(prefix)}.", "See what is there: runctl s3 list")


def _ns(found: ListedObject) -> int:
    return int(found.last_modified.timestamp()) * _SECOND_NS


def _known_at(path: str, etag: str) -> Known:
    return known(local_file(Path(path)), etag)
