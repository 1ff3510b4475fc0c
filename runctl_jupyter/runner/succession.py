"""Who looked after the attempt before this runner, and what that leaves to do."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Optional

from runctl_jupyter.run_record import Cause, JobState, PhaseMark, Status
from runctl_jupyter.runner.attempt import Attempt, End
from runctl_jupyter.runner.journal import Journal, StartedScript, boot_id
from runctl_jupyter.runner.keeper import MOST_RESTARTS
from runctl_jupyter.runner.processes import descendants, reap, send_and_wait, with_variables

_LEFTOVER_GRACE_S = 10.0
_COUNTS = ("log_chunks", "log_bytes", "checkpoint_count", "output_count", "output_bytes")


class Before(Enum):
    """What has happened to the attempt before."""

    NOTHING = "nothing"
    PREPARED = "prepared"
    """A runner was killed before the script began: begin anew."""
    STARTED = "started"
    """A runner was killed, the script is the keeper's child now: adopt it."""
    GIVEN_UP = "given up"
    """The keeper is gone too, or too many runners were killed: save what there is."""


@dataclass(frozen=True)
class Succession:
    """What this runner takes over."""

    attempt: Attempt
    before: Before
    runner_id: str
    claimed_at: float
    """`time.monotonic` of the attempt's beginning."""
    known_chunks: Optional[int]
    """Log chunks known to be stored; None when the log begins."""
    known: Optional[Status]
    """The last status of the runner before, as far as the disk has it."""
    script: Optional[StartedScript]
    end: End
    """The end to report when the script is given up."""

    @classmethod
    def find(cls, attempt: Attempt, journal: Journal, restarts: int) -> Succession:
        """Read the journal."""
        identity, again = journal.identity()
        same_boot = identity.boot_id == boot_id()
        script = journal.script()
        known = _last_status(attempt)
        before = Before.NOTHING
        if again:
            adoptable = same_boot and 0 < restarts <= MOST_RESTARTS
            before = Before.PREPARED if script is None else Before.STARTED if adoptable else Before.GIVEN_UP
        return cls(
            attempt,
            before,
            identity.runner_id,
            identity.began if same_boot else time.monotonic(),
            (known.log_chunks if known else 0) if again else None,
            known,
            script,
            _end_known(known) or _given_up(restarts, same_boot=same_boot),
        )

    def first_status(self, first: Status) -> Status:
        """Return the status to begin with, given that of an attempt which begins: readers shall see no step back."""
        script, before = self.script, self.before
        if script is None or before is Before.PREPARED:
            return first
        phase = "training" if before is Before.STARTED else "saving"
        going_on = replace(first, state=JobState.RUNNING, phase=phase, started_at=script.started_at)
        known = self.known
        if known is None:
            return replace(going_on, phases=[*first.phases, PhaseMark("training", script.started_at)])
        return replace(
            going_on, phases=known.phases, progress=known.progress, metrics=known.metrics, machine=known.machine
        )

    def at_least(self, measured: dict[str, Any]) -> dict[str, Any]:
        """Return what this runner has counted, or the runner before had: it takes a moment to find that again."""
        if self.known is None:
            return measured
        counts = {name: max(measured[name], getattr(self.known, name)) for name in _COUNTS}
        return {**measured, **counts}

    def end_leftovers(self) -> None:
        """End what the attempt's former runners have left on this machine."""
        # The folder too: in a record of somebody else on this machine there may be a job of this id.
        wanted = {"RUNCTL_JOB_ID": self.attempt.spec.id, "RUNCTL_OUTPUT_DIR": str(self.attempt.folders.outputs)}

        def left() -> list[int]:
            below = descendants()
            reap(process.pid for process in below if process.zombie)
            return [*(process.pid for process in below if not process.zombie), *with_variables(wanted)]

        send_and_wait(left, _LEFTOVER_GRACE_S)


def _last_status(attempt: Attempt) -> Optional[Status]:
    try:
        return Status.from_json(attempt.folders.state.read_bytes())
    except (OSError, ValueError):
        return None  # none yet, or it was just being written: then the log's chunks are counted from the first


def _end_known(status: Optional[Status]) -> Optional[End]:
    """Return the end that a runner has found but could not store."""
    if status is None or not status.state.ended:
        return None
    return End(status.state, status.exit_code, status.cause)


def _given_up(restarts: int, *, same_boot: bool) -> End:
    if restarts > MOST_RESTARTS:
        message = f"something on the machine has killed the runner {restarts} times"
        return End(JobState.FAILED, cause=Cause("runner", message))
    what = "the runner was killed with its keeper" if same_boot else "the machine stopped without notice"
    return End(JobState.INTERRUPTED, cause=Cause("machine", what))
