"""What is said when checkpoints are asked for: a job, an ``s3://`` prefix, a folder, or nothing: the whole project."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from runctl_jupyter.orchestration.checkpoints.foreign import shelved_below
from runctl_jupyter.orchestration.checkpoints.recorded import recorded
from runctl_jupyter.orchestration.errors import ConfigInvalid, InvalidRequest, JobNotFound
from runctl_jupyter.orchestration.storage.listed import ListedObject
from runctl_jupyter.orchestration.storage.local_folder import LocalFolder
from runctl_jupyter.orchestration.storage.uris import S3Uri, as_prefix, begins_as_path
from runctl_jupyter.run_record import NotFound
from runctl_jupyter.run_record.layout import JOBS_PREFIX

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.checkpoints.shelf import Shelved
    from runctl_jupyter.orchestration.jobs.record import JobRecord
    from runctl_jupyter.orchestration.storage.store import Store

_OF_A_JOB = re.compile(r"jobs/([^/]+)/(?:checkpoints/.*)?")
_IN_A_RECORD = re.compile(r"((?:.*/)?)jobs/([^/]+)/(?:checkpoints/\d+-\d{5,}(?:/.*|\.json)|spec\.json)")
_ROOMS = ("jobs/", "blobs/", "resumed/")
"""What a record keeps its objects under."""


class OpenBucket(Protocol):
    """Opens a bucket."""

    def __call__(self, bucket: str, prefix: str = "") -> Store:
        """Return the store of a bucket, or of what is below a prefix of it."""


@dataclass(frozen=True)
class Source:
    """What was looked through."""

    said: str
    """Its address or the job's id."""
    shelved: list[Shelved]
    records: Sequence[JobRecord] = field(default=())
    """Whose jobs may need some of it."""
    is_job: bool = False


class Sources:
    """Looks through what a text names.

    Parameters
    ----------
    record
        Returns the record in use; it may raise `ConfigInvalid` where none is.
    find_job
        Returns the id of the job that a reference names.
    open_bucket
        Opens any bucket the credentials reach.
    record_in
        Makes the record of a store that holds one.
    record_in_s3
        Whether the record in use is in S3: then it need not be opened to look into a folder.
    cwd
        Where relative paths start.
    """

    def __init__(
        self,
        record: Callable[[], JobRecord],
        find_job: Callable[[str], str],
        open_bucket: OpenBucket,
        record_in: Callable[[Store], JobRecord],
        record_in_s3: bool,
        cwd: Path,
    ) -> None:
        self.record, self.find_job = record, find_job
        self.open_bucket, self._record_in, self._in_s3, self._cwd = open_bucket, record_in, record_in_s3, cwd

    def look(self, source: str | None, *, incomplete: bool) -> Source:
        """Return the checkpoints of a source, with or without those that are not complete.

        Raises
        ------
        InvalidRequest, JobNotFound
            It names nothing.
        """
        if source is None:
            record = self.record()
            return Source(record.store.uri, recorded(record, record.ids(), incomplete=incomplete), [record])
        if source.startswith("s3://"):
            address = S3Uri.parse(source)
            return self._below(self.open_bucket(address.bucket), address.key, source, incomplete=incomplete)
        path = self.path(source)
        if not is_path(source):
            try:
                record, job_id = self.record(), self.find_job(source)
            except JobNotFound:
                if not path.exists():
                    raise
            else:
                return Source(job_id, recorded(record, [job_id], incomplete=incomplete), [record], is_job=True)
        if not path.exists():
            raise InvalidRequest(f"There is no folder {path}.", "Check the path; it is relative to where you are.")
        folder, name = (path, "") if path.is_dir() else (path.parent, path.name)
        return self._below(LocalFolder(folder), name, str(path), incomplete=incomplete)

    def _own_record(self, store: Store) -> JobRecord | None:
        """Return the record in use if it can have to do with a store."""
        if self._in_s3 != store.uri.startswith("s3://"):
            return None
        try:
            return self.record()
        except ConfigInvalid:
            return None

    def path(self, source: str) -> Path:
        """Return what a relative path means."""
        path = Path(source).expanduser()
        return (path if path.is_absolute() else self._cwd / path).resolve()

    def _below(self, store: Store, key: str, said: str, *, incomplete: bool) -> Source:
        prefix = as_prefix(key)
        own = self._own_record(store)
        if own is not None and (inside := _inside(own, store.uri_of(prefix))) is not None:
            named = _OF_A_JOB.fullmatch(inside)
            ids = own.ids() if named is None else [named[1]]
            return Source(said, recorded(own, ids, within=inside, incomplete=incomplete), [own])
        roots: dict[str, set[str]] = {}
        objects = list(_noting_jobs(self._objects(store, key, prefix), roots))
        shelved = shelved_below(store, _outside(objects, roots), prefix)
        records = [] if own is None else [own]
        for root, jobs in roots.items():
            record = self._record_at(store, root, own)
            records += [record] if record is not own else []
            shelved += recorded(record, sorted(jobs), within=prefix[len(root) :], incomplete=incomplete)
        return Source(said, [each for each in shelved if incomplete or each.checkpoint.complete], records)

    def _objects(self, store: Store, key: str, prefix: str) -> Iterator[ListedObject]:
        """List what is below a prefix, or the one object that has this key."""
        if key != prefix:
            try:
                part = store.get_part(key, 0, 1)
            except NotFound:
                pass
            else:
                if part.modified is not None:
                    yield ListedObject(key, part.size, part.modified)
        yield from store.walk(prefix)

    def _record_at(self, store: Store, root: str, own: JobRecord | None) -> JobRecord:
        place = store.uri_of(root).rstrip("/")
        if own is not None and place == own.store.uri:
            return own
        if place.startswith("s3://"):
            address = S3Uri.parse(place)
            return self._record_in(self.open_bucket(address.bucket, address.key))
        return self._record_in(LocalFolder(Path(place)))


def is_path(source: str) -> bool:
    """Return whether it can be nothing but a path."""
    return begins_as_path(source) or "/" in source


def _inside(record: JobRecord, uri: str) -> str | None:
    """Return the part of a record that an address is, as far as it holds checkpoints; None for anything else."""
    root = f"{record.store.uri}/"
    if not uri.startswith(root):
        return None
    inside = uri.removeprefix(root)
    return inside if inside in ("", JOBS_PREFIX) or _OF_A_JOB.fullmatch(inside) else None


def _noting_jobs(objects: Iterable[ListedObject], roots: dict[str, set[str]]) -> Iterator[ListedObject]:
    """Pass objects on, and note the records they are of, with their jobs."""
    for each in objects:
        of_record = _IN_A_RECORD.fullmatch(each.key)
        if of_record is not None:
            roots.setdefault(of_record[1], set()).add(of_record[2])
        yield each


def _outside(objects: Iterable[ListedObject], roots: Iterable[str]) -> Iterator[ListedObject]:
    """Leave out what is a record's own: logs, code, outputs, and checkpoints that have manifests."""
    rooms = tuple(f"{root}{room}" for root in roots for room in _ROOMS)
    return (each for each in objects if not each.key.startswith(rooms))
