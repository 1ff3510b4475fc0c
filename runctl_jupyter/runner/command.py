"""The runner's command line: what the engine starts on the machine."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Optional

from runctl_jupyter.run_record import Cause, JobState, StoreError, now, to_iso
from runctl_jupyter.runner.detach import DetachFailed, detach, entry
from runctl_jupyter.runner.diagnostics import Diagnostics
from runctl_jupyter.runner.folders import RootFolders
from runctl_jupyter.runner.keeper import AlreadyKept, Keeper, is_kept
from runctl_jupyter.runner.opening import open_machine, run_attempt
from runctl_jupyter.runner.stops import StopReason, StopSignal
from runctl_jupyter.runner.supervisor import Outcome

_SHUTDOWN_GRACE_S = 60.0  # systemd grants 120 s in all, see `detach`
_SHUTDOWN_SAVE_S = 45.0


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the attempt that the command line names; return the exit code (see `Outcome`)."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(argv)
    Diagnostics.install()
    root = RootFolders(options.root.absolute())
    folders = root.attempt(options.job, options.attempt)
    if options.detach:
        if is_kept(folders.base):
            sys.stdout.write("a runner looks after this attempt already\n")
            return Outcome.NOT_CLAIMED
        try:
            pid = detach(argv, options.job, options.attempt, folders.runner_log)
        except DetachFailed as error:
            return _say(f"The runner could not be started: {error}", f"Look at the disk and the rights of {root.root}.")
        if pid is not None:
            sys.stdout.write(f"{pid}\n")
            sys.stdout.flush()
            return Outcome.REPORTED
    try:
        keeper = Keeper(folders.base, folders.pipe)
    except AlreadyKept:
        return Outcome.NOT_CLAIMED
    except OSError as error:
        return _say(f"The runner could not be started: {error}", f"Look at the disk and the rights of {root.root}.")
    again = [sys.executable, *entry(), *(argument for argument in argv if argument != "--detach"), "--detach"]
    with suppress(OSError):  # a full disk: then a machine that is started again has nothing to start
        folders.unfinished.write_text(f"exec {shlex.join(again)}\n")
    outcome = keeper.keep(lambda restarts: _run(options, root, restarts))
    if outcome != Outcome.UNREPORTED:
        folders.unfinished.unlink(missing_ok=True)
    return outcome


def _say(what: str, to_resolve: str) -> int:
    sys.stderr.write(f"{what}\n{to_resolve}\n")
    return Outcome.UNREPORTED


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


def _run(options: argparse.Namespace, root: RootFolders, restarts: int) -> int:
    stop = StopSignal()
    _end_with_the_machine(stop)
    outcome: list[int] = []

    def run() -> None:
        try:
            machine, store = open_machine(options.record, options.endpoint, options.region, os.environ)
            outcome.append(
                run_attempt(store, options.job, options.attempt, root, machine=machine, stop=stop, restarts=restarts)
            )
        except StoreError as error:
            sys.stderr.write(f"{to_iso(now())} The record cannot be used: {error}\n")

    # The signal handler runs in the main thread: there nothing else must use the stop signal.
    worker = threading.Thread(target=run, name="supervisor")
    worker.start()
    worker.join()
    return outcome[0] if outcome else Outcome.UNREPORTED


def _end_with_the_machine(stop: StopSignal) -> None:
    """Take SIGTERM for what it is: the machine shuts down, or somebody stops the unit."""
    cause = Cause("machine", "the machine is shutting down, or the runner was told to end")
    reason = StopReason(JobState.INTERRUPTED, cause, _SHUTDOWN_GRACE_S, _SHUTDOWN_SAVE_S)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.request(reason))
