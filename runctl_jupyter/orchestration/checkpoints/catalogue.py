"""``rc.checkpoints``: the complete checkpoints of a job, read from their manifests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.checkpoints.located import Locator
from runctl_jupyter.orchestration.checkpoints.looking import Looking
from runctl_jupyter.orchestration.listing import Column, Listing
from runctl_jupyter.orchestration.model import Checkpoint
from runctl_jupyter.orchestration.storage.storage import storage_errors
from runctl_jupyter.orchestration.units import age_text, size_text
from runctl_jupyter.run_record import CheckpointManifest, JobKeys, LatestCheckpoint, NotFound, from_iso
from runctl_jupyter.run_record.layout import MANIFEST_SUFFIX

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.record import JobRecord
    from runctl_jupyter.orchestration.storage.store import Store


class Checkpoints(Looking):
    """The catalogue of one record.

    Parameters
    ----------
    record
        Returns the record; a checkpoint on this computer is looked into without one.
    find_job
        Returns the id of the job that a reference names.
    open_bucket
        Returns the store of a bucket.
    """

    def __init__(
        self, record: Callable[[], JobRecord], find_job: Callable[[str], str], open_bucket: Callable[[str], Store]
    ) -> None:
        super().__init__(Locator(record, open_bucket, self.list))
        self._open_record, self._find_job = record, find_job

    @property
    def _record(self) -> JobRecord:
        return self._open_record()

    def list(self, ref: str) -> Listing[Checkpoint]:
        """List the complete checkpoints of a job, named by id, end of id, or name.

        Raises
        ------
        JobNotFound
            There is no such job.
        """
        return self.of_job(self._find_job(ref))

    def of_job(self, job_id: str) -> Listing[Checkpoint]:
        """List the complete checkpoints of the job with this id, the oldest first."""
        keys, store = JobKeys(job_id), self._record.store
        with storage_errors():
            _, objects = store.children(keys.checkpoints_prefix)
            names = [o.key for o in objects if o.key.endswith(MANIFEST_SUFFIX) and o.key != keys.latest_checkpoint]
            found = self._record.pool.map(lambda key: CheckpointManifest.from_json(store.get(key).data), names)
            manifests = sorted(found, key=lambda manifest: (manifest.attempt, manifest.seq))
            latest = self._latest(keys)
        rows = [self._checkpoint(job_id, manifest, latest) for manifest in manifests]
        return Listing(
            rows, _COLUMNS, f"Job {job_id} has no checkpoints: its script writes them to RUNCTL_CHECKPOINT_DIR."
        )

    def _latest(self, keys: JobKeys) -> tuple[int, int] | None:
        try:
            pointer = LatestCheckpoint.from_json(self._record.store.get(keys.latest_checkpoint).data)
        except NotFound:
            return None
        return pointer.attempt, pointer.seq

    def _checkpoint(self, job_id: str, manifest: CheckpointManifest, latest: tuple[int, int] | None) -> Checkpoint:
        prefix = JobKeys(job_id).checkpoint_data(manifest.attempt, manifest.seq)
        single = manifest.files[0].path if len(manifest.files) == 1 else ""
        return Checkpoint(
            uri=self._record.store.uri_of(prefix + single),
            name=manifest.name,
            step=manifest.step,
            metrics=manifest.metrics,
            size=manifest.size,
            created_at=from_iso(manifest.created_at),
            format=manifest.format,
            complete=True,
            job_id=job_id,
            attempt=manifest.attempt,
            seq=manifest.seq,
            latest=(manifest.attempt, manifest.seq) == latest,
        )


def _metrics(metrics: Mapping[str, float]) -> str:
    return " ".join(f"{name}={value:.4g}" for name, value in metrics.items())


_COLUMNS = (
    Column[Checkpoint]("name", lambda c: c.name),
    Column[Checkpoint]("step", lambda c: "" if c.step is None else f"{c.step:,}", right=True),
    Column[Checkpoint]("metrics", lambda c: _metrics(c.metrics)),
    Column[Checkpoint]("size", lambda c: size_text(c.size), right=True),
    Column[Checkpoint]("age", lambda c: age_text(c.created_at), right=True),
    Column[Checkpoint]("", lambda c: "latest" if c.latest else ""),
    Column[Checkpoint]("uri", lambda c: c.uri),
)
