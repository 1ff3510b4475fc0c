"""The documents that make a job run: what to run, who runs it, how it is, what it saved."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Optional

from runctl_jupyter.run_record.documents import SCHEMA, Document
from runctl_jupyter.run_record.measures import MachineSample, PhaseMark, Progress
from runctl_jupyter.run_record.states import JobState


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
    """Money the attempt may cost: its machine from the boot on if that is its own, with disk and address."""
    idle_stop_s: Optional[float] = None
    """Seconds without anything happening: no CPU, GPU, disk or network in use."""
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
    chunk_bytes: int = 4 * 1024 * 1024
    """A chunk is written at once when it has this size, whatever the time: so 4 MB/s cost no more than 4 lines/s."""
    control_s: float = 1.0
    """How often the runner looks for a cancel request."""
    checkpoint_scan_s: float = 0.5
    output_s: float = 30.0
    """How often changed outputs are uploaded while the script runs."""


@dataclass(frozen=True)
class StoredValue(Document):
    """The value of a variable, stored as a blob: the same value is stored once."""

    name: str
    format: str
    """How its bytes are to be read: ``json npy parquet safetensors pickle cloudpickle``; a second word
    says what is built from them."""
    sha256: str
    size: int
    type: str
    """Its Python type, for people, e.g. ``pandas.DataFrame``."""


@dataclass(frozen=True)
class ResumeFrom(Document):
    """A checkpoint to go on from: one of this record's, or files under an ``s3://`` address."""

    job_id: Optional[str] = None
    attempt: Optional[int] = None
    seq: Optional[int] = None
    uri: Optional[str] = None


@dataclass(frozen=True)
class MachineAsked(Document):
    """What kind of machine an attempt is launched on; nothing said means the setting's type."""

    instance_types: list[str] = field(default_factory=list)
    """In order of preference."""
    gpu: Optional[str] = None
    """``A10G:1``, ``24GB``: any type that has it; see `orchestration.instances.catalogue`."""
    spot: bool = False
    fallback: str = "never"
    """Where there is no spot capacity: ``never`` or ``on-demand``."""

    @property
    def says_nothing(self) -> bool:
        """Whether nothing was asked for."""
        return self == MachineAsked()


@dataclass(frozen=True)
class MachineOffer(Document):
    """A machine that may be had, at the price that was known at launch."""

    instance_type: str
    availability_zone: Optional[str] = None
    """None where the price is the same in all."""
    spot: bool = False
    price_per_hour: Optional[float] = None
    """USD; None when unknown."""
    price_source: str = ""

    def applied_to(self, spec: JobSpec) -> JobSpec:
        """Return the spec as it runs on this machine."""
        return dataclasses.replace(
            spec,
            instance_type=self.instance_type,
            spot=self.spot,
            price_per_hour=self.price_per_hour,
            price_source=self.price_source or None,
        )


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
    """Variables as they are; ``ssm:NAME`` and ``secretsmanager:NAME`` name secrets, looked up on the machine."""
    params: dict[str, str] = field(default_factory=dict)
    requirements: Optional[str] = None
    """Path of a requirements file in the project; None with a PEP 723 block or without dependencies."""
    checkpoint_dir: str = "checkpoints"
    """Relative to the working directory."""
    data_uri: Optional[str] = None
    """``s3://`` object or prefix that is brought to ``RUNCTL_DATA_DIR``."""
    output_uri: Optional[str] = None
    """``s3://`` prefix for ``RUNCTL_OUTPUT_DIR``; None keeps outputs in the record."""
    resume: str = "latest"
    """What a next attempt goes on from: ``latest`` or ``none``."""
    resume_from: Optional[ResumeFrom] = None
    """What this attempt goes on from, where it was said; outranks `resume`."""
    inputs: list[StoredValue] = field(default_factory=list)
    """Variables the cell finds defined."""
    outputs: list[str] = field(default_factory=list)
    """Variables of the cell that are brought back."""
    run_key: Optional[str] = None
    """Hash of cell, source and arguments: the same run is not launched twice while it runs."""
    limits: Limits = field(default_factory=Limits)
    pacing: Pacing = field(default_factory=Pacing)
    instance_id: Optional[str] = None
    """The instance asked for with ``--on``; None when the job has its own (or none, target ``local``)."""
    instance_type: Optional[str] = None
    """Of the machine launched, as far as is known: the first choice until it is there."""
    region: Optional[str] = None
    spot: bool = False
    price_per_hour: Optional[float] = None
    """USD of the instance as it was bought; None when unknown. An estimate at list price, never billing data."""
    end_machine: bool = False
    """Power the machine off after the job: it was launched for this job."""
    cell: bool = False
    """Whether the script is the body of a notebook cell."""
    asked: Optional[MachineAsked] = None
    """What kind of machine to launch; None with ``--on``, and on target ``local``."""
    offers: list[MachineOffer] = field(default_factory=list)
    """What the launch may end with; the machine finds itself among them."""
    notebook: Optional[str] = None
    """Notebook it was launched from: its path in the project, or its name."""
    cell_id: Optional[str] = None
    """Cell it was launched from, as the front end names it."""
    project: Optional[str] = None
    """Name of the folder that travelled."""
    price_source: Optional[str] = None
    """Where `price_per_hour` is from, and how old it was at launch."""
    beside_per_hour: dict[str, float] = field(default_factory=dict)
    """USD of what else of the machine is billed by the hour: ``disk``, ``address``. What is not in it is not known."""
    schema: int = SCHEMA


@dataclass(frozen=True)
class AttemptPlan(Document):
    """Where a next attempt of a job runs and what it goes on from. The first attempt's lies in the spec."""

    number: int
    created_at: str
    instance_id: Optional[str] = None
    instance_type: Optional[str] = None
    region: Optional[str] = None
    spot: bool = False
    price_per_hour: Optional[float] = None
    end_machine: bool = False
    resume: str = "latest"
    resume_from: Optional[ResumeFrom] = None
    asked: Optional[MachineAsked] = None
    offers: list[MachineOffer] = field(default_factory=list)
    price_source: Optional[str] = None
    beside_per_hour: dict[str, float] = field(default_factory=dict)
    schema: int = SCHEMA

    def applied_to(self, spec: JobSpec) -> JobSpec:
        """Return the spec as this attempt runs it."""
        return dataclasses.replace(
            spec,
            instance_id=self.instance_id,
            instance_type=self.instance_type,
            region=self.region,
            spot=self.spot,
            price_per_hour=self.price_per_hour,
            price_source=self.price_source,
            beside_per_hour=self.beside_per_hour,
            asked=self.asked,
            offers=self.offers,
            end_machine=self.end_machine,
            resume=self.resume,
            resume_from=self.resume_from,
        )


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
class EndRequest(Document):
    """A user's request to end an attempt. Written once."""

    requested_at: str
    state: JobState = JobState.CANCELLED
    """The end it shall have: ``interrupted`` when it is to go on later."""
    message: str = "cancelled by the user"
    keep_machine: bool = False
    """Whether the machine stays although it was launched for the job: somebody is about to stop it."""


@dataclass(frozen=True)
class Cause(Document):
    """Why a job ended the way it did: a short `kind` for programs, a sentence for people.

    Kinds: ``exit`` (non-zero exit code), ``signal``, ``out-of-memory`` (the kernel killed it), ``cuda-out-of-memory``,
    ``missing-module``, ``environment`` (dependencies could not be installed), ``code`` (the project could not be
    fetched), ``data``, ``inputs`` (variables), ``resume`` (the checkpoint), ``secret``
    (what the script needs could not be brought), ``upload``
    (a promised upload failed), ``user``, ``ttl``, ``timeout``, ``max-cost``, ``idle``, ``spot``, ``machine`` (gone or
    silent), ``launch`` (no machine could be had), ``runner``.
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
    output_count: int = 0
    """Files of ``RUNCTL_OUTPUT_DIR`` that are stored and verified."""
    output_bytes: int = 0
    cost_usd: Optional[float] = None
    """From claim to now at the spec's price, 60 s at least; None when the price is unknown."""
    phases: list[PhaseMark] = field(default_factory=list)
    progress: Optional[Progress] = None
    metrics: dict[str, float] = field(default_factory=dict)
    """Last value of each metric, of those seen last if there are many."""
    machine: Optional[MachineSample] = None
    got: Optional[MachineOffer] = None
    """The machine it really got, of those that the spec offers."""
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
