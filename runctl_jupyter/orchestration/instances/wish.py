"""A machine as it is wished for: its kind, its name and limits, whose it is; and the tags that say so."""

from __future__ import annotations

import getpass
import hashlib
import secrets
from dataclasses import dataclass, field

from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.instances.describe import (
    TAG_ATTEMPT,
    TAG_IDLE_STOP,
    TAG_JOB,
    TAG_LAUNCH,
    TAG_MANAGED,
    TAG_OWNER,
    TAG_TTL,
)
from runctl_jupyter.run_record import MachineAsked

FALLBACKS = ("never", "on-demand")


@dataclass(frozen=True)
class Wish:
    """What the user asked for."""

    asked: MachineAsked
    name: str
    ttl_s: float
    volume_gib: int | None = None
    job_id: str | None = None
    attempt: int = 1
    """Of the job: each gets a machine of its own."""
    idle_stop_s: float | None = None
    launch_id: str = field(default_factory=lambda: secrets.token_hex(12))
    """Of a machine without a job."""

    @property
    def launch(self) -> str:
        """Name of this launch: the same whoever makes it again."""
        return f"{self.job_id}-{self.attempt}" if self.job_id else self.launch_id

    def token(self, *parts: object) -> str:
        """Return a ClientToken for a request of this launch: ours, so that a repeated request is known as that.

        It must be another one wherever the request is (EC2 API reference, "Ensuring idempotency"); 64 characters at
        most.
        """
        digest = hashlib.sha256("\0".join(map(str, (self.launch, *parts))).encode()).hexdigest()
        return f"{self.launch[:31]}-{digest[:32]}"

    def tags(self) -> list[dict[str, str]]:
        """Return the tags of everything that is made for it."""
        tags = {
            "Name": self.name,
            TAG_MANAGED: "true",
            TAG_OWNER: getpass.getuser(),
            TAG_TTL: str(int(self.ttl_s)),
            TAG_LAUNCH: self.launch,
        }
        if self.job_id:
            tags[TAG_JOB], tags[TAG_ATTEMPT] = self.job_id, str(self.attempt)
        if self.idle_stop_s is not None:
            tags[TAG_IDLE_STOP] = str(int(self.idle_stop_s))
        return [{"Key": key, "Value": value} for key, value in tags.items()]


def machine_asked(
    instance_type: str | None = None, gpu: str | None = None, *, spot: bool = False, fallback: str | None = None
) -> MachineAsked:
    """Return what a person's words ask for.

    Parameters
    ----------
    instance_type
        One or several, with commas, in order of preference.

    Raises
    ------
    InvalidRequest
        The words contradict each other.
    """
    types = [name.strip() for name in (instance_type or "").split(",") if name.strip()]
    if instance_type is not None and not types:
        raise InvalidRequest(f"{instance_type!r} names no instance type.", "For example: g5.xlarge,g6.xlarge.")
    if types and gpu is not None:
        raise InvalidRequest(
            f"An instance type ({', '.join(types)}) and GPUs ({gpu}) were both asked for.", "Leave one of them out."
        )
    if fallback is not None and fallback not in FALLBACKS:
        raise InvalidRequest(f"{fallback!r} is no fallback.", f"Write one of: {', '.join(FALLBACKS)}.")
    if fallback == "on-demand" and not spot:
        raise InvalidRequest(
            "A fallback is for spot machines, and none was asked for.", "Add --spot, or leave --fallback out."
        )
    return MachineAsked(list(dict.fromkeys(types)), gpu, spot, fallback or "never")
