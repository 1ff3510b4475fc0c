"""The life of one attempt: claim, code, environment, script, uploads, end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path, PurePosixPath
from typing import Any, Optional

from runctl_jupyter.run_record import (
    Cause,
    Claim,
    JobKeys,
    JobSpec,
    JobState,
    PreconditionFailed,
    Status,
    StoreError,
    now,
    to_iso,
)
from runctl_jupyter.runner import training
from runctl_jupyter.runner.backoff import persist
from runctl_jupyter.runner.checkpoints import CheckpointUploader
from runctl_jupyter.runner.child import ChildProcess
from runctl_jupyter.runner.code import CodeError, lay_out
from runctl_jupyter.runner.environment import EnvironmentFailed, EnvironmentMaker, ScriptPython, Stopped, machine_python
from runctl_jupyter.runner.files import FileStore
from runctl_jupyter.runner.folders import RootFolders
from runctl_jupyter.runner.imds import Imds
from runctl_jupyter.runner.log import JobLog
from runctl_jupyter.runner.memory import kills_for_memory
from runctl_jupyter.runner.outputs import upload_outputs
from runctl_jupyter.runner.periodic import Periodic
from runctl_jupyter.runner.requirements import RequirementsError, find_requirements
from runctl_jupyter.runner.spot import SpotWatch
from runctl_jupyter.runner.status import EndedElsewhere, StatusBoard
from runctl_jupyter.runner.stops import CancelWatch, LimitWatch, StopReason, StopSignal, cost_usd

_TAIL_BYTES = 8192
_OWN_FAILURE_GRACE_S = 5.0


class Outcome(IntEnum):
    """How the runner itself ended; its exit code."""

    REPORTED = 0
    UNREPORTED = 1
    """The end could not be stored; it lies in ``state.json``."""
    NOT_CLAIMED = 3
    """Another runner has the attempt."""
    ENDED_ELSEWHERE = 4
    """Somebody else has written the attempt's end, e.g. ``lost``."""


@dataclass(frozen=True)
class Patience:
    """How long the runner tries, in seconds."""

    begin_s: float = 20.0
    """For the claim, and the project's code: a fresh role may be refused for a while."""
    save_s: float = 600.0
    """For uploads after the script."""
    save_when_stopped_s: float = 120.0
    """For uploads after a cancel or a limit."""
    end_s: float = 900.0
    """For the end itself."""


@dataclass(frozen=True)
class Machine:
    """Where this runs."""

    environ: Mapping[str, str]
    imds: Optional[Imds] = None
    instance_id: Optional[str] = None


@dataclass(frozen=True)
class _End:
    state: JobState
    exit_code: Optional[int] = None
    cause: Optional[Cause] = None


class Supervisor:
    """Runs one attempt from claim to end."""

    def __init__(
        self,
        store: FileStore,
        spec: JobSpec,
        attempt: int,
        root: RootFolders,
        *,
        machine: Machine,
        stop: StopSignal,
        patience: Patience = Patience(),
    ) -> None:
        self._store = store
        self._spec = spec
        self._attempt = attempt
        self._root = root
        self._folders = root.attempt(spec.id, attempt)
        self._keys = JobKeys(spec.id).attempt(attempt)
        self._machine = machine
        self._stop = stop
        self._patience = patience
        self._runner_id = os.urandom(16).hex()
        self._checkpoints: Optional[CheckpointUploader] = None

    def run(self) -> Outcome:
        """Run the attempt, if it can be claimed, and report its end.

        Raises
        ------
        StoreError
            The claim could not be written.
        """
        claim = self._claim()
        if claim is None:
            return Outcome.NOT_CLAIMED
        self._claimed_at = time.monotonic()
        self._folders.make()
        self._log = JobLog(self._store, self._keys, self._spec.pacing, self._folders.stream)
        self._log.start()
        self._start_watches(claim)
        try:
            end = self._work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the record has to say that the job is over
            end = self._own_failure(error)
        try:
            end = self._save(end)
        except Exception as error:  # noqa: BLE001 - as above
            end = self._own_failure(error)
        outcome = self._report(end)
        if self._spec.end_machine:
            power_off()
        return outcome

    def _claim(self) -> Optional[Claim]:
        claim = Claim(self._runner_id, socket.gethostname(), os.getpid(), to_iso(now()), self._machine.instance_id)
        try:
            persist(
                lambda: self._store.put(self._keys.claim, claim.to_json(), create_only=True),
                until=time.monotonic() + self._patience.begin_s,
                pause=self._stop.pause,
            )
        except PreconditionFailed:
            # Ours if an earlier try was carried out and its answer lost.
            held = Claim.from_json(self._store.get(self._keys.claim).data)
            return claim if held.runner_id == self._runner_id else None
        return claim

    def _start_watches(self, claim: Claim) -> None:
        spec, pacing, stop = self._spec, self._spec.pacing, self._stop
        first = Status(
            job_id=spec.id,
            attempt=self._attempt,
            state=JobState.STARTING,
            updated_at=claim.claimed_at,
            phase="code",
            runner_id=self._runner_id,
            instance_id=self._machine.instance_id,
            claimed_at=claim.claimed_at,
        )
        self._board = StatusBoard(self._store, self._keys, first, self._measure, self._folders.state)
        self._heartbeat = Periodic("heartbeat", lambda: pacing.heartbeat_s, self._beat)
        save_s = self._patience.save_when_stopped_s
        cancel = CancelWatch(self._store, self._keys.cancel, stop, spec.limits.grace_s, save_s)
        self._limits = LimitWatch(spec, self._claimed_at, stop, save_s)
        self._limit_watch = Periodic("limits", self._limits.next_look_s, self._limits.look)
        self._watches = [
            self._limit_watch,
            self._heartbeat,
            Periodic("cancel", lambda: pacing.control_s, cancel.look),
        ]
        if self._machine.imds is not None:
            spot = SpotWatch(self._machine.imds, stop, spec.limits.grace_s)
            self._watches.append(Periodic("spot", lambda: spot.period_s, spot.look))
        for watch in self._watches:
            watch.start()

    def _measure(self) -> dict[str, Any]:
        chunks, size = self._log.stored
        return {
            "log_chunks": chunks,
            "log_bytes": size,
            "checkpoint_count": self._checkpoints.count if self._checkpoints else 0,
            "cost_usd": cost_usd(self._spec.price_per_hour, time.monotonic() - self._claimed_at),
        }

    def _beat(self) -> None:
        try:
            self._board.write()
        except EndedElsewhere as error:
            self._stop.request(
                StopReason(None, Cause("machine", str(error)), min(10.0, self._spec.limits.grace_s), 0.0)
            )
        except StoreError as error:
            sys.stderr.write(f"{to_iso(now())} heartbeat: {error}\n")

    def _enter(self, phase: str, **fields: Any) -> None:
        self._board.change(phase=phase, **fields)
        self._heartbeat.kick()

    def _work(self) -> _End:
        try:
            self._lay_out_code()
        except (CodeError, StoreError, OSError) as error:
            if self._stop.reason is not None:
                return self._stopped_end(None)
            return _End(JobState.FAILED, cause=Cause("code", f"the project could not be brought here: {error}"))
        self._enter("environment")
        try:
            python = self._environment()
        except Stopped:
            return self._stopped_end(None)
        except (EnvironmentFailed, RequirementsError, OSError) as error:
            return _End(JobState.FAILED, cause=Cause("environment", str(error)))
        return self._train(python)

    def _lay_out_code(self) -> None:
        tree = self._spec.tree
        if tree is not None:
            persist(
                lambda: lay_out(self._store, tree, self._root.blobs, self._folders.work),
                until=time.monotonic() + self._patience.begin_s,
                pause=self._stop.pause,
            )
        script = PurePosixPath(self._spec.script)
        if script.is_absolute() or ".." in script.parts or not (self._folders.work / script).is_file():
            raise CodeError(f"there is no script {self._spec.script} in the project")
        self._checkpoint_folder = _inside(self._folders.work, self._spec.checkpoint_dir)
        self._checkpoint_folder.mkdir(parents=True, exist_ok=True)

    def _environment(self) -> ScriptPython:
        spec, work = self._spec, self._folders.work
        self._base_environ = training.machine_environ(self._machine.environ)
        needs = find_requirements(work / spec.script, work / spec.requirements if spec.requirements else None)
        maker = EnvironmentMaker(
            self._root,
            self._log,
            self._stop,
            base=machine_python(self._machine.environ),
            environ=self._base_environ,
            project=spec.tree or "",
            attempt=f"{spec.id}/{self._attempt}",
        )
        return maker.python_for(needs, work)

    def _train(self, python: ScriptPython) -> _End:
        spec, work = self._spec, self._folders.work
        places = training.ScriptPlaces(work, self._folders.outputs, self._checkpoint_folder)
        checkpoints = CheckpointUploader(
            self._store,
            JobKeys(spec.id),
            self._attempt,
            places.checkpoints,
            spec.pacing.checkpoint_scan_s,
            self._log.say,
        )
        environ = training.script_environ(spec, self._attempt, self._base_environ, python, places, home=self._root.root)
        if self._stop.reason is not None:
            return self._stopped_end(None)
        memory_kills = kills_for_memory()
        argv = training.command(spec, work, python)
        try:
            child = ChildProcess(argv, folder=work, environ=environ, write=self._log.write, stop=self._stop)
        except OSError as error:
            return _End(JobState.FAILED, cause=Cause("code", f"the script could not be started: {error}"))
        try:
            by_itself = self._watch(child, checkpoints)
        except BaseException:
            # Nothing of a job may outlive its runner, whatever happened to it.
            self._stop.request(
                StopReason(JobState.FAILED, Cause("runner", "the runner failed"), _OWN_FAILURE_GRACE_S, 0.0)
            )
            child.end()
            raise
        code = child.return_code
        if code is None:
            raise AssertionError("the script's exit was awaited")
        if not by_itself:
            return self._stopped_end(training.exit_code(code))
        out_of_memory = kills_for_memory() > memory_kills
        cause = training.cause_of_exit(code, self._log.tail(_TAIL_BYTES), out_of_memory=out_of_memory)
        return _End(JobState.FAILED if cause else JobState.SUCCEEDED, training.exit_code(code), cause)

    def _watch(self, child: ChildProcess, checkpoints: CheckpointUploader) -> bool:
        """Watch over the script until it and all it has started are gone; return whether it ended by itself."""
        self._limits.script_started(time.monotonic())
        self._limit_watch.kick()
        self._enter("training", state=JobState.RUNNING, started_at=to_iso(now()))
        self._checkpoints = checkpoints
        checkpoints.start()
        by_itself = child.wait()
        child.end(before_kill=checkpoints.note_open_files)
        return by_itself

    def _stopped_end(self, exit_code: Optional[int]) -> _End:
        reason = self._stop.reason
        if reason is None:
            raise AssertionError("nobody asked for the end")
        # Without a state the end has been written by somebody else, and this one goes nowhere.
        return _End(reason.state or JobState.LOST, exit_code, reason.cause)

    def _own_failure(self, error: Exception) -> _End:
        traceback.print_exc(file=sys.stderr)
        return _End(JobState.FAILED, cause=Cause("runner", f"the runner failed: {type(error).__name__}: {error}"))

    def _save(self, end: _End) -> _End:
        """Upload what is left to upload, then the rest of the log; a promise that is not kept changes the end."""
        if self._stop.disowned:
            return end
        self._enter("saving")
        began = time.monotonic()
        problems: list[str] = []
        finished = threading.Event()

        def upload() -> None:
            try:
                if self._checkpoints is not None:
                    problems.extend(self._checkpoints.finish(self._until(began), urgent=self._stop.reason is not None))
                problems.extend(
                    upload_outputs(self._store, JobKeys(self._spec.id), self._folders.outputs, self._until(began))
                )
            except Exception as error:  # noqa: BLE001 - told as the job's end
                traceback.print_exc(file=sys.stderr)
                problems.append(f"uploads failed: {error}")
            finished.set()
            self._stop.poke()

        threading.Thread(target=upload, name="save", daemon=True).start()
        while not finished.is_set() and time.monotonic() < self._until(began):
            self._stop.wait_for(finished.is_set, min(1.0, max(0.0, self._until(began) - time.monotonic())))
        if not finished.is_set():
            problems.append("uploads did not finish in time")
        for problem in problems:
            self._log.say(problem)
        if not self._log.close(max(self._until(began), time.monotonic() + 1.0)):
            problems.append(f"the end of the log could not be stored: {self._log.failure}")
        if problems and end.state is JobState.SUCCEEDED:
            if self._stop.reason is not None:
                return self._stopped_end(end.exit_code)
            return _End(JobState.FAILED, end.exit_code, Cause("upload", problems[0]))
        return end

    def _until(self, began: float) -> float:
        return min(began + self._patience.save_s, self._stop.save_until)

    def _report(self, end: _End) -> Outcome:
        for watch in self._watches:
            watch.stop()
        if self._stop.disowned:
            return Outcome.ENDED_ELSEWHERE
        try:
            stored = self._board.end(
                time.monotonic() + self._patience.end_s,
                state=end.state,
                phase="",
                exit_code=end.exit_code,
                cause=end.cause,
            )
        except EndedElsewhere:
            return Outcome.ENDED_ELSEWHERE
        return Outcome.REPORTED if stored else Outcome.UNREPORTED


def _inside(work: Path, checkpoint_dir: str) -> Path:
    folder = PurePosixPath(checkpoint_dir)
    if folder.is_absolute() or ".." in folder.parts or not folder.parts:
        raise CodeError(f"the checkpoint folder must lie in the project: {checkpoint_dir!r}")
    return work / folder


def power_off() -> None:
    """Switch the machine off: it was launched for this job and bills until then."""
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    for command in (["shutdown", "-h", "now"], ["poweroff"]):
        try:
            done = subprocess.run(command, env={**os.environ, "PATH": search}, check=False)
        except OSError as error:
            sys.stderr.write(f"{command[0]}: {error}\n")
            continue
        if done.returncode == 0:
            return
