"""The JSON documents of the record, as frozen dataclasses.

`from_json` ignores keys it does not know, so that an older reader can follow a newer job; it refuses
documents that lack what it needs. pydantic would do this too, but is compiled code, and these run
on the machine, where nothing can be installed first.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Optional, TypeVar

from runctl_jupyter.run_record.states import JobState

SCHEMA = 1
"""Version of the record; raised only when an old reader would misread a new document."""

D = TypeVar("D", bound="Document")


class Document:
    """A dataclass that is one JSON object of the record."""

    def to_json(self) -> bytes:
        """Return the document as UTF-8 JSON with stable order of keys."""
        return json.dumps(to_plain(self), indent=1, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls: type[D], data: bytes) -> D:
        """Read a document.

        Raises
        ------
        ValueError
            Not JSON, or a key is missing or of the wrong type.
        """
        return typing.cast(D, _build(cls, json.loads(data), cls.__name__))


@dataclass(frozen=True)
class CodeFile(Document):
    """A file of the synced project: `size` bytes at `offset` of blob `pack`."""

    path: str
    mode: int
    size: int
    sha256: str
    pack: str
    offset: int


@dataclass(frozen=True)
class CodeTree(Document):
    """The synced project: every file of the working directory. Itself stored as a blob."""

    files: list[CodeFile] = field(default_factory=list)

    def to_json(self) -> bytes:
        """Return the tree as compact JSON: it may name thousands of files and is read by programs only."""
        rows = [vars(file) for file in self.files]
        return json.dumps({"files": rows}, separators=(",", ":"), ensure_ascii=False).encode()

    @property
    def packs(self) -> list[str]:
        """Blobs that hold the files' bytes, each once, in order of first use."""
        return list(dict.fromkeys(file.pack for file in self.files))


@dataclass(frozen=True)
class Limits(Document):
    """What ends a job on the machine, whatever happens to the notebook. None means no limit."""

    ttl_s: Optional[float] = None
    """Seconds from claim to end, everything included."""
    timeout_s: Optional[float] = None
    """Seconds the script may run."""
    max_cost_usd: Optional[float] = None
    """Money the attempt may cost at `JobSpec.price_per_hour`."""
    grace_s: float = 90.0
    """Seconds between SIGTERM and SIGKILL."""


@dataclass(frozen=True)
class Pacing(Document):
    """Periods of the record, in seconds: what latency and requests it costs."""

    heartbeat_s: float = 5.0
    deadline_s: float = 60.0
    """Without a heartbeat for so long, a reader asks EC2 what became of the machine."""
    flush_s: float = 1.0
    """Sustained time between two log chunks (1 PUT each)."""
    flush_burst: int = 120
    """Chunks that may be written at `flush_quick_s` instead, refilled one every `flush_s`: short jobs are live."""
    flush_quick_s: float = 0.1
    chunk_bytes: int = 64 * 1024
    """A chunk is written at once when it has this size."""
    control_s: float = 1.0
    """How often the runner looks for a cancel request."""
    checkpoint_scan_s: float = 0.5


@dataclass(frozen=True)
class JobSpec(Document):
    """What to run. Written once by the engine; holds no secret."""

    id: str
    name: str
    created_at: str
    owner: str
    target: str
    """``sandbox``, ``aws`` or ``local``: as the user chose it."""
    script: str
    """Path of the script in the project, with ``/``."""
    arguments: list[str] = field(default_factory=list)
    tree: Optional[str] = None
    """SHA-256 of the blob that holds the `CodeTree`."""
    env: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    requirements: Optional[str] = None
    """Path of a requirements file in the project; None with a PEP 723 block or without dependencies."""
    checkpoint_dir: str = "checkpoints"
    """Relative to the working directory."""
    limits: Limits = field(default_factory=Limits)
    pacing: Pacing = field(default_factory=Pacing)
    instance_id: Optional[str] = None
    """The instance asked for with ``--on``; None when the job has its own (or none, target ``local``)."""
    instance_type: Optional[str] = None
    region: Optional[str] = None
    spot: bool = False
    price_per_hour: Optional[float] = None
    """USD; None when unknown. An estimate at list price, never billing data."""
    end_machine: bool = False
    """Power the machine off after the job: it was launched for this job."""
    cell: bool = False
    """Whether the script is the body of a notebook cell."""
    schema: int = SCHEMA


@dataclass(frozen=True)
class Claim(Document):
    """Who runs the attempt. Written once: the first runner wins."""

    runner_id: str
    host: str
    pid: int
    claimed_at: str
    instance_id: Optional[str] = None
    schema: int = SCHEMA


@dataclass(frozen=True)
class Cause(Document):
    """Why a job ended the way it did: a short `kind` for programs, a sentence for people.

    Kinds: ``exit`` (non-zero exit code), ``signal``, ``environment`` (dependencies could not be installed), ``code``
    (the project could not be fetched), ``upload`` (a promised upload failed), ``user``, ``ttl``, ``timeout``,
    ``max-cost``, ``spot``, ``machine`` (gone or silent), ``launch`` (no machine could be had), ``runner``.
    """

    kind: str
    message: str
    signal: Optional[int] = None


@dataclass(frozen=True)
class Status(Document):
    """State of an attempt. Rewritten at each heartbeat by compare-and-swap; an end stays as it is."""

    job_id: str
    attempt: int
    state: JobState
    updated_at: str
    """The heartbeat: the last time the writer was alive."""
    phase: str = ""
    """What is going on, in a word or two: ``boot``, ``code``, ``environment``, ``training``, ``saving``."""
    runner_id: Optional[str] = None
    instance_id: Optional[str] = None
    claimed_at: Optional[str] = None
    started_at: Optional[str] = None
    """When the script's process was started."""
    ended_at: Optional[str] = None
    exit_code: Optional[int] = None
    cause: Optional[Cause] = None
    log_chunks: int = 0
    log_bytes: int = 0
    checkpoint_count: int = 0
    cost_usd: Optional[float] = None
    """From claim to now at the spec's price, 60 s at least; None when the price is unknown."""
    schema: int = SCHEMA


@dataclass(frozen=True)
class CheckpointFile(Document):
    """A file of a checkpoint, relative to the checkpoint's data prefix."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class CheckpointManifest(Document):
    """A complete checkpoint. Exists only when every file has been uploaded and verified."""

    name: str
    """Path in the checkpoint folder, e.g. ``epoch-003.safetensors``."""
    attempt: int
    seq: int
    created_at: str
    format: str
    size: int
    files: list[CheckpointFile]
    step: Optional[int] = None
    metrics: dict[str, float] = field(default_factory=dict)
    schema: int = SCHEMA


@dataclass(frozen=True)
class LatestCheckpoint(Document):
    """Pointer to the newest complete checkpoint of the job."""

    attempt: int
    seq: int
    updated_at: str


def to_plain(value: Any) -> Any:
    """Turn dataclasses and enums into what JSON knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value


_UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))


def _build(kind: Any, value: Any, where: str) -> Any:
    """Build `kind` from JSON, checking types; `where` names the place in messages."""
    origin = typing.get_origin(kind)
    if origin in _UNIONS:
        if value is None:
            return None
        (inner,) = (arg for arg in typing.get_args(kind) if arg is not type(None))
        return _build(inner, value, where)
    if origin is list:
        (inner,) = typing.get_args(kind)
        return [_build(inner, item, f"{where}[{i}]") for i, item in enumerate(_expect(list, value, where))]
    if origin is dict:
        _, inner = typing.get_args(kind)
        return {key: _build(inner, item, f"{where}.{key}") for key, item in _expect(dict, value, where).items()}
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, _expect(dict, value, where), where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if kind is float:
        return float(_expect((int, float), value, where))
    return _expect(kind, value, where)


def _build_dataclass(kind: Any, value: dict[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(kind)
    found = {}
    for each in dataclasses.fields(kind):
        if each.name in value:
            found[each.name] = _build(hints[each.name], value[each.name], f"{where}.{each.name}")
        elif each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            raise ValueError(f"{where} lacks {each.name!r}")
    return kind(**found)


def _expect(kind: Any, value: Any, where: str) -> Any:
    wrong_bool = isinstance(value, bool) and kind is not bool
    if wrong_bool or not isinstance(value, kind):
        raise ValueError(f"{where} is {type(value).__name__}, not what the record needs")
    return value
