"""Checkpoints that jobs of a record have saved: their manifests say what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.checkpoints.shelf import Shelved
from runctl_jupyter.orchestration.model import Checkpoint
from runctl_jupyter.run_record import CheckpointManifest, JobKeys, NotFound, from_iso
from runctl_jupyter.run_record.checkpoint_names import epoch_of
from runctl_jupyter.run_record.layout import TOMBSTONE, checkpoint_number

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.record import JobRecord


_ODD = {"", ".", ".."}


@dataclass(frozen=True)
class _Numbered:
    """A checkpoint by its place in the record."""

    job_id: str
    attempt: int
    seq: int

    @property
    def folder(self) -> str:
        """Prefix of its data."""
        return JobKeys(self.job_id).checkpoint_data(self.attempt, self.seq)

    @property
    def manifest(self) -> str:
        """Key of its manifest."""
        return JobKeys(self.job_id).checkpoint_manifest(self.attempt, self.seq)


def recorded(record: JobRecord, job_ids: Sequence[str], *, within: str = "", incomplete: bool = False) -> list[Shelved]:
    """Return the checkpoints of jobs.

    Parameters
    ----------
    within
        Only those whose data or manifest lies below this prefix of the record.
    incomplete
        Those too that have data and no manifest; that takes a listing for each.
    """
    levels = record.each(lambda job_id: _level(record, job_id), job_ids)
    known = [(each, has) for level in levels for each, has in level if _meet(each.folder, within)]
    whole = record.each(lambda each: _complete(record, each), [each for each, has in known if has])
    partly = [each for each, has in known if not has] if incomplete else []
    found = [
        each for each in (*whole, *record.each(lambda each: _incomplete(record, each), partly)) if each is not None
    ]
    return [each for each in found if incomplete or each.checkpoint.complete]


def _meet(folder: str, within: str) -> bool:
    """Return whether one of two prefixes lies in the other."""
    return folder.startswith(within) or within.startswith(folder)


def _level(record: JobRecord, job_id: str) -> list[tuple[_Numbered, bool]]:
    """Return a job's checkpoints, and whether each has a manifest."""
    below, objects = record.store.children(JobKeys(job_id).checkpoints_prefix)
    manifests = {number for each in objects if (number := checkpoint_number(each.key.rpartition("/")[2])) is not None}
    folders = {number for name in below if (number := checkpoint_number(name)) is not None}
    return [(_Numbered(job_id, *number), number in manifests) for number in sorted(manifests | folders)]


def _complete(record: JobRecord, place: _Numbered) -> Shelved | None:
    try:
        manifest = CheckpointManifest.from_json(record.store.get(place.manifest).data)
        created_at = from_iso(manifest.created_at)
        if created_at.tzinfo is None:
            raise ValueError("a time without its zone")
    except NotFound:
        return None  # removed meanwhile
    except ValueError:
        return _incomplete(record, place)  # nobody can tell what its bytes must be
    single = manifest.files[0].path if len(manifest.files) == 1 else ""
    return _shelved(
        record,
        place,
        Checkpoint(
            uri=record.store.uri_of(place.folder + single),
            name=manifest.name,
            step=manifest.step,
            metrics=manifest.metrics,
            size=manifest.size,
            created_at=created_at,
            format=manifest.format,
            complete=True,
            job_id=place.job_id,
            attempt=place.attempt,
            epoch=epoch_of(manifest.name),
            seq=place.seq,
        ),
        # Whoever may write manifests must not be able to name what lies elsewhere.
        tuple(place.folder + file.path for file in manifest.files if not _ODD & set(file.path.split("/"))),
    )


def _incomplete(record: JobRecord, place: _Numbered) -> Shelved | None:
    files = list(record.store.walk(place.folder))
    if not files:
        return None
    names = [each.key[len(place.folder) :] for each in files]
    own = [name for name in names if name != TOMBSTONE]
    checkpoint = Checkpoint(
        uri=record.store.uri_of(place.folder),
        name=own[0] if len(own) == 1 else place.folder.rstrip("/").rpartition("/")[2],
        step=None,
        metrics={},
        size=sum(each.size for each in files),
        created_at=max(each.last_modified for each in files),
        format="file",
        complete=False,
        job_id=place.job_id,
        attempt=place.attempt,
        seq=place.seq,
    )
    return _shelved(record, place, checkpoint, tuple(each.key for each in files), left_over=TOMBSTONE in names)


def _shelved(
    record: JobRecord,
    place: _Numbered,
    checkpoint: Checkpoint,
    files: tuple[str, ...] = (),
    *,
    left_over: bool = False,
) -> Shelved:
    return Shelved(
        checkpoint,
        record.store,
        chain=record.store.uri_of(JobKeys(place.job_id).prefix),
        marks=(place.manifest,),
        folder=place.folder,
        files=files,
        left_over=left_over,
    )
