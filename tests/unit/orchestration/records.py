"""Writes the record of jobs, as client and runner do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from runctl_jupyter.orchestration.checkpoints.catalogue import Checkpoints
from runctl_jupyter.orchestration.checkpoints.sources import Sources
from runctl_jupyter.orchestration.config import SyncSettings
from runctl_jupyter.orchestration.jobs.job import Job
from runctl_jupyter.orchestration.jobs.record import JobRecord
from runctl_jupyter.orchestration.storage.code_sync import sync_project
from runctl_jupyter.orchestration.storage.folder import ListableFolder
from runctl_jupyter.orchestration.storage.project import project_files
from runctl_jupyter.run_record import (
    AttemptKeys,
    JobSpec,
    JobState,
    Status,
)


class Records:
    """Writes the record of jobs, as client and runner do."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.store = ListableFolder(tmp_path / "store")
        self.record = JobRecord(self.store)

    def spec(self, job_id: str, files: dict[str, bytes] | None = None, **facts: Any) -> JobSpec:
        facts = {"script": "fit.py", **facts}
        spec = JobSpec(job_id, "digits", "2026-01-02T03:04:05Z", "me", "local", **facts)
        if files is not None:
            root = self.tmp_path / job_id
            root.mkdir()
            for name, data in files.items():
                (root / name).write_bytes(data)
            found = project_files(root, SyncSettings())
            spec = replace(spec, tree=sync_project(self.store, root, found, cache_dir=self.tmp_path / "cache").tree)
        self.record.write_spec(spec)
        return spec

    def put(self, key: str, document: Any) -> None:
        self.store.put(key, document.to_json())

    def end(self, job_id: str, attempt: int = 1, state: JobState = JobState.SUCCEEDED, **facts: Any) -> None:
        times = {"started_at": "2026-01-02T03:05:00Z", "ended_at": "2026-01-02T03:06:00Z"}
        status = Status(job_id, attempt, state, "2026-01-02T03:06:00Z", **{**times, **facts})
        self.put(AttemptKeys(job_id, attempt).status, status)

    def job(self, job_id: str) -> Job:
        return Job(self.record, None, None, self.record.look(job_id))  # type: ignore[arg-type]  # it has ended


def catalogue_of(record: JobRecord, find_job: Callable[[str], str] = str, cwd: Path | None = None) -> Checkpoints:
    """Return the checkpoints of a record where there is no S3."""
    return Checkpoints(
        Sources(lambda: record, find_job, _no_bucket, JobRecord, record_in_s3=False, cwd=cwd or Path.cwd())
    )


def _no_bucket(bucket: str, prefix: str = "") -> ListableFolder:
    raise AssertionError(f"no test asks for {bucket}/{prefix}")
