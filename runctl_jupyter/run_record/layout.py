"""Names of the record's objects, relative to its root (``s3://BUCKET/PREFIX`` or a folder).

::

    blobs/<sha256>                                  code packs, code trees, runner bundles
    jobs/<job>/spec.json                            what to run; written once
    jobs/<job>/provenance.json                      where it came from: cell, commit, client; written once
    jobs/<job>/attempts/<n>/attempt.json            where attempt n runs and what it goes on from; from the second on
    jobs/<job>/attempts/<n>/claim.json              who runs it; one winner
    jobs/<job>/attempts/<n>/status.json             state and heartbeat; compare-and-swap; an end is never overwritten
    jobs/<job>/attempts/<n>/cancel.json             a user's request to end; written once
    jobs/<job>/attempts/<n>/revival                 when a runner was started once more; written once
    jobs/<job>/attempts/<n>/environment.json        Python and packages the script ran with
    jobs/<job>/attempts/<n>/data.json               what --data-s3 brought: paths, sizes, etags
    jobs/<job>/attempts/<n>/variables.json          variables brought back; their bytes are blobs
    jobs/<job>/attempts/<n>/exception.json          the exception that ended a cell
    jobs/<job>/attempts/<n>/measures.json           metrics and machine over time; bounded, rewritten as it grows
    jobs/<job>/attempts/<n>/logs/<seq:08d>          chunks of the log, numbered from 0 without gaps
    jobs/<job>/checkpoints/<n>-<seq:05d>/<file>     data of one checkpoint of attempt n; of 0: brought by who launched
    jobs/<job>/checkpoints/<n>-<seq:05d>.json       its manifest, written after the data: only now it is visible
    jobs/<job>/checkpoints/<n>-<seq:05d>/runctl-removing.json   while it is removed; the last of it to go
    jobs/<job>/checkpoints/latest.json              pointer, compare-and-swap
    jobs/<job>/outputs/<path>                       what the script left in RUNCTL_OUTPUT_DIR
    resumed/<job>/<n>                               empty: a job that has ended has an attempt n
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

BLOBS_PREFIX = "blobs/"
JOBS_PREFIX = "jobs/"
RESUMED_PREFIX = "resumed/"
"""One listing of it tells which jobs of thousands that have ended live again."""
MANIFEST_SUFFIX = ".json"
TOMBSTONE = "runctl-removing.json"
"""Lies in the folder of a checkpoint while it is removed: what is left when that is interrupted is no checkpoint."""

CHUNK_OFFSET = "offset"
"""Metadata of a log chunk: offset in bytes of its first byte in the attempt's stream."""
CHUNK_TIME = "time"
"""Metadata of a log chunk: when its last byte was read from the script, ISO 8601 UTC."""

CHUNK_ORIGIN = "origin"
"""Metadata of a log chunk: ``runner`` when its bytes are the runner's own lines and not the script's."""
RUNNER = "runner"

_CHECKPOINT = re.compile(r"(\d+)-(\d{5,})")
_IN_A_CHECKPOINT = re.compile(r"(?:.*/)?jobs/([^/]+)/checkpoints/(\d+)-(\d{5,})(?:/.*)?", re.DOTALL)


def checkpoint_in(address: str) -> Optional[tuple[str, int, int]]:
    """Return the job, attempt and number that a key or address of a checkpoint's data names; None for others."""
    named = _IN_A_CHECKPOINT.fullmatch(address)
    return None if named is None else (named[1], int(named[2]), int(named[3]))


def blob_key(sha256: str) -> str:
    """Return the key of a content-addressed object."""
    return f"{BLOBS_PREFIX}{sha256}"


@dataclass(frozen=True)
class AttemptKeys:
    """Keys of one attempt (attempts count from 1)."""

    job_id: str
    number: int

    @property
    def prefix(self) -> str:
        """Everything of the attempt lies under it."""
        return f"jobs/{self.job_id}/attempts/{self.number}/"

    @property
    def claim(self) -> str:
        """Who runs the attempt."""
        return self.prefix + "claim.json"

    @property
    def status(self) -> str:
        """State and heartbeat."""
        return self.prefix + "status.json"

    @property
    def cancel(self) -> str:
        """A user's request to end."""
        return self.prefix + "cancel.json"

    @property
    def plan(self) -> str:
        """Where it runs and what it goes on from; the first attempt has none."""
        return self.prefix + "attempt.json"

    @property
    def revival(self) -> str:
        """A time; whoever writes it starts a runner once more where one has fallen silent."""
        return self.prefix + "revival"

    @property
    def environment(self) -> str:
        """Python and packages the script ran with."""
        return self.prefix + "environment.json"

    @property
    def data(self) -> str:
        """What ``--data-s3`` brought."""
        return self.prefix + "data.json"

    @property
    def variables(self) -> str:
        """Variables brought back."""
        return self.prefix + "variables.json"

    @property
    def exception(self) -> str:
        """The exception that ended a cell."""
        return self.prefix + "exception.json"

    @property
    def measures(self) -> str:
        """Metrics and machine over time."""
        return self.prefix + "measures.json"

    def chunk(self, seq: int) -> str:
        """Return the key of log chunk `seq`, counted from 0."""
        return f"{self.prefix}logs/{seq:08d}"


@dataclass(frozen=True)
class JobKeys:
    """Keys of one job."""

    job_id: str

    @property
    def prefix(self) -> str:
        """Everything of the job lies under it."""
        return f"jobs/{self.job_id}/"

    @property
    def spec(self) -> str:
        """What to run."""
        return self.prefix + "spec.json"

    @property
    def provenance(self) -> str:
        """Where it came from."""
        return self.prefix + "provenance.json"

    @property
    def attempts_prefix(self) -> str:
        """Parent of the attempts' numbers."""
        return self.prefix + "attempts/"

    @property
    def checkpoints_prefix(self) -> str:
        """Parent of manifests and data of all attempts' checkpoints."""
        return self.prefix + "checkpoints/"

    @property
    def latest_checkpoint(self) -> str:
        """Pointer to the newest complete checkpoint."""
        return self.checkpoints_prefix + "latest.json"

    @property
    def outputs_prefix(self) -> str:
        """Where the outputs go when no ``--output-s3`` was given."""
        return self.prefix + "outputs/"

    def attempt(self, number: int) -> AttemptKeys:
        """Return the keys of attempt `number`."""
        return AttemptKeys(self.job_id, number)

    def checkpoint_data(self, attempt: int, seq: int) -> str:
        """Return the prefix of a checkpoint's files."""
        return f"{self.checkpoints_prefix}{attempt}-{seq:05d}/"

    def checkpoint_manifest(self, attempt: int, seq: int) -> str:
        """Return the key of a checkpoint's manifest."""
        return f"{self.checkpoints_prefix}{attempt}-{seq:05d}{MANIFEST_SUFFIX}"


def checkpoint_number(name: str) -> Optional[tuple[int, int]]:
    """Return attempt and number of the checkpoint whose manifest, or whose data's folder, has this name.

    Numbers have gaps where checkpoints have been pruned: whoever looks for those that are there lists.
    """
    found = _CHECKPOINT.fullmatch(name.removesuffix(MANIFEST_SUFFIX))
    return (int(found[1]), int(found[2])) if found else None
