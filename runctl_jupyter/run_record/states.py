"""The states of a job: three on the way, six different ends with six different names."""

from __future__ import annotations

from enum import Enum

ATTEMPT_IS_KEPT = 3
"""Exit code of a runner that is started where another one looks after the attempt already."""


class JobState(str, Enum):
    """A job's state; the value is the word shown everywhere."""

    QUEUED = "queued"
    """The spec is written; nobody has claimed the attempt yet (a machine is being found or boots)."""
    STARTING = "starting"
    """A runner holds the claim: it prepares code, environment and data."""
    RUNNING = "running"
    """The script's process has been started."""
    SUCCEEDED = "succeeded"
    """Exit code 0, and every promised upload read back."""
    FAILED = "failed"
    """The script, its environment or a promised upload failed; the cause says which."""
    CANCELLED = "cancelled"
    """A user asked for the end."""
    INTERRUPTED = "interrupted"
    """The machine was taken away (spot, power); the job can go on as a next attempt."""
    CAPPED = "capped"
    """A limit of time or money ended it."""
    LOST = "lost"
    """The heartbeat's deadline passed and the machine is gone or silent without an explanation."""

    @property
    def ended(self) -> bool:
        """Whether this is one of the six ends."""
        return self not in (JobState.QUEUED, JobState.STARTING, JobState.RUNNING)

    def __str__(self) -> str:
        return self.value
