"""What verbs return when it is not a value of the engine: each door shows it its own way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.errors import JobFailed, RunctlError

if TYPE_CHECKING:
    from datetime import datetime

    from runctl_jupyter.orchestration import Job, Log


@dataclass(frozen=True)
class Place:
    """Which target is in use, and what is known of it without asking anybody."""

    target: str
    profile: str | None
    region: str | None
    bucket: str | None
    note: str = ""
    """What to know about it, e.g. where the choice was written down."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready keys and values."""
        place = {"target": self.target, "profile": self.profile, "region": self.region, "bucket": self.bucket}
        return {**place, "note": self.note} if self.note else place

    def __repr__(self) -> str:
        facts = [f"target {self.target}"]
        facts += [f"{name} {value}" for name, value in list(self.to_dict().items())[1:4] if value]
        return " · ".join(facts) + (f"\n{self.note}" if self.note else "")


@dataclass(frozen=True)
class Text:
    """Words to show, e.g. help."""

    text: str
    data: dict[str, Any] = field(default_factory=dict)
    """The same for programs."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready keys and values."""
        return self.data or {"text": self.text}

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Launched:
    """A job has been launched; `wait` asks the door to stay with it and to fail when it fails."""

    job: Job
    wait: bool = False
    bind_as: str | None = None
    """Variable that becomes the job."""
    note: str = ""
    """What to know, e.g. that it is a job launched before."""

    @property
    def announcement(self) -> str:
        """What to say before anything else: what is launched, at what price."""
        from runctl_jupyter.orchestration.instances.announcement import announcement

        return self.note or announcement(self.job.spec)


@dataclass(frozen=True)
class Watched:
    """A job to stay with: `wait` until its end (and fail when it failed), or only look on."""

    job: Job
    wait: bool
    log: bool = True
    """Whether its log is shown meanwhile."""
    timeout: float | None = None
    """Seconds to wait at most."""


@dataclass(frozen=True)
class LogView:
    """A job's log as asked for."""

    job: Job
    follow: bool = False
    tail: int | None = None
    raw: bool = False
    since: datetime | None = None
    start: int = 0
    attempt: int | None = None

    def log(self, on_trouble: Callable[[str], object] | None = None) -> Log:
        """Return the log as the engine gives it; see `Log` for `on_trouble`."""
        from runctl_jupyter.orchestration import Log

        return Log(
            self.job,
            follow=self.follow,
            tail=self.tail,
            script_only=self.raw,
            since=self.since,
            start=self.start,
            attempt=self.attempt,
            on_trouble=on_trouble,
        )


class Story:
    """Something that takes a while and tells what it does; iterating runs it. Bytes are a job's raw output."""

    until_interrupted = False
    """Whether Ctrl-C is how it ends, and no failure."""

    def __iter__(self) -> Iterator[str | bytes]:
        raise NotImplementedError


class Detached(RunctlError):
    """A user stopped waiting for a job; the job goes on."""

    exit_status = 130  # what shells report after Ctrl-C

    def __init__(self, job: Job, prompt: str) -> None:
        super().__init__(
            f"Detached: job {job.name} ({job.id}) goes on.",
            f"{prompt} attach {job.name} shows it again, {prompt} cancel {job.name} ends it.",
        )


class Interrupted(RunctlError):
    """A user stopped waiting for something other than a job's end."""

    exit_status = 130

    def __init__(self, prompt: str, launching: Job | None = None) -> None:
        what, goes_on = "Interrupted.", f"What has been asked for goes on: {prompt} list, {prompt} jobs"
        if launching is not None:
            what = f"Interrupted while job {launching.id} was being launched: it may or may not start."
            goes_on = f"Look with {prompt} show {launching.id}, end it with {prompt} cancel {launching.id}"
        super().__init__(what, goes_on)


def require_success(job: Job, prompt: str) -> None:
    """Raise when an ended job did not succeed.

    Raises
    ------
    RemoteError
        A cell's exception ended it.
    JobFailed
        With its end, exit code and cause.
    """
    state = str(job.state)
    if state == "succeeded":
        return
    error = job.remote_error()
    if error is not None:
        raise error
    code = f" with exit code {job.exit_code}" if job.exit_code else ""
    # A cause may bring its own advice, in a second line.
    why, _, advice = ("" if job.cause is None else job.cause.message).partition("\n")
    cause = f": {why.rstrip('.')}" if why else ""
    how = f"ended as {state}" if state != "failed" else "failed"
    raise JobFailed(f"Job {job.name} ({job.id}) {how}{code}{cause}.", advice or f"Read its log: {prompt} logs {job.id}")
