"""The checkpoint an attempt goes on from: fetched and verified before the script sees it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Callable, Optional

from runctl_jupyter.run_record import (
    CheckpointManifest,
    JobKeys,
    LatestCheckpoint,
    NotFound,
    PreconditionFailed,
    RecordStore,
    ResumeFrom,
)
from runctl_jupyter.run_record.layout import checkpoint_number
from runctl_jupyter.run_record.sizes import size_text
from runctl_jupyter.runner.downloads import Damaged, DiskFailed, Progress, Wanted, download, local_path
from runctl_jupyter.runner.files import FileStore
from runctl_jupyter.runner.s3 import S3Store
from runctl_jupyter.runner.s3_listing import S3Address, find_objects
from runctl_jupyter.runner.stops import StopSignal


class ResumeError(Exception):
    """The checkpoint cannot be brought; the message, of two lines, is for people."""

    def __init__(self, what: str, to_resolve: str) -> None:
        super().__init__(f"{what}\n{to_resolve}")


class _DamagedCheckpoint(ResumeError):
    """It is there, but not as it was saved."""

    def __init__(self, what: str) -> None:
        super().__init__(what, "Resume from an older checkpoint: `runctl checkpoints list JOB` names them.")


def fetch_checkpoint(
    store: FileStore,
    resume: ResumeFrom,
    job_id: str,
    target: Path,
    *,
    say: Callable[[str], None],
    stop: StopSignal,
) -> Path:
    """Bring a checkpoint into `target` and return its file or folder, under the name the script gave it.

    Parameters
    ----------
    store
        The job's record.
    resume
        A checkpoint of the record, or an ``s3://`` object or prefix. Without number it is the newest that is whole.
    job_id
        The job whose checkpoint it is, unless `resume` names another.
    say
        Writes a line to the job's log.

    Raises
    ------
    ResumeError
        There is none, or it is damaged, or does not fit on the disk.
    StoreError
        The store failed.
    Stopped
        The job was told to end.
    """
    fetch = _Fetch(store, target, say, stop)
    if resume.uri is not None:
        return fetch.from_uri(resume.uri)
    job_id = resume.job_id or job_id
    if resume.attempt is not None and resume.seq is not None:
        return fetch.from_record(job_id, resume.attempt, resume.seq)
    problem: Optional[_DamagedCheckpoint] = None
    for candidate in candidates_for_resume(store, job_id):
        if candidate.attempt is None or candidate.seq is None or resume.attempt not in (None, candidate.attempt):
            continue
        try:
            return fetch.from_record(job_id, candidate.attempt, candidate.seq)
        except _DamagedCheckpoint as error:
            problem = problem or error
            say(f"resume: {str(error).splitlines()[0]} Trying an older one.")
    raise problem or ResumeError(
        f"Job {job_id} has no complete checkpoint to resume from.", "Start without: --resume none."
    )


def latest_of(store: FileStore, job_id: str) -> Optional[ResumeFrom]:
    """Return the newest complete checkpoint of a job, None when it has none.

    Raises
    ------
    StoreError
        The store failed.
    """
    return next(candidates_for_resume(store, job_id), None)


def candidates_for_resume(store: FileStore, job_id: str) -> Iterator[ResumeFrom]:
    """Find the complete checkpoints of a job, the newest first.

    Not by the pointer alone: a runner that died between manifest and pointer leaves a checkpoint that is newer.
    Nor by counting: where checkpoints have been pruned, numbers have gaps.

    Yields
    ------
    ResumeFrom
        A checkpoint that has a manifest.

    Raises
    ------
    StoreError
        The store failed.
    """
    keys = JobKeys(job_id)
    pointer = _pointer(store, keys)
    newest = (pointer.attempt, pointer.seq) if pointer is not None else (1, 0)
    saved = [number for name in store.names(keys.checkpoints_prefix) if (number := checkpoint_number(name)) is not None]
    for attempt in sorted({attempt for attempt, _ in saved}, reverse=True):
        numbers = sorted((each for each in saved if each[0] == attempt), reverse=True)
        # Those before the one pointed to are older whatever their times: their manifests need not be read to sort.
        before = [each for each in numbers if attempt == newest[0] and each < newest]
        rest = [each for each in numbers if each not in before]
        for number in [*_by_time(store, keys, rest), *before]:
            yield ResumeFrom(job_id, *number)


def _by_time(store: FileStore, keys: JobKeys, numbers: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return checkpoints of an attempt, the newest first.

    Their order is not always that of their numbers: when a machine is about to go, the newest checkpoint is saved
    before those that still waited.
    """
    found: list[tuple[str, tuple[int, int]]] = []
    for number in numbers:
        data = _manifest(store, keys, *number)
        if data is None:
            continue
        try:
            created_at = CheckpointManifest.from_json(data).created_at
        except ValueError:
            created_at = ""  # fetching it will say so
        found.append((created_at, number))
    return [number for _, number in sorted(found, reverse=True)]


def _manifest(store: RecordStore, keys: JobKeys, attempt: int, seq: int) -> Optional[bytes]:
    try:
        return store.get(keys.checkpoint_manifest(attempt, seq)).data
    except NotFound:
        return None


def _pointer(store: RecordStore, keys: JobKeys) -> Optional[LatestCheckpoint]:
    try:
        return LatestCheckpoint.from_json(store.get(keys.latest_checkpoint).data)
    except (NotFound, ValueError):
        return None


class _Fetch:
    def __init__(self, store: FileStore, target: Path, say: Callable[[str], None], stop: StopSignal) -> None:
        self._store, self._target, self._say, self._stop = store, target, say, stop

    def from_record(self, job_id: str, attempt: int, seq: int) -> Path:
        """Fetch a checkpoint of the record; nothing of it stays when it is damaged."""
        keys = JobKeys(job_id)
        what = f"checkpoint {seq} of attempt {attempt} of job {job_id}"
        data = _manifest(self._store, keys, attempt, seq)
        if data is None:
            raise ResumeError(f"There is no {what}.", f"See what there is: runctl checkpoints list {job_id}")
        try:
            manifest = CheckpointManifest.from_json(data)
            name = PurePosixPath(manifest.name).name
            place = local_path(self._target, name)
            single = [file.path for file in manifest.files] == [name]
            paths = [place if single else local_path(place, file.path) for file in manifest.files]
        except ValueError as error:
            raise _DamagedCheckpoint(f"The manifest of {what} cannot be read ({error}).") from error
        prefix = keys.checkpoint_data(attempt, seq)
        wanted = [
            Wanted(prefix + file.path, path, file.size, sha256=file.sha256) for file, path in zip(manifest.files, paths)
        ]
        try:
            self._download(self._store, wanted, place, f"{manifest.name} of attempt {attempt}")
        except (Damaged, NotFound) as error:
            self._remove(place)
            of = f"of checkpoint {manifest.name} (attempt {attempt})"
            if isinstance(error, Damaged):
                raise _DamagedCheckpoint(f"{error.key[len(prefix) :]} {of} has other bytes than were saved.") from error
            raise _DamagedCheckpoint(f"A file {of} is gone: {error}.") from error
        return place

    def from_uri(self, uri: str) -> Path:
        """Fetch a checkpoint that is not of the record."""
        if not isinstance(self._store, S3Store):
            raise ResumeError(
                f"{uri} cannot be fetched: a job on this computer keeps its record in a folder and does not use S3.",
                "Choose a target with S3 (aws or sandbox), or give a job of this record.",
            )
        try:
            address = S3Address.parse(uri)
            place = local_path(self._target, address.name)
        except ValueError as error:
            raise ResumeError(f"--resume: {error}.", "Write s3://BUCKET/KEY or s3://BUCKET/FOLDER/.") from error
        bucket = self._store.elsewhere(f"s3://{address.bucket}")
        wanted = []
        for path, found in find_objects(bucket, address.key):
            single = found.key == address.key
            try:
                local = place if single else local_path(place, path)
            except ValueError:
                raise ResumeError(
                    f"s3://{address.bucket}/{found.key} cannot become a file: {path!r} is no path in a folder.",
                    "Rename the object.",
                ) from None
            wanted.append(Wanted(found.key, local, found.size, etag=found.etag))
        if not wanted:
            raise ResumeError(
                f"There is no checkpoint at {uri}: no object of this name, and none below it.",
                f"Look what is there: aws s3 ls s3://{address.bucket}/",
            )
        try:
            self._download(bucket, wanted, place, uri)
        except Damaged as error:
            raise ResumeError(
                f"s3://{address.bucket}/{error.key} arrives with other bytes than its MD5 says, twice.",
                "Upload it again, or resume from another checkpoint.",
            ) from error
        except (PreconditionFailed, NotFound) as error:
            raise ResumeError(
                f"{uri} was changed while it was fetched: {error}.", "Run again when what writes there is done."
            ) from error
        return place

    def _download(self, store: FileStore, wanted: list[Wanted], place: Path, what: str) -> None:
        size = sum(each.size for each in wanted)
        self._say(f"resume: {what}, {size_text(size)}")
        try:
            self._remove(place)
            self._target.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._target).free
            if free < size:
                raise DiskFailed(f"{size_text(free)} are free on the disk of {self._target}")
            progress = Progress("resume", size, self._say)
            download(store, wanted, progress=progress, stop=self._stop)
        except (DiskFailed, OSError) as error:
            raise ResumeError(
                f"The checkpoint {what}, {size_text(size)}, cannot be stored here: {error}.",
                "Use an instance with a larger disk (create --volume-size).",
            ) from error
        progress.finish()

    def _remove(self, place: Path) -> None:
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
