"""The runner's command line: what the engine starts on the machine."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

from runctl_jupyter.run_record import (
    Cause,
    JobKeys,
    JobSpec,
    JobState,
    PreconditionFailed,
    Status,
    StoreError,
    now,
    to_iso,
)
from runctl_jupyter.runner.backoff import persist
from runctl_jupyter.runner.detach import DetachFailed, detach
from runctl_jupyter.runner.files import FileStore, FolderFiles
from runctl_jupyter.runner.folders import RootFolders
from runctl_jupyter.runner.imds import Imds, ImdsError, imds_of_machine
from runctl_jupyter.runner.processes import become_subreaper
from runctl_jupyter.runner.stops import StopReason, StopSignal
from runctl_jupyter.runner.supervisor import Machine, Outcome, Patience, Supervisor

_SHUTDOWN_GRACE_S = 60.0  # systemd grants 120 s in all, see `detach`
_SHUTDOWN_SAVE_S = 45.0
_DEFAULT_REGION = "us-east-1"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the attempt that the command line names; return the exit code (see `Outcome`)."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(argv)
    root = RootFolders(options.root.absolute())
    if options.detach:
        try:
            pid = detach(argv, options.job, options.attempt, root.attempt(options.job, options.attempt).runner_log)
        except DetachFailed as error:
            sys.stderr.write(
                f"The runner could not be started: {error}\nLook at the disk and the rights of {root.root}.\n"
            )
            return Outcome.UNREPORTED
        if pid is not None:
            sys.stdout.write(f"{pid}\n")
            sys.stdout.flush()
            return Outcome.REPORTED
    stop = StopSignal()
    _end_with_the_machine(stop)
    outcome: list[int] = []
    # The signal handler runs in the main thread: there nothing else must use the stop signal.
    worker = threading.Thread(target=lambda: outcome.append(_run(options, root, stop)), name="supervisor")
    worker.start()
    worker.join()
    return outcome[0] if outcome else Outcome.UNREPORTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="runctl-runner", description="Run one attempt of a job on this machine.")
    parser.add_argument("--record", required=True, help="s3://BUCKET/PREFIX or a folder")
    parser.add_argument("--job", required=True, help="id of the job")
    parser.add_argument("--attempt", required=True, type=int, help="number of the attempt, from 1")
    parser.add_argument("--root", required=True, type=Path, help="folder for everything the runner keeps")
    parser.add_argument("--endpoint", help="URL of another S3 than AWS's own")
    parser.add_argument("--region", help="region of the bucket")
    parser.add_argument("--detach", action="store_true", help="go on in the background and print the process id")
    return parser


def _run(options: argparse.Namespace, root: RootFolders, stop: StopSignal) -> int:
    try:
        machine, store = _open(options.record, options.endpoint, options.region, os.environ)
        return run_attempt(store, options.job, options.attempt, root, machine=machine, stop=stop)
    except StoreError as error:
        sys.stderr.write(f"{to_iso(now())} The record cannot be used: {error}\n")
        return Outcome.UNREPORTED


def run_attempt(
    store: FileStore,
    job_id: str,
    attempt: int,
    root: RootFolders,
    *,
    machine: Machine,
    stop: StopSignal,
    patience: Patience = Patience(),  # noqa: B008 - frozen
) -> Outcome:
    """Run one attempt of a job of the record `store`.

    Raises
    ------
    StoreError
        Spec or claim could not be had.
    """
    become_subreaper()
    keys = JobKeys(job_id)
    document = persist(lambda: store.get(keys.spec), until=time.monotonic() + patience.begin_s, pause=stop.pause).data
    try:
        spec = JobSpec.from_json(document)
    except ValueError as error:
        _report_unreadable(store, keys, attempt, str(error))
        return Outcome.REPORTED
    return Supervisor(store, spec, attempt, root, machine=machine, stop=stop, patience=patience).run()


def _report_unreadable(store: FileStore, keys: JobKeys, attempt: int, error: str) -> None:
    moment = to_iso(now())
    status = Status(
        job_id=keys.job_id,
        attempt=attempt,
        state=JobState.FAILED,
        updated_at=moment,
        ended_at=moment,
        cause=Cause("runner", f"the job's spec cannot be read: {error}"),
    )
    key = keys.attempt(attempt).status
    try:
        store.put(key, status.to_json(), create_only=True)
    except PreconditionFailed:
        found = store.get(key)
        if not Status.from_json(found.data).state.ended:
            store.put(key, status.to_json(), if_etag=found.etag)


def _open(
    record: str, endpoint: Optional[str], region: Optional[str], environ: Mapping[str, str]
) -> tuple[Machine, FileStore]:
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
    return Machine(environ, imds, instance_id), store


def _end_with_the_machine(stop: StopSignal) -> None:
    """Take SIGTERM for what it is: the machine shuts down, or somebody stops the unit."""
    cause = Cause("machine", "the machine is shutting down, or the runner was told to end")
    reason = StopReason(JobState.INTERRUPTED, cause, _SHUTDOWN_GRACE_S, _SHUTDOWN_SAVE_S)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.request(reason))
