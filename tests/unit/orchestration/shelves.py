"""Puts checkpoints into records and folders, as runners and frameworks do."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from runctl_jupyter.orchestration.checkpoints.catalogue import Checkpoints
from runctl_jupyter.orchestration.errors import JobNotFound
from runctl_jupyter.orchestration.storage.folder import ListableFolder
from runctl_jupyter.run_record import (
    AttemptPlan,
    CheckpointFile,
    CheckpointManifest,
    JobKeys,
    JobState,
    LatestCheckpoint,
    Status,
    to_iso,
)
from tests.unit.orchestration.records import Records, catalogue_of

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Shelves:
    """A record, and folders beside it, with a catalogue of both."""

    def __init__(self, tmp_path: Path) -> None:
        self.records = Records(tmp_path)
        self.store: ListableFolder = self.records.store
        self.folder = tmp_path / "folder"
        self.folder.mkdir()
        self.catalogue: Checkpoints = catalogue_of(self.records.record, self._find, tmp_path)

    def _find(self, ref: str) -> str:
        for job_id in self.records.record.ids():
            if job_id == ref or job_id.endswith(f"-{ref}"):
                return job_id
        raise JobNotFound(f"There is no job {ref!r}.", "See yours with: runctl jobs")

    def job(self, job_id: str, state: JobState | None = JobState.SUCCEEDED, attempt: int = 1, **spec: Any) -> None:
        """Write a job; in no state it is queued."""
        if attempt == 1:
            self.records.spec(job_id, **spec)
        else:
            self.records.record.write_plan(job_id, AttemptPlan(attempt, to_iso(START)))
        if state is not None:
            ended = {"ended_at": to_iso(START)} if state.ended else {}
            self.records.put(
                JobKeys(job_id).attempt(attempt).status, Status(job_id, attempt, state, to_iso(START), **ended)
            )

    def save(
        self,
        job_id: str,
        attempt: int,
        seq: int,
        files: Mapping[str, bytes] | None = None,
        *,
        at: int | None = None,
        manifest: bool = True,
        **facts: Any,
    ) -> str:
        """Save a checkpoint as a runner does; return the prefix of its data."""
        keys = JobKeys(job_id)
        files = files or {f"step_{seq}.pt": b"%d" % seq}
        listed = [CheckpointFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()]
        for name, data in files.items():
            self.store.put(keys.checkpoint_data(attempt, seq) + name, data)
        if manifest:
            created = to_iso(START + timedelta(hours=attempt, seconds=seq if at is None else at))
            size = sum(map(len, files.values()))
            document = CheckpointManifest(
                f"step_{seq}.pt", attempt, seq, created, "torch", size, listed, step=facts.pop("step", seq), **facts
            )
            self.records.put(keys.checkpoint_manifest(attempt, seq), document)
            self.records.put(keys.latest_checkpoint, LatestCheckpoint(attempt, seq, created))
        return keys.checkpoint_data(attempt, seq)

    def write(self, files: Mapping[str, bytes | dict[str, Any]], *, at: int = 0) -> None:
        """Write files into the folder, all at one time."""
        for name, data in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(json.dumps(data).encode() if isinstance(data, dict) else data)
            moment = (START + timedelta(seconds=at)).timestamp()
            os.utime(path, (moment, moment))

    def left(self) -> list[str]:
        """Return what lies in the folder."""
        return sorted(p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file())
