"""Which blobs the jobs of a record refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from runctl_jupyter.run_record import AttemptKeys, CodeTree, JobKeys, NotFound, Provenance, VariableSet, blob_key
from runctl_jupyter.run_record.documents import SCHEMA

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.record import JobRecord
    from runctl_jupyter.run_record.documents import Document

D = TypeVar("D", bound="Document")


def referred_to(record: JobRecord) -> set[str]:
    """Return the names of all blobs that a job of the record refers to.

    Raises
    ------
    ValueError
        A document cannot be read, so that nobody can tell.
    """
    known: set[str] = set()
    trees: set[str] = set()
    for tree, others in record.each(lambda job_id: _of_job(record, job_id), record.ids()):
        trees |= tree
        known |= others
    for packs in record.each(lambda tree: _packs(record, tree), sorted(trees)):
        known |= packs
    return known | trees


def _of_job(record: JobRecord, job_id: str) -> tuple[set[str], set[str]]:
    """Return the tree of a job, and what else it refers to."""
    keys = JobKeys(job_id)
    try:
        spec = record.spec(job_id)
    except NotFound:
        return set(), set()  # its folder holds no job
    if spec.schema > SCHEMA:
        raise ValueError(f"job {job_id} is of a newer runctl")
    known = {value.sha256 for value in spec.inputs}
    provenance = _read(record, Provenance, keys.provenance)
    if provenance is not None and provenance.git_diff is not None:
        known.add(provenance.git_diff)
    if spec.outputs:
        names, _ = record.store.children(keys.attempts_prefix)
        for number in (int(name) for name in names if name.isdigit()):
            brought = _read(record, VariableSet, AttemptKeys(job_id, number).variables)
            known |= {value.sha256 for value in brought.values} if brought is not None else set()
    return ({spec.tree} if spec.tree is not None else set()), known


def _packs(record: JobRecord, tree: str) -> set[str]:
    found = _read(record, CodeTree, blob_key(tree))
    return set(found.packs) if found is not None else set()


def _read(record: JobRecord, kind: type[D], key: str) -> D | None:
    try:
        return kind.from_json(record.store.get(key).data)
    except NotFound:
        return None
