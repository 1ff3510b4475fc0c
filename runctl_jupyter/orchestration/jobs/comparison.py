"""What two jobs differ in: source, history, arguments, environment, data, machine, and how they ended."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.errors import ObjectMissing
from runctl_jupyter.orchestration.jobs.provenance import HIDDEN, JobProvenance, of_job, read
from runctl_jupyter.orchestration.model import Value
from runctl_jupyter.orchestration.storage.storage import storage_errors
from runctl_jupyter.run_record import (
    AttemptKeys,
    CheckpointManifest,
    CodeFile,
    CodeTree,
    DataManifest,
    JobKeys,
    LatestCheckpoint,
    blob_key,
)

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.job import Job

_LONGEST_SOURCE = 1_000_000
"""Characters that are compared line by line; the time that takes grows with the square."""


@dataclass(frozen=True)
class ComparedJob(Value):
    """One of the two."""

    id: str
    name: str
    state: str


@dataclass(frozen=True)
class Difference(Value):
    """A fact that differs; None where a job has no such thing, or nothing is known of it."""

    what: str
    a: Any
    b: Any


@dataclass(frozen=True)
class JobComparison(Value):
    """What differs between two jobs; what is equal is not in it."""

    a: ComparedJob
    b: ComparedJob
    differences: list[Difference] = field(default_factory=list)
    source_diff: str = ""
    """Unified diff of the two cells or scripts."""


@dataclass(frozen=True)
class _Side:
    """All that is compared of one job."""

    job: Job
    known: JobProvenance
    files: dict[str, CodeFile]
    data: DataManifest | None
    checkpoint: CheckpointManifest | None


def compare(a: Job, b: Job) -> JobComparison:
    """Compare two jobs, each with its newest attempt.

    Raises
    ------
    StorageUnavailable
        The record cannot be read.
    """
    a.refresh()
    b.refresh()
    left, right = _side(a), _side(b)
    differences = [
        *_source(left, right),
        *_git(left, right),
        *_request(left, right),
        *_environment(left, right),
        *_data(left, right),
        *_machine(left, right),
        *_outcome(left, right),
    ]
    return JobComparison(_compared(a), _compared(b), differences, _source_diff(left, right))


def _compared(job: Job) -> ComparedJob:
    return ComparedJob(job.id, job.name, str(job.state))


def _side(job: Job) -> _Side:
    known, record = of_job(job), job.record
    with storage_errors():
        tree = read(record, CodeTree, blob_key(known.tree)) if known.tree else None
        data = read(record, DataManifest, AttemptKeys(job.id, job.attempt).data)
        checkpoint = _newest_checkpoint(job)
    return _Side(job, known, {file.path: file for file in tree.files} if tree else {}, data, checkpoint)


def _newest_checkpoint(job: Job) -> CheckpointManifest | None:
    keys = JobKeys(job.id)
    newest = read(job.record, LatestCheckpoint, keys.latest_checkpoint)
    if newest is None:
        return None
    return read(job.record, CheckpointManifest, keys.checkpoint_manifest(newest.attempt, newest.seq))


def _unequal(what: str, a: Any, b: Any) -> Iterator[Difference]:
    if a != b:
        yield Difference(what, a, b)


def _unequal_items(what: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Difference]:
    for name in sorted({*a, *b}):
        yield from _unequal(f"{what} {name}", a.get(name), b.get(name))


def _source(left: _Side, right: _Side) -> Iterator[Difference]:
    scripts = left.known.script, right.known.script
    yield from _unequal("script", *scripts)
    hashes = [{path: file.sha256 for path, file in side.files.items()} for side in (left, right)]
    sources = [each.pop(script, None) for each, script in zip(hashes, scripts, strict=True)]
    yield from _unequal("source", *sources)
    if left.files and right.files:
        yield from _unequal_items("file", *hashes)
    else:
        yield from _unequal("project", left.known.tree, right.known.tree)


def _git(left: _Side, right: _Side) -> Iterator[Difference]:
    a, b = left.known.origin, right.known.origin
    yield from _unequal("git commit", a and a.git_commit, b and b.git_commit)
    yield from _unequal("git branch", a and a.git_branch, b and b.git_branch)
    yield from _unequal("git remote", a and a.git_remote, b and b.git_remote)
    yield from _unequal("uncommitted changes", a and a.git_diff, b and b.git_diff)


def _request(left: _Side, right: _Side) -> Iterator[Difference]:
    a, b = left.known, right.known
    yield from _unequal("arguments", a.arguments, b.arguments)
    yield from _variables("param", a.params, b.params, left.job.spec.params, right.job.spec.params)
    yield from _variables("env", a.env, b.env, left.job.spec.env, right.job.spec.env)
    yield from _unequal_items("input", *({v.name: v.sha256 for v in each.inputs} for each in (a, b)))
    yield from _unequal("outputs", a.outputs, b.outputs)
    yield from _unequal("requirements file", a.requirements, b.requirements)
    yield from _unequal("checkpoint folder", a.checkpoint_dir, b.checkpoint_dir)
    resumed = [each.attempts[-1].resumed_from for each in (a, b)]
    yield from _unequal("resumed from", *(None if each is None else asdict(each) for each in resumed))
    yield from _unequal_items("limit", asdict(a.limits), asdict(b.limits))


def _variables(
    what: str, a: Mapping[str, str], b: Mapping[str, str], real_a: Mapping[str, str], real_b: Mapping[str, str]
) -> Iterator[Difference]:
    """Compare variables as they are shown; that a hidden value is another one is said without saying which."""
    for name in sorted({*a, *b}):
        if a.get(name) == b.get(name) == HIDDEN and real_a.get(name) != real_b.get(name):
            yield Difference(f"{what} {name}", HIDDEN, f"{HIDDEN[:-1]}, another)")
        else:
            yield from _unequal(f"{what} {name}", a.get(name), b.get(name))


def _environment(left: _Side, right: _Side) -> Iterator[Difference]:
    a, b = (side.known.attempts[-1].environment for side in (left, right))
    yield from _unequal("python", a and a.python, b and b.python)
    yield from _unequal("platform", a and a.platform, b and b.platform)
    if a is not None and b is not None:
        yield from _unequal_items("package", a.packages, b.packages)
    else:
        # A job of an older version: that nothing is known of its packages does not mean that it had none.
        yield from _unequal("packages", a and len(a.packages), b and len(b.packages))


def _data(left: _Side, right: _Side) -> Iterator[Difference]:
    yield from _unequal("data", left.known.data_uri, right.known.data_uri)
    yield from _unequal("output", left.known.output_uri, right.known.output_uri)
    a, b = (side.known.attempts[-1].data for side in (left, right))
    yield from _unequal("data files", a and a.count, b and b.count)
    yield from _unequal("data bytes", a and a.bytes, b and b.bytes)
    if left.data is not None and right.data is not None:
        etags = [{file.path: file.etag for file in side.files} for side in (left.data, right.data)]
        yield from _unequal_items("data file", *etags)


def _machine(left: _Side, right: _Side) -> Iterator[Difference]:
    a, b = (side.known.attempts[-1] for side in (left, right))
    yield from _unequal("target", left.known.target, right.known.target)
    yield from _unequal("image", a.image_id, b.image_id)
    yield from _unequal("instance type", a.instance_type, b.instance_type)
    yield from _unequal("region", a.region, b.region)
    yield from _unequal("spot", a.spot, b.spot)
    yield from _unequal("price", a.price_per_hour, b.price_per_hour)


def _outcome(left: _Side, right: _Side) -> Iterator[Difference]:
    a, b = left.job, right.job
    yield from _unequal("state", str(a.state), str(b.state))
    yield from _unequal("exit code", a.exit_code, b.exit_code)
    yield from _unequal("cause", a.cause and a.cause.message, b.cause and b.cause.message)
    yield from _unequal("attempts", a.attempt, b.attempt)
    yield from _unequal("duration", _duration(a), _duration(b))
    costs = [side.known.cost_usd for side in (left, right)]
    yield from _unequal("cost", *(None if cost is None else round(cost, 6) for cost in costs))
    metrics = [dict(side.checkpoint.metrics) if side.checkpoint else {} for side in (left, right)]
    steps = [side.checkpoint and side.checkpoint.step for side in (left, right)]
    yield from _unequal("checkpoint step", *steps)
    yield from _unequal_items("metric", *metrics)


def _duration(job: Job) -> float | None:
    """Return the seconds its script ran, to a tenth: less says nothing about a job."""
    if job.started_at is None or job.ended_at is None:
        return None
    return round((job.ended_at - job.started_at).total_seconds(), 1)


def _source_diff(left: _Side, right: _Side) -> str:
    files = [side.files.get(side.known.script) for side in (left, right)]
    if files[0] is not None and files[1] is not None and files[0].sha256 == files[1].sha256:
        return ""
    packs: dict[str, bytes] = {}
    a, b = (_source_of(side, file, packs) for side, file in zip((left, right), files, strict=True))
    if a is None or b is None or a == b:
        return ""
    names = [f"{side.job.id}/{side.known.script}" for side in (left, right)]
    if max(len(a), len(b)) > _LONGEST_SOURCE:
        return f"--- {names[0]}\n+++ {names[1]}\nToo long to be compared line by line.\n"
    return _unified(a, b, *names)


def _source_of(side: _Side, file: CodeFile | None, packs: dict[str, bytes]) -> str | None:
    """Return the text of a cell as noted at launch, of a script out of its pack; None when it cannot be had."""
    origin = side.known.origin
    if side.known.is_cell and origin is not None and origin.cell is not None:
        return origin.cell
    if file is None:
        return None
    if file.pack not in packs:
        try:
            with storage_errors():
                packs[file.pack] = side.job.record.store.get(blob_key(file.pack)).data
        except ObjectMissing:
            return None  # somebody tidied the bucket; the hashes still tell that the sources differ
    return packs[file.pack][file.offset : file.offset + file.size].decode("utf-8", "replace")


def _unified(a: str, b: str, name_a: str, name_b: str) -> str:
    """Return a unified diff as `diff -u` prints it."""
    lines = difflib.unified_diff(_lines(a), _lines(b), name_a, name_b)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(text: str) -> list[str]:
    """Split at line feeds only, as diff does; ends are kept."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
