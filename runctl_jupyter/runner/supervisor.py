"""The life of one attempt: claim, preparation, script, uploads, end."""

from __future__ import annotations

import socket
import sys
import threading
import time
import traceback
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Optional

from runctl_jupyter.run_record import (
    ATTEMPT_IS_KEPT,
    Cause,
    Claim,
    JobState,
    PreconditionFailed,
    Status,
    StoreError,
    now,
    to_iso,
)
from runctl_jupyter.runner import training
from runctl_jupyter.runner.attempt import Attempt, End, stopped_end
from runctl_jupyter.runner.backoff import persist
from runctl_jupyter.runner.causes import cause_of_exit
from runctl_jupyter.runner.checkpoints import CheckpointUploader
from runctl_jupyter.runner.child import AdoptedChild, ChildProcess, Program
from runctl_jupyter.runner.idle import IdleWatch
from runctl_jupyter.runner.journal import Journal, StartedScript
from runctl_jupyter.runner.log import JobLog
from runctl_jupyter.runner.memory import kills_for_memory
from runctl_jupyter.runner.output_pipe import OutputPipe
from runctl_jupyter.runner.outputs import OutputUploader
from runctl_jupyter.runner.packages import resolved_environment
from runctl_jupyter.runner.periodic import Periodic
from runctl_jupyter.runner.phases import opening_phases, seconds_of_boot, with_phase
from runctl_jupyter.runner.power import power_off
from runctl_jupyter.runner.preparation import NotPrepared, Preparation, Prepared, checkpoint_folder
from runctl_jupyter.runner.processes import descendants, keeper_or_self, start_time
from runctl_jupyter.runner.s3 import S3Store
from runctl_jupyter.runner.saving import Upload, save
from runctl_jupyter.runner.spot import SpotWatch
from runctl_jupyter.runner.status import EndedElsewhere, StatusBoard
from runctl_jupyter.runner.stops import CancelWatch, LimitWatch, Stopped, StopReason, cost_usd
from runctl_jupyter.runner.succession import Before, Succession
from runctl_jupyter.runner.variables import store_results

if TYPE_CHECKING:
    from runctl_jupyter.runner.measuring import Measuring

_TAIL_BYTES = 1 << 16
_OWN_FAILURE_GRACE_S = 5.0
_BESIDE_S = 10.0
_MEASURES_S = 5.0
_LATE_SAVE_S = 60.0
"""For uploads of an attempt whose end somebody else has written."""


class Outcome(IntEnum):
    """How the runner itself ended; its exit code."""

    REPORTED = 0
    UNREPORTED = 1
    """The end could not be stored; it lies in ``state.json``."""
    NOT_CLAIMED = ATTEMPT_IS_KEPT
    """Another runner has the attempt."""
    ENDED_ELSEWHERE = 4
    """Somebody else has written the attempt's end, e.g. ``lost``."""


class Supervisor:
    """Runs one attempt from claim to end, or goes on where a runner was killed.

    Parameters
    ----------
    restarts
        How many runners the same keeper has started before.
    """

    def __init__(self, attempt: Attempt, *, restarts: int = 0) -> None:
        self._attempt = attempt
        self._store, self._spec, self._stop = attempt.store, attempt.spec, attempt.stop
        self._folders = attempt.folders
        self._folders.make()
        self._journal = Journal(self._folders.base)
        self._succession = Succession.find(attempt, self._journal, restarts)
        self._claimed_at = self._succession.claimed_at
        self._checkpoints: Optional[CheckpointUploader] = None
        self._outputs: Optional[OutputUploader] = None
        self._measuring: Optional[Measuring] = None

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
        before = self._succession.before
        self._log = JobLog(
            self._store, self._attempt.keys, self._spec.pacing, self._folders.stream, self._succession.known_chunks
        )
        self._log.start()
        self._start_watches(claim)
        try:
            self._outputs = self._output_uploader()
            end = self._work() if before is Before.NOTHING else self._go_on(before)
        except Exception as error:  # noqa: BLE001 - whatever it is, the record has to say that the job is over
            end = self._own_failure(error)
        try:
            end = self._save(end)
        except Exception as error:  # noqa: BLE001 - as above
            end = self._own_failure(error)
        outcome = self._report(end)
        self._cancel_watch.look()  # who stops the machine may have said so only when the script was gone already
        if self._spec.end_machine and not self._stop.keeps_machine:
            power_off()
        return outcome

    def _claim(self) -> Optional[Claim]:
        runner_id = self._succession.runner_id
        # The keeper's id, where there is one: it stands for the job as long as that is looked after.
        claim = Claim(runner_id, socket.gethostname(), keeper_or_self(), to_iso(now()), self._instance_id)
        try:
            persist(
                lambda: self._store.put(self._attempt.keys.claim, claim.to_json(), create_only=True),
                until=time.monotonic() + self._attempt.patience.begin_s,
                pause=self._stop.pause,
            )
        except PreconditionFailed:
            # Ours if an earlier try was carried out and its answer lost, or if a runner before this one wrote it.
            held = Claim.from_json(self._store.get(self._attempt.keys.claim).data)
            return held if held.runner_id == runner_id else None
        return claim

    @property
    def _instance_id(self) -> Optional[str]:
        return self._attempt.machine.instance_id

    def _start_watches(self, claim: Claim) -> None:
        spec, pacing, stop = self._spec, self._spec.pacing, self._stop
        first = Status(
            job_id=spec.id,
            attempt=self._attempt.number,
            state=JobState.STARTING,
            updated_at=claim.claimed_at,
            phase="code",
            runner_id=claim.runner_id,
            instance_id=self._instance_id,
            got=self._attempt.got,
            claimed_at=claim.claimed_at,
            phases=opening_phases(self._attempt, claim.claimed_at),
        )
        first = self._succession.first_status(first)
        self._board = StatusBoard(self._store, self._attempt.keys, first, self._measure, self._folders.state)
        self._heartbeat = Periodic("heartbeat", lambda: pacing.heartbeat_s, self._beat)
        save_s = self._attempt.patience.save_when_stopped_s
        self._cancel_watch = CancelWatch(self._store, self._attempt.keys.cancel, stop, spec.limits.grace_s, save_s)
        self._limits = LimitWatch(spec, self._claimed_at, stop, save_s, seconds_of_boot(first.phases))
        self._limit_watch = Periodic("limits", self._limits.next_look_s, self._limits.look)
        self._watches = [
            self._limit_watch,
            self._heartbeat,
            Periodic("cancel", lambda: pacing.control_s, self._cancel_watch.look),
        ]
        if self._attempt.machine.imds is not None:
            spot = SpotWatch(self._attempt.machine.imds, stop, spec.limits.grace_s)
            self._watches.append(Periodic("spot", lambda: spot.period_s, spot.look))
        for watch in self._watches:
            watch.start()

    def _measure(self) -> dict[str, Any]:
        chunks, size = self._log.stored
        measured = {
            "log_chunks": chunks,
            "log_bytes": size,
            "checkpoint_count": self._checkpoints.count if self._checkpoints else 0,
            "output_count": self._outputs.count if self._outputs else 0,
            "output_bytes": self._outputs.bytes if self._outputs else 0,
            "cost_usd": cost_usd(self._spec.price_per_hour, time.monotonic() - self._claimed_at),
        }
        measured = self._succession.at_least(measured)
        return {**measured, **self._measuring.fields()} if self._measuring else measured

    def _beat(self) -> None:
        try:
            self._board.write()
        except EndedElsewhere as error:
            self._stop.request(
                StopReason(None, Cause("machine", str(error)), min(10.0, self._spec.limits.grace_s), _LATE_SAVE_S)
            )
        except StoreError as error:
            sys.stderr.write(f"{to_iso(now())} heartbeat: {error}\n")

    def _enter(self, phase: str, **fields: Any) -> None:
        self._board.change(phase=phase, phases=with_phase(self._board.current.phases, phase), **fields)
        self._heartbeat.kick()

    def _work(self) -> End:
        try:
            prepared = Preparation(self._attempt, self._log, self._enter).run()
        except Stopped:
            return stopped_end(self._stop)
        except NotPrepared as error:
            for line in str(error).splitlines():
                self._log.say(line)
            return End(JobState.FAILED, cause=Cause(error.kind, str(error)))
        return self._train(prepared)

    def _go_on(self, before: Before) -> End:
        """Do what is left to do after a runner that was killed."""
        script = self._succession.script
        if script is not None and before is Before.STARTED:
            self._log.say("the runner was killed; another one goes on with the script")
            output = OutputPipe(self._log.take, self._folders.pipe)
            self._checkpoints = self._checkpoint_uploader(again=True)
            child = AdoptedChild(script, output=output, stop=self._stop, journal=self._journal)
            if not child.wait_until_begun():
                return self._work()
            return self._see_through(child, script, self._checkpoints)
        self._succession.end_leftovers()
        if before is Before.PREPARED:
            self._log.say("the runner was killed before the script began; another one begins anew")
            return self._work()
        if script is not None:
            self._checkpoints = self._checkpoint_uploader(again=True)
        return self._succession.end

    def _checkpoint_uploader(self, *, again: bool) -> CheckpointUploader:
        return CheckpointUploader(
            self._store,
            self._attempt.job_keys,
            self._attempt.number,
            checkpoint_folder(self._attempt),
            self._spec.pacing.checkpoint_scan_s,
            self._log.say,
            self._folders.saved_checkpoints,
            again=again,
        )

    def _output_uploader(self) -> OutputUploader:
        uri, store, prefix = self._spec.output_uri, self._store, self._attempt.job_keys.outputs_prefix
        if uri is not None:
            if not isinstance(store, S3Store):
                raise TypeError("the engine sends no --output-s3 to a machine without S3")
            store, prefix = store.elsewhere(uri), ""
        return OutputUploader(store, prefix, self._folders.outputs, self._spec.pacing.output_s, self._log.say)

    def _train(self, prepared: Prepared) -> End:
        if self._stop.reason is not None:
            return stopped_end(self._stop)
        self._checkpoints = checkpoints = self._checkpoint_uploader(again=False)
        started: list[StartedScript] = []

        def note(pid: int) -> None:
            started.append(
                StartedScript(
                    to_iso(now()), time.monotonic(), pid, start_time(pid), kills_for_memory(), self._log.received
                )
            )
            self._journal.note_script(started[0])

        try:
            child = ChildProcess(
                prepared.argv,
                folder=self._folders.work,
                environ=prepared.environ,
                output=OutputPipe(self._log.take, self._folders.pipe),
                stop=self._stop,
                journal=self._journal,
                note=note,
            )
        except OSError as error:
            return End(JobState.FAILED, cause=Cause("code", f"the script could not be started: {error}"))
        packages = threading.Thread(target=self._note_packages, args=(prepared,), name="packages", daemon=True)
        packages.start()
        return self._see_through(child, started[0], checkpoints, packages)

    def _note_packages(self, prepared: Prepared) -> None:
        """Write down what the script runs with, while it runs: asking takes as long as a Python's start."""
        found = resolved_environment(prepared.python, self._attempt.machine.imds, prepared.environ)
        try:
            self._store.put(self._attempt.keys.environment, found.to_json())
        except StoreError as error:
            sys.stderr.write(f"{to_iso(now())} environment: {error}\n")

    def _see_through(
        self,
        child: Program,
        script: StartedScript,
        checkpoints: CheckpointUploader,
        beside: Optional[threading.Thread] = None,
    ) -> End:
        """Watch over the script until it and all it has started are gone; return how it ended."""
        try:
            self._limits.script_started(script.began)
            self._limit_watch.kick()
            self._enter("training", state=JobState.RUNNING, started_at=script.started_at)
            checkpoints.start()
            if self._outputs is not None:
                self._outputs.start()
            self._measuring = self._measure_script(script)
            idle_watch = self._idle_watch()
            idle_watch.start()
            by_itself = child.wait()
            idle_watch.stop()
            if beside is not None and by_itself:
                beside.join(_BESIDE_S)  # it has a process of its own, which would be ended with the script's
            child.end(before_kill=checkpoints.note_open_files)
        except BaseException:
            # Nothing of a job may outlive its runner, whatever happened to it.
            self._stop.request(
                StopReason(JobState.FAILED, Cause("runner", "the runner failed"), _OWN_FAILURE_GRACE_S, 0.0)
            )
            child.end()
            raise
        code = child.return_code
        if not by_itself:
            return stopped_end(self._stop, None if code is None else training.exit_code(code))
        if code is None:
            return End(JobState.INTERRUPTED, cause=Cause("runner", "the runner was killed while the script ended"))
        out_of_memory = kills_for_memory() > script.memory_kills
        cause = cause_of_exit(code, self._log.tail(_TAIL_BYTES), out_of_memory=out_of_memory)
        return End(JobState.FAILED if cause else JobState.SUCCEEDED, training.exit_code(code), cause)

    def _measure_script(self, script: StartedScript) -> Measuring:
        from runctl_jupyter.runner.measuring import Measuring  # 30 ms that no script shall wait for

        again, before = self._succession.before is not Before.NOTHING, self._succession.known
        measuring = Measuring(self._attempt, script, checkpoint_folder(self._attempt), again=again, before=before)
        measuring.start()
        return measuring

    def _idle_watch(self) -> Periodic:
        if self._spec.limits.idle_stop_s is not None and not IdleWatch.can_watch():
            self._log.say("this system does not tell what its processes do: --idle-stop has no effect here")
        watch = IdleWatch(
            self._spec.limits,
            self._stop,
            self._attempt.patience.save_when_stopped_s,
            processes=lambda: [process.pid for process in descendants() if not process.zombie],
            printed=lambda: self._log.received,
        )
        return Periodic("idle", watch.next_look_s, watch.look)

    def _own_failure(self, error: Exception) -> End:
        traceback.print_exc(file=sys.stderr)
        return End(JobState.FAILED, cause=Cause("runner", f"the runner failed: {type(error).__name__}: {error}"))

    def _save(self, end: End) -> End:
        self._enter("saving")
        measuring = self._measuring
        if measuring is not None:
            measuring.close()
        end = save(self._attempt, self._log, self._uploads(), end)
        if measuring is not None:
            measuring.join(_MEASURES_S)
        return end

    def _uploads(self) -> list[Upload]:
        checkpoints, outputs = self._checkpoints, self._outputs
        uploads: list[Upload] = []
        if checkpoints is not None:
            uploads.append(lambda until: checkpoints.finish(until, urgent=self._stop.reason is not None))
        if self._folders.variables.is_dir():
            uploads.append(
                lambda until: store_results(
                    self._store, self._attempt.keys, self._folders.variables, self._spec.outputs, until
                )
            )
        if outputs is not None and not self._stop.disowned:
            # Else a next attempt may have outputs there already; log and checkpoints are this attempt's own.
            uploads.append(outputs.finish)
        return uploads

    def _report(self, end: End) -> Outcome:
        for watch in self._watches:
            watch.stop()
        if self._stop.disowned:
            return Outcome.ENDED_ELSEWHERE
        patience = self._attempt.patience
        capped = end.state is JobState.CAPPED
        try:
            stored = self._board.end(
                time.monotonic() + (patience.end_when_capped_s if capped else patience.end_s),
                state=end.state,
                phase="",
                exit_code=end.exit_code,
                cause=end.cause,
            )
        except EndedElsewhere:
            return Outcome.ENDED_ELSEWHERE
        return Outcome.REPORTED if stored else Outcome.UNREPORTED
