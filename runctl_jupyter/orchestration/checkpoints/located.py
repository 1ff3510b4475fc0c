"""Which checkpoint a person means, and its files: a job's, an ``s3://`` address, a path on this computer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.contents.files import Files, ReadRange
from runctl_jupyter.orchestration.contents.reading import format_of_files
from runctl_jupyter.orchestration.errors import CheckpointUnreadable, InvalidRequest, JobNotFound, ObjectMissing
from runctl_jupyter.orchestration.model import Checkpoint
from runctl_jupyter.orchestration.storage.local_folder import LocalFolder
from runctl_jupyter.orchestration.storage.storage import storage_errors
from runctl_jupyter.orchestration.storage.transfers import below
from runctl_jupyter.orchestration.storage.uris import S3Uri, begins_as_path
from runctl_jupyter.run_record import CheckpointManifest, JobKeys, NotFound, from_iso
from runctl_jupyter.run_record.checkpoint_names import folder_format, format_of
from runctl_jupyter.run_record.layout import checkpoint_in

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.checkpoints.sources import Sources
    from runctl_jupyter.orchestration.storage.store import Store

Source = str | Path | Checkpoint
"""A checkpoint as a person names it: ``s3://…``, a path, ``JOB`` (its newest), ``JOB/NAME``, or one of a listing."""

_DAMAGED = "It is damaged: take another, `runctl checkpoints list` names them."


@dataclass(frozen=True)
class Located:
    """A checkpoint that is there.

    Parameters
    ----------
    store, prefix
        Where its files lie: their keys are `prefix` and their names.
    written_at
        When the newest of its files was written.
    job_id, manifest
        What the record knows of it; None for one that is not of a job.
    """

    uri: str
    name: str
    files: Files
    store: Store
    prefix: str
    written_at: datetime | None
    job_id: str | None = None
    manifest: CheckpointManifest | None = None

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(self.files.sizes.values())


class Locator:
    """Finds checkpoints by what a person calls them.

    Parameters
    ----------
    sources
        What is said when checkpoints are asked for: the record, buckets, folders.
    of_job
        Returns the complete checkpoints of the job that a reference names, the oldest first.
    """

    def __init__(self, sources: Sources, of_job: Callable[[str], Iterable[Checkpoint]]) -> None:
        self._sources, self._of_job = sources, of_job

    def locate(self, source: Source) -> Located:
        """Find a checkpoint.

        Raises
        ------
        InvalidRequest
            What is named is no one checkpoint.
        ObjectMissing, JobNotFound
            There is nothing of that name.
        StorageUnavailable
            S3 refused or failed.
        """
        if isinstance(source, Checkpoint):
            return self._at(source.uri)
        text = str(source)
        named = isinstance(source, Path) or text.startswith("s3://") or begins_as_path(text)
        return self._at(text) if named or self._sources.path(text).exists() else self._of_a_job(text)

    def _at(self, text: str) -> Located:
        with storage_errors():
            if text.startswith("s3://"):
                address = S3Uri.parse(text)
                return self._recorded_at(text) or _in(self._sources.open_bucket(address.bucket), address.key)
            path = self._sources.path(text)
            if not path.exists():
                raise ObjectMissing(
                    f"There is no file or folder {path}.",
                    "Check the path; it is relative to where you are. A job's: runctl checkpoints list JOB",
                )
            return self._recorded_at(str(path)) or _in(LocalFolder(path.parent), path.name)

    def _of_a_job(self, text: str) -> Located:
        job, _, name = text.partition("/")
        try:
            saved = list(self._of_job(job))
        except JobNotFound as error:
            if not name and format_of(text) is None:
                raise
            raise InvalidRequest(
                f"There is no file {text}, and no job {job!r}.",
                "Give a path, an s3:// address, JOB, or JOB/NAME as `runctl checkpoints list JOB` names it.",
            ) from error
        fitting = [each for each in saved if name in ("", "latest") or each.name in (name, f"{name}/")]
        if not fitting:
            lacks = f"Job {job} has no complete checkpoint{f' {name!r}' if name else ''}."
            raise InvalidRequest(lacks, f"See what there is: runctl checkpoints list {job}")
        return self._at(next((each for each in fitting if each.latest), fitting[-1]).uri)

    def _recorded_at(self, uri: str) -> Located | None:
        """Return a checkpoint of the record by its address; None for what is none: then its files tell."""
        if checkpoint_in(uri) is None:
            return None  # then no record is opened: a file on this computer needs no account
        record = self._sources.record()
        root = f"{record.store.uri}/"
        named = checkpoint_in(uri) if uri.startswith(root) else None
        if named is None:
            return None
        job_id, attempt, seq = named
        keys = JobKeys(job_id)
        try:
            found = record.store.get(keys.checkpoint_manifest(attempt, seq)).data
        except NotFound:
            return None
        manifest = _manifest(found, uri)
        prefix = keys.checkpoint_data(attempt, seq)
        sizes = {file.path: file.size for file in manifest.files}
        data = record.store.uri_of(prefix)
        return Located(
            uri=data + (manifest.files[0].path if len(sizes) == 1 else ""),
            name=manifest.name,
            files=Files(sizes, _reader(record.store, prefix, sizes)),
            store=record.store,
            prefix=prefix,
            written_at=from_iso(manifest.created_at),
            job_id=job_id,
            manifest=manifest,
        )


def _manifest(data: bytes, uri: str) -> CheckpointManifest:
    """Read a manifest; what it names must lie in its checkpoint."""
    try:
        manifest = CheckpointManifest.from_json(data)
    except ValueError as error:
        raise CheckpointUnreadable(f"The manifest of {uri} cannot be read ({error}).", _DAMAGED) from error
    names = [file.path for file in manifest.files]
    outside = next((name for name in names if {"", ".", ".."} & set(name.split("/"))), None)
    if outside is not None or not names:
        raise CheckpointUnreadable(f"The manifest of {uri} names {outside!r}, no file of a checkpoint.", _DAMAGED)
    return manifest


def _in(store: Store, key: str) -> Located:
    """Return the checkpoint that a key names: an object, or what is below it."""
    if key and not key.endswith("/"):
        try:
            head = store.get_part(key, 0, 1)
        except NotFound:
            key += "/"
        else:
            name = key.rpartition("/")[2]
            return _unrecorded(store, store.uri_of(key), key.removesuffix(name), {name: head.size}, head.modified)
    found = below(store, key)
    sizes = {name: each.size for name, each in found.items()}
    newest = max((each.last_modified for each in found.values()), default=None)
    return _folder(store, store.uri_of(key), key, sizes, newest)


def _folder(store: Store, uri: str, prefix: str, sizes: Mapping[str, int], newest: datetime | None) -> Located:
    if not sizes:
        raise ObjectMissing(f"There is nothing at {uri.rstrip('/')}.", "See what is there: runctl s3 list")
    found = _unrecorded(store, uri, prefix, _own(sizes), newest)
    if format_of_files(found.files) is None:
        raise InvalidRequest(
            f"{uri} is not one checkpoint: it has {len(sizes):,} files, and none that marks a known format.",
            f"See which checkpoints lie there: runctl checkpoints list {uri}",
        )
    return found


def _own(sizes: Mapping[str, int]) -> dict[str, int]:
    """Return a folder's files without those of other checkpoints below it, as a trainer's output folder has."""
    below: dict[str, set[str]] = {}
    for name in sizes:
        parent, _, last = name.rpartition("/")
        below.setdefault(parent, set()).add(last)
    others = tuple(f"{parent}/" for parent, names in below.items() if parent and folder_format(names) is not None)
    return {name: size for name, size in sizes.items() if not name.startswith(others)}


def _unrecorded(store: Store, uri: str, prefix: str, sizes: Mapping[str, int], written: datetime | None) -> Located:
    name = uri.rstrip("/").rpartition("/")[2]
    return Located(uri, name, Files(sizes, _reader(store, prefix, sizes)), store, prefix, written)


def _reader(store: Store, prefix: str, sizes: Mapping[str, int]) -> ReadRange:
    """Return what reads a checkpoint's files, each of them in one version."""
    etags: dict[str, str] = {}

    def read(name: str, start: int, end: int) -> bytes:
        with storage_errors():
            part = store.get_part(prefix + name, start, end)
        if etags.setdefault(name, part.etag) != part.etag or part.size != sizes[name]:
            raise CheckpointUnreadable(f"{store.uri_of(prefix + name)} was replaced while it was read.", "Try again.")
        return part.data

    return read
