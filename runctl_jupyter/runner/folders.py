"""Where things lie on the machine, under one root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RootFolders:
    """What all jobs of a machine share."""

    root: Path

    @property
    def blobs(self) -> Path:
        """Packs of code, by hash."""
        return self.root / "blobs"

    @property
    def environments(self) -> Path:
        """Python environments, by hash of what is in them."""
        return self.root / "envs"

    @property
    def tools(self) -> Path:
        """Programs the runner installed for itself (uv)."""
        return self.root / "tools"

    @property
    def uv_cache(self) -> Path:
        """Wheels, shared by all environments."""
        return self.root / "cache" / "uv"

    @property
    def data_cache(self) -> Path:
        """Objects that ``--data-s3`` brought, by etag, shared by all jobs."""
        return self.root / "cache" / "data"

    def attempt(self, job_id: str, number: int) -> AttemptFolders:
        """Return the folders of one attempt."""
        return AttemptFolders(self.root / "jobs" / job_id / str(number))


@dataclass(frozen=True)
class AttemptFolders:
    """What belongs to one attempt."""

    base: Path

    @property
    def work(self) -> Path:
        """The synced project; the script's working directory."""
        return self.base / "work"

    @property
    def outputs(self) -> Path:
        """What the script leaves for ``--output-s3``."""
        return self.base / "outputs"

    @property
    def data(self) -> Path:
        """What ``--data-s3`` brought."""
        return self.base / "data"

    @property
    def resume(self) -> Path:
        """The checkpoint to go on from."""
        return self.base / "resume"

    @property
    def inputs(self) -> Path:
        """Variables for the cell."""
        return self.base / "inputs"

    @property
    def variables(self) -> Path:
        """Variables the cell leaves."""
        return self.base / "variables"

    @property
    def stream(self) -> Path:
        """The log's bytes, before and after they are in the store."""
        return self.base / "spool" / "stream.log"

    @property
    def pipe(self) -> Path:
        """What the script prints into."""
        return self.base / "spool" / "output"

    @property
    def saved_checkpoints(self) -> Path:
        """Which files of the checkpoint folder are stored."""
        return self.base / "checkpoints.json"

    @property
    def unfinished(self) -> Path:
        """Command that starts a runner of this attempt once more; gone when the attempt has ended."""
        return self.base / "unfinished"

    @property
    def runner_log(self) -> Path:
        """What the runner says about itself."""
        return self.base / "runner.log"

    @property
    def state(self) -> Path:
        """The last status, for whoever looks at the machine itself."""
        return self.base / "state.json"

    def make(self) -> None:
        """Make the folders that must be there."""
        for folder in (self.work, self.outputs, self.stream.parent):
            folder.mkdir(parents=True, exist_ok=True)
