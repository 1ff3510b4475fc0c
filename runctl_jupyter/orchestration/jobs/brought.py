"""A checkpoint of this computer that a new job begins with: it becomes the job's own, of attempt 0."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.storage.local_folder import LocalFolder
from runctl_jupyter.orchestration.storage.transfers import below
from runctl_jupyter.orchestration.storage.uris import begins_as_path
from runctl_jupyter.run_record import CheckpointFile, CheckpointManifest, JobKeys, ResumeFrom, now, to_iso
from runctl_jupyter.run_record.checkpoint_names import folder_format, format_of, step_of

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.storage.store import Store

BROUGHT = ResumeFrom(attempt=0, seq=0)
"""Where such a job goes on from; without a job's id it is the job itself that is meant."""


@dataclass(frozen=True)
class BroughtCheckpoint:
    """A file, or a folder with its files by the names they have in it."""

    name: str
    format: str
    files: Mapping[str, Path]


def on_this_computer(said: str, cwd: Path) -> BroughtCheckpoint | None:
    """Return the checkpoint that a path names; None for what is no path but a job or an address.

    Raises
    ------
    InvalidRequest
        It can be nothing but a path, and there is nothing, or an empty folder.
    """
    path = cwd / Path(said).expanduser()
    is_path = begins_as_path(said)
    if path.is_file() and (is_path or format_of(path.name) is not None):
        return BroughtCheckpoint(path.name, format_of(path.name) or "file", {path.name: path})
    if path.is_dir() and (is_path or folder_format([each.name for each in path.iterdir()]) is not None):
        found = {name: path / name for name in below(LocalFolder(path), "")}
        if found:
            return BroughtCheckpoint(path.resolve().name, folder_format(found) or "file", found)
    if is_path:
        raise InvalidRequest(
            f"There is no checkpoint {path}.", "Give a file or folder, an s3:// address, or a job (--resume)."
        )
    return None


def bring(brought: BroughtCheckpoint, store: Store, job_id: str) -> None:
    """Save a checkpoint in the record as a runner does; the machine verifies what arrives there.

    Raises
    ------
    StoreError
        The store failed.
    """
    keys, files = JobKeys(job_id), []
    attempt, seq = 0, 0
    for name, path in sorted(brought.files.items()):
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        size = store.put_file(keys.checkpoint_data(attempt, seq) + name, path)
        files.append(CheckpointFile(name, size, digest))
    manifest = CheckpointManifest(
        name=brought.name,
        attempt=attempt,
        seq=seq,
        created_at=to_iso(now()),
        format=brought.format,
        size=sum(file.size for file in files),
        files=files,
        step=step_of(brought.name),
    )
    store.put(keys.checkpoint_manifest(attempt, seq), manifest.to_json())
