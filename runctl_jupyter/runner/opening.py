"""From the words of a command line to an attempt: the machine, its record, what to run."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Callable, Optional
from urllib.parse import urlsplit

from runctl_jupyter.run_record import (
    AttemptKeys,
    AttemptPlan,
    Cause,
    JobKeys,
    JobSpec,
    JobState,
    MachineOffer,
    NotFound,
    PreconditionFailed,
    RecordStore,
    Status,
    StoreError,
    now,
    to_iso,
)
from runctl_jupyter.runner.attempt import Attempt, Machine, Patience
from runctl_jupyter.runner.backoff import persist
from runctl_jupyter.runner.files import FileStore, FolderFiles
from runctl_jupyter.runner.folders import RootFolders
from runctl_jupyter.runner.imds import Imds, ImdsError, imds_of_machine
from runctl_jupyter.runner.processes import become_subreaper
from runctl_jupyter.runner.stops import StopSignal
from runctl_jupyter.runner.supervisor import Outcome, Supervisor

_DEFAULT_REGION = "us-east-1"


def run_attempt(
    store: FileStore,
    job_id: str,
    number: int,
    root: RootFolders,
    *,
    machine: Machine,
    stop: StopSignal,
    patience: Patience = Patience(),  # noqa: B008 - frozen
    restarts: int = 0,
) -> Outcome:
    """Run one attempt of a job of the record `store`.

    Raises
    ------
    StoreError
        Spec or claim could not be had.
    """
    become_subreaper()
    keys = JobKeys(job_id).attempt(number)

    def read(get: Callable[[], JobSpec]) -> JobSpec:
        return persist(get, until=time.monotonic() + patience.begin_s, pause=stop.pause)

    try:
        spec = read(lambda: JobSpec.from_json(store.get(JobKeys(job_id).spec).data))
        spec = read(lambda: _planned(store, keys, spec))
    except ValueError as error:
        _report_unreadable(store, keys, str(error))
        return Outcome.REPORTED
    got = this_machine(spec, machine.imds)
    attempt = Attempt(store, got.applied_to(spec) if got else spec, number, root, machine, stop, patience, got)
    return Supervisor(attempt, restarts=restarts).run()


def _planned(store: RecordStore, keys: AttemptKeys, spec: JobSpec) -> JobSpec:
    """Return the spec as this attempt runs it; the first attempt has no plan of its own."""
    if keys.number == 1:
        return spec
    try:
        return AttemptPlan.from_json(store.get(keys.plan).data).applied_to(spec)
    except NotFound:
        return spec


def this_machine(spec: JobSpec, imds: Optional[Imds]) -> Optional[MachineOffer]:
    """Return which of the machines that the spec offers this is: only it knows for sure, and its price is the job's."""
    if not spec.offers or imds is None:
        return None
    try:
        kind, zone, spot = imds.instance_type(), imds.zone(), imds.is_spot()
    except ImdsError as error:
        sys.stderr.write(f"{to_iso(now())} which machine this is cannot be told: {error}\n")
        return None
    fitting = [each for each in spec.offers if (each.instance_type, each.spot) == (kind, spot)]
    offer = next((each for each in fitting if each.availability_zone in (zone, None)), None)
    return offer and dataclasses.replace(offer, availability_zone=zone)


def _report_unreadable(store: RecordStore, keys: AttemptKeys, error: str) -> None:
    moment = to_iso(now())
    status = Status(
        job_id=keys.job_id,
        attempt=keys.number,
        state=JobState.FAILED,
        updated_at=moment,
        ended_at=moment,
        cause=Cause("runner", f"the job's spec cannot be read: {error}"),
    )
    try:
        store.put(keys.status, status.to_json(), create_only=True)
    except PreconditionFailed:
        found = store.get(keys.status)
        if not Status.from_json(found.data).state.ended:
            store.put(keys.status, status.to_json(), if_etag=found.etag)


def open_machine(
    record: str, endpoint: Optional[str], region: Optional[str], environ: Mapping[str, str]
) -> tuple[Machine, FileStore]:
    """Find out where this runs, and open the record.

    Raises
    ------
    StoreError
        There are no credentials, or the metadata service does not answer.
    """
    if not record.startswith("s3://"):
        return Machine(environ), FolderFiles(Path(record).absolute())
    from runctl_jupyter.runner.credentials import credential_source
    from runctl_jupyter.runner.s3 import S3Store

    has_keys = bool(environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"))
    imds = imds_of_machine(environ) if has_keys else Imds.of_environment(environ)
    source = credential_source(environ, imds)
    source.get()  # waits until a machine that boots has its role
    parts = urlsplit(record)
    prefix = parts.path.strip("/")
    try:
        region = region or environ.get("AWS_REGION") or (imds.region() if imds else None) or _DEFAULT_REGION
        instance_id = imds.instance_id() if imds else None
    except ImdsError as error:
        raise StoreError(str(error), transient=True) from error
    store = S3Store(parts.netloc, f"{prefix}/" if prefix else "", region, source, endpoint)
    return Machine(environ, imds, instance_id, region, endpoint, source), store
