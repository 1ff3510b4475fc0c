"""Uploads and downloads of many files between a folder and one bucket: looked through first, then moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.storage.bucket import BucketStore
from runctl_jupyter.orchestration.storage.crew import WORKERS, OnProgress, Tally, work_off
from runctl_jupyter.orchestration.storage.downloads import Downloads
from runctl_jupyter.orchestration.storage.explained import storage_errors
from runctl_jupyter.orchestration.storage.listed import ListedObject
from runctl_jupyter.orchestration.storage.names import ALL, LocalFile, Selection, check_key
from runctl_jupyter.orchestration.storage.parts import MOST_IN_FLIGHT, PART_BYTES, crews
from runctl_jupyter.orchestration.storage.uploads import Condition, Uploads

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.storage.store import Store


def send(
    store: BucketStore,
    files: Sequence[tuple[LocalFile, str]],
    prefix: str,
    *,
    condition: Condition | None = None,
    on_progress: OnProgress | None = None,
) -> Uploads:
    """Upload files to their keys, which all begin with `prefix`, and read back what S3 has then."""
    for _, key in files:
        check_key(key)
    tally = Tally(len(files), sum(file.size for file, _ in files))
    uploads = Uploads(store, tally, condition)
    with storage_errors():
        for workers, indexes in crews(file.size for file, _ in files).items():
            work_off((uploads.job(*files[index]) for index in indexes), tally, on_progress, workers)
        work_off(uploads.confirm(prefix), tally, None, WORKERS)
    return uploads


def fetch(
    store: BucketStore,
    places: Mapping[str, ListedObject],
    *,
    verify: bool = True,
    on_progress: OnProgress | None = None,
) -> None:
    """Download objects to the absolute paths they are at in `places`."""
    tally = Tally(len(places), sum(found.size for found in places.values()))
    downloads = Downloads(store, tally, verify=verify)
    small = sum(found.size <= PART_BYTES for found in places.values())
    try:
        with storage_errors():
            work_off(downloads.jobs(places), tally, on_progress, max(MOST_IN_FLIGHT, min(small, WORKERS)))
    finally:
        downloads.close()


def bring(store: Store, places: Mapping[str, str], *, on_progress: OnProgress | None = None) -> None:
    """Bring objects, whose keys are in `places`, to paths; from a bucket as `fetch` does, from a folder as copies."""
    with storage_errors():
        if isinstance(store, BucketStore):
            found = {path: store.look(key) for path, key in places.items()}
            fetch(store, found, on_progress=on_progress)
            return
        tally = Tally(len(places), sum(store.head(key).size for key in places.values()))
        for path, key in places.items():
            tally.moved(store.get_file(key, Path(path)))
            tally.finished()
            if on_progress is not None:
                on_progress(tally.progress())


def below(store: Store, prefix: str, selection: Selection = ALL) -> dict[str, ListedObject]:
    """Return the objects under a prefix by their names relative to it, without what stands for folders there."""
    start = len(prefix)
    found: dict[str, ListedObject] = {}
    parents: set[str] = set()
    with storage_errors():
        for each in store.walk(prefix):
            name = each.key[start:]
            # The library lists `dir/`, an object that consoles make to have a folder, as `dir`.
            if len(each.key) < start or not name or name.endswith("/") or not selection.takes(name):
                continue
            found[name] = each
            parent = name.rpartition("/")[0]
            while parent and parent not in parents:
                parents.add(parent)
                parent = parent.rpartition("/")[0]
        for name in parents & found.keys():
            if found[name].size == 0 and not store.exists(found[name].key):
                del found[name]
    return found
