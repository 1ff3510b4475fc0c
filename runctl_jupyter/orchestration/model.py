"""What things are: values of the public API. No behaviour that calls out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from runctl_jupyter.run_record import to_iso
from runctl_jupyter.run_record.documents import to_plain


class Value:
    """A dataclass whose fields are its JSON keys."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready keys and values; times are ISO 8601 UTC."""
        plain: dict[str, Any] = _with_times_said(to_plain(self))
        return plain


def _with_times_said(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {key: _with_times_said(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_with_times_said(value) for value in plain]
    return to_iso(plain) if isinstance(plain, datetime) else plain


RUNNING_STATES = ("pending", "running")
"""EC2's words for an instance that runs, or is about to."""


@dataclass(frozen=True)
class Instance(Value):
    """An EC2 instance of ours, as EC2 described it a moment ago."""

    id: str
    name: str
    state: str
    """EC2's word: ``pending running stopping stopped shutting-down terminated``."""
    instance_type: str
    spot: bool
    availability_zone: str
    launched_at: datetime
    """Of the last start: EC2 resets it when a stopped instance is started."""
    price_per_hour: float | None
    """USD as it was bought: on-demand list price, or spot price in its zone; None when unknown."""
    cost_usd: float | None
    """Estimate since `launched_at` at `price_per_hour`: per second, 60 s at least; None when that is unknown."""
    tags: Mapping[str, str] = field(default_factory=dict)
    private_ip: str | None = None
    owner: str = ""
    expires_at: datetime | None = None
    """When its time limit powers it off."""
    state_reason: str = ""
    """Why it ended or was stopped, in words; empty while it runs."""
    price_source: str = ""
    """Where `price_per_hour` is from, and how old that is."""
    beside_per_hour: Mapping[str, float] = field(default_factory=dict)
    """USD of what else is billed by the hour: ``disk``, ``address``. What is not in it is not known."""
    stopped_at: datetime | None = None
    """When it stopped running, where EC2 tells."""
    cost_parts: Mapping[str, Any] = field(default_factory=dict)
    """USD since `launched_at` by part: ``machine disk address``, their ``total``, and the parts that are ``unknown``,
    which cost more than is said here. Disks are billed while it is stopped."""
    state_reason_code: str = ""
    """The same as `state_reason` as EC2's code, e.g. ``Server.SpotInstanceTermination``."""
    spot_request_id: str | None = None
    protected: bool = False
    """Whether `terminate` refuses to end it."""

    @property
    def runs(self) -> bool:
        """Whether it runs, or is about to."""
        return self.state in RUNNING_STATES


@dataclass(frozen=True)
class EndedInstance(Instance):
    """An instance that was just told to stop or to end, and what comes of that."""

    keeps: Sequence[str] = ()
    """What stays, and what is billed on: a sentence each."""
    loses: Sequence[str] = ()


@dataclass(frozen=True)
class PlannedType(Value):
    """A type that a launch may end with, or could."""

    instance_type: str
    spot: bool
    price_per_hour: float | None
    facts: str
    """GPUs, vCPUs and memory in words."""
    availability_zones: Sequence[str] = ()


@dataclass(frozen=True)
class QuotaLeft(Value):
    """A quota of vCPUs and what is left of it."""

    code: str
    name: str
    limit: float
    used: int
    left: float
    region: str
    request_url: str
    """Page on which AWS is asked for more."""
    needed: int = 0
    """vCPUs of the type that was asked about."""

    @property
    def enough(self) -> bool:
        """Whether the type fits in."""
        return self.needed <= self.left


@dataclass(frozen=True)
class LaunchPlan(Value):
    """What a launch would do; nothing has been done."""

    instance_type: str
    image_id: str
    image_name: str
    region: str
    availability_zones: list[str]
    volume_gib: int
    spot: bool
    price_per_hour: float | None
    price_source: str
    ttl_s: float
    total_at_ttl_usd: float | None
    """What it costs at most: the dearest of the candidates, with disk and address as far as their price is known, when
    it lives to its time limit."""
    image_found_by: str = ""
    """How the image was chosen: a public parameter, the setting."""
    candidates: Sequence[PlannedType] = ()
    """What is asked for, the first choice first."""
    fallback: str = "never"
    """Whether on-demand may take the place of spot."""
    price_as_of: datetime | None = None
    """When the price was known to hold; None when nobody says."""
    extras_per_hour: float | None = None
    """USD for its disk and its public address; None when unknown."""
    quota: QuotaLeft | None = None
    """Of the first choice; None when it is not known: no permission, or no answer."""
    alternatives: Sequence[PlannedType] = ()
    """Cheaper ones that would do."""


@dataclass(frozen=True)
class Checkpoint(Value):
    """A checkpoint: of a job, or found in a folder or under an ``s3://`` prefix."""

    uri: str
    """Where its data lies: one file, or a folder with ``/`` at the end."""
    name: str
    """As the script called it; of one that was found, its path below what was looked through."""
    step: int | None
    metrics: Mapping[str, float]
    size: int
    """Bytes of all its files."""
    created_at: datetime
    format: str
    complete: bool
    job_id: str | None = None
    """None for one that no job of a record has saved."""
    attempt: int | None = None
    epoch: int | None = None
    latest: bool = False
    """Whether it is the newest complete one of its job or folder."""
    best: bool = False
    """Whether it is the best of its job or folder by the metric that was asked for, or the usual one."""
    seq: int = 0
    """Number among the attempt's checkpoints, from 0."""


@dataclass(frozen=True)
class KeptCheckpoint(Value):
    """A checkpoint that stays, and why."""

    checkpoint: Checkpoint
    reason: str


@dataclass(frozen=True)
class PruneReport(Value):
    """What is removed of the checkpoints of a source, and what stays."""

    source: str
    dry_run: bool
    """Whether nothing has been removed."""
    remove: Sequence[Checkpoint]
    keep: Sequence[KeptCheckpoint]
    leftovers: Sequence[str]
    """Addresses of what an interrupted removal has left; removed as well."""
    bytes: int
    """Of all that is removed."""
    usd_per_month: float | None
    """What keeping it costs in S3 Standard, at list price; None where the price is not known."""
    region: str | None
    """Where the price holds; None on this computer, where it costs nothing."""

    def __repr__(self) -> str:
        done = "would go" if self.dry_run else "removed"
        return f"<PruneReport of {self.source}: {len(self.remove)} {done}, {len(self.keep)} kept, {self.bytes:,} bytes>"


@dataclass(frozen=True)
class StorageObject(Value):
    """An object or, when `is_prefix`, a common prefix in a bucket."""

    uri: str
    key: str
    size: int | None
    last_modified: datetime | None
    is_prefix: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the fields; said one by one, since a listing has a hundred thousand of them."""
        written = None if self.last_modified is None else to_iso(self.last_modified)
        return {
            "uri": self.uri,
            "key": self.key,
            "size": self.size,
            "last_modified": written,
            "is_prefix": self.is_prefix,
        }


@dataclass(frozen=True)
class ObjectEvent(Value):
    """Something that has happened to an object."""

    kind: Literal["added", "changed", "removed"]
    uri: str
    key: str
    size: int
    """Of the object as it is now, or was before it was removed."""
    seen_at: datetime


@dataclass(frozen=True)
class PrefixEntry(Value):
    """A level below, in a page of objects."""

    name: str
    uri: str


@dataclass(frozen=True)
class ObjectEntry(Value):
    """An object in a page of them; its name is the last part of its key."""

    name: str
    uri: str
    size: int
    last_modified: datetime


@dataclass(frozen=True)
class ObjectPage(Value):
    """One level of a bucket, a page of it."""

    uri: str
    prefixes: Sequence[PrefixEntry]
    objects: Sequence[ObjectEntry]
    next: str | None
    """Gives the next page; None at the end."""


@dataclass(frozen=True)
class Preview(Value):
    """The beginning of an object, for people."""

    uri: str
    size: int
    kind: Literal["text", "json", "tensors", "binary"]
    text: str
    """What can be read of it; of tensors a line each."""
    truncated: bool
    facts: Sequence[tuple[str, str]]
    """Titles and texts."""


@dataclass(frozen=True)
class Transfer(Value):
    """What an upload or download moved."""

    source: str
    destination: str
    files: int
    bytes: int
    seconds: float
    skipped: int = 0
    """Files that were left alone because something is there already."""


@dataclass(frozen=True)
class SyncReport(Value):
    """What a sync did, or would do."""

    source: str
    destination: str
    uploaded: Sequence[str]
    """Names relative to the folder and the prefix."""
    downloaded: Sequence[str]
    copied: Sequence[str]
    """Within S3."""
    deleted: Sequence[str]
    """At the destination."""
    unchanged: int
    bytes: int
    """Moved, or to be moved."""
    seconds: float
    dry_run: bool = False


@dataclass(frozen=True)
class StatusReport(Value):
    """Where you are: target, identity, machines, money."""

    target: str
    region: str | None
    bucket: str | None
    identity: str | None
    """Name of the user or role; the account's number is masked."""
    running_instances: int
    price_per_hour: float | None
    """Sum of the running instances' list prices; None when one is unknown."""
    cost_usd: float | None
    """Estimate of the running instances since their start."""
    running_jobs: int
    version: str
    mode: str | None = None
    """How the sandbox makes machines; None on other targets."""
    price_sources: Sequence[str] = ()
    """Where the prices in `price_per_hour` are from, and how old that is."""
    cost_parts: Mapping[str, Any] = field(default_factory=dict)
    """USD by part, as of `Instance.cost_parts`, of all instances that are there, since their last start."""
    overdue_instances: int = 0
    """Running ones whose time limit has passed: they should have powered themselves off."""
