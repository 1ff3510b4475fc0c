"""Where a job came from and what it ran with: collected at its launch, read back from its record."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from runctl_jupyter.orchestration.costs.prices import cost_between
from runctl_jupyter.orchestration.model import Value
from runctl_jupyter.orchestration.storage.git import git_state
from runctl_jupyter.orchestration.storage.storage import storage_errors
from runctl_jupyter.run_record import (
    AttemptKeys,
    AttemptPlan,
    Cause,
    DataFile,
    DataManifest,
    JobKeys,
    JobSpec,
    Limits,
    NotFound,
    PreconditionFailed,
    Provenance,
    ResolvedEnvironment,
    ResumeFrom,
    Status,
    StoredValue,
    blob_key,
    from_iso,
    now,
)
from runctl_jupyter.run_record.documents import Document

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.job import Job
    from runctl_jupyter.orchestration.jobs.record import JobRecord
    from runctl_jupyter.orchestration.storage.project import ProjectFile
    from runctl_jupyter.orchestration.storage.store import Store

D = TypeVar("D", bound=Document)

_FIRST_FILES = 5
"""Files of the data that are named; its digest stands for all."""

HIDDEN = "(not shown)"
"""Stands for the value of a variable that is, by its name or form, a secret."""
# Not every word with a key or a token in it: max_tokens and num_key_value_heads are what a training is about.
_SECRET_NAME = re.compile(
    r"secret|passw|passphrase|credential|private|cookie|token$|api_?key|access_?key|(^|_)(key|pwd|auth|dsn|pat)$",
    re.IGNORECASE,
)
_LOOKED_UP = ("ssm:", "secretsmanager:")
"""How values begin that name a secret instead of being one."""
_PASSWORD_IN_ADDRESS = re.compile(r"://[^/\s]*:[^/\s]*@")


def collect(root: Path, cell: str | None, store: Store, files: Sequence[ProjectFile]) -> Provenance:
    """Return where a job comes from; what differs from the commit is stored as a blob.

    Parameters
    ----------
    root, files
        The project and what travels of it.
    cell
        Source of the notebook cell, if it is one.

    Raises
    ------
    StorageUnavailable
        The blob could not be stored. Nothing about git is an error.
    """
    client = {
        "runctl-jupyter": version("runctl-jupyter"),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    state = git_state(root, [file.path for file in files])
    if state is None:
        return Provenance(cell=cell, client=client)
    kept = None
    if state.difference is not None:
        kept = hashlib.sha256(state.difference).hexdigest()
        # Content-addressed: what is there already is what we would write.
        with storage_errors(), suppress(PreconditionFailed):
            store.put(blob_key(kept), state.difference, create_only=True)
    return Provenance(cell, state.commit, state.branch, state.remote, kept, client)


def write(record: JobRecord, job_id: str, provenance: Provenance) -> None:
    """Write where a job comes from; once. What is there already stays."""
    with storage_errors(), suppress(PreconditionFailed):
        record.store.put(JobKeys(job_id).provenance, provenance.to_json(), create_only=True)


@dataclass(frozen=True)
class DataSummary(Value):
    """The files that ``--data-s3`` brought, in short."""

    uri: str
    count: int
    bytes: int
    digest: str
    """SHA-256 over paths and etags: the same for the same data."""
    first: list[DataFile] = field(default_factory=list)


@dataclass(frozen=True)
class AttemptProvenance(Value):
    """What the record knows of one attempt."""

    number: int
    state: str
    exit_code: int | None
    cause: Cause | None
    started_at: str | None
    ended_at: str | None
    instance_id: str | None
    instance_type: str | None
    region: str | None
    spot: bool
    price_per_hour: float | None
    cost_usd: float | None
    image_id: str | None
    resumed_from: ResumeFrom | None
    environment: ResolvedEnvironment | None
    data: DataSummary | None


@dataclass(frozen=True)
class JobProvenance(Value):
    """What the record knows of where a job came from and what it ran with."""

    job_id: str
    name: str
    owner: str
    target: str
    created_at: str
    script: str
    is_cell: bool
    arguments: list[str]
    env: dict[str, str]
    """Values of secrets are not in it."""
    params: dict[str, str]
    requirements: str | None
    checkpoint_dir: str
    limits: Limits
    data_uri: str | None
    output_uri: str | None
    resume: str
    inputs: list[StoredValue]
    outputs: list[str]
    tree: str | None
    """SHA-256 of the blob that lists every file of the project."""
    instance_type: str | None
    region: str | None
    spot: bool
    price_per_hour: float | None
    price_source: str | None
    cost_usd: float | None
    """Of all attempts, so far."""
    origin: Provenance | None
    """What the client noted at launch; None for a job of an older version."""
    attempts: list[AttemptProvenance]


def of_job(job: Job) -> JobProvenance:
    """Read what the record knows of a job; what an older version did not write is None.

    Raises
    ------
    StorageUnavailable
        The record cannot be read.
    """
    record = job.record
    with storage_errors():
        origin = read(record, Provenance, JobKeys(job.id).provenance)
        # The spec as written: a job whose launch is under way has none yet, then what we know is what will be there.
        spec = read(record, JobSpec, JobKeys(job.id).spec) or job.spec
        attempts = [_attempt(job, spec, origin, number) for number in range(1, job.attempt + 1)]
    return JobProvenance(
        job_id=spec.id,
        name=spec.name,
        owner=spec.owner,
        target=spec.target,
        created_at=spec.created_at,
        script=spec.script,
        is_cell=spec.cell,
        arguments=spec.arguments,
        env=without_secrets(spec.env),
        params=without_secrets(spec.params),
        requirements=spec.requirements,
        checkpoint_dir=spec.checkpoint_dir,
        limits=spec.limits,
        data_uri=spec.data_uri,
        output_uri=spec.output_uri,
        resume=spec.resume,
        inputs=spec.inputs,
        outputs=spec.outputs,
        tree=spec.tree,
        instance_type=spec.instance_type,
        region=spec.region,
        spot=spec.spot,
        price_per_hour=spec.price_per_hour,
        price_source=_price_source(spec),
        cost_usd=job.cost_usd,
        origin=origin,
        attempts=attempts,
    )


def read(record: JobRecord, kind: type[D], key: str) -> D | None:
    """Return a document of the record; None when it is not there, or is of a version that we cannot read."""
    with suppress(NotFound, ValueError):
        return kind.from_json(record.store.get(key).data)
    return None


def without_secrets(variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables with the values of those hidden that are secrets by their name or form."""
    return {name: HIDDEN if _is_secret(name, value) else value for name, value in variables.items()}


def _is_secret(name: str, value: str) -> bool:
    if value.startswith(_LOOKED_UP):
        return False
    return bool(_SECRET_NAME.search(name) or _PASSWORD_IN_ADDRESS.search(value))


def _attempt(job: Job, spec: JobSpec, origin: Provenance | None, number: int) -> AttemptProvenance:
    keys, record = AttemptKeys(job.id, number), job.record
    planned = record.pool.submit(read, record, AttemptPlan, keys.plan)
    reported = record.pool.submit(read, record, Status, keys.status)
    resolved = record.pool.submit(read, record, ResolvedEnvironment, keys.environment)
    brought = record.pool.submit(read, record, DataManifest, keys.data)
    plan, environment, data = planned.result(), resolved.result(), brought.result()
    status = reported.result() or (job.status if number == job.attempt else None)
    spec = spec if plan is None else plan.applied_to(spec)
    return AttemptProvenance(
        number=number,
        state=str(status.state) if status else "queued",
        exit_code=status.exit_code if status else None,
        cause=status.cause if status else None,
        started_at=status.started_at if status else None,
        ended_at=status.ended_at if status else None,
        instance_id=(status.instance_id if status else None) or spec.instance_id,
        instance_type=(environment.instance_type if environment else None) or spec.instance_type,
        region=spec.region,
        spot=spec.spot,
        price_per_hour=spec.price_per_hour,
        cost_usd=_cost(spec, status),
        image_id=(environment.image_id if environment else None) or (origin.image_id if origin else None),
        resumed_from=spec.resume_from,
        environment=environment,
        data=None if data is None else _summary(data),
    )


def _cost(spec: JobSpec, status: Status | None) -> float | None:
    if status is None or status.state.ended or status.claimed_at is None:
        return status.cost_usd if status else None
    return cost_between(spec.price_per_hour, from_iso(status.claimed_at), now())


def _summary(data: DataManifest) -> DataSummary:
    files = sorted(data.files, key=lambda file: file.path)
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.path}\0{file.etag}\n".encode("utf-8", "surrogatepass"))
    size = sum(file.size for file in files)
    return DataSummary(data.uri, len(files), size, digest.hexdigest(), files[:_FIRST_FILES])


def _price_source(spec: JobSpec) -> str | None:
    if spec.price_per_hour is None:
        return None
    return f"{spec.price_source or 'as known'}, at launch"
