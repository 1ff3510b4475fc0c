"""What became of a job whose runner is silent: never a guess, always the deadline and the machine's own word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runctl_jupyter.run_record import Cause, JobState, from_iso, now

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.record import JobRecord, Seen
    from runctl_jupyter.orchestration.targets.base import Target

_UNCLAIMED_S = 20 * 60.0
"""A machine that has not begun its job after so long will not: boots take minutes."""


def judge(record: JobRecord, target: Target, seen: Seen) -> bool:
    """Write the end of a job that has stopped without saying so; return whether anything was written.

    A heartbeat that is late makes us ask what the machine says. Machine gone: ``interrupted``, at once. Machine there
    but silent beyond the deadline: ``lost``.
    """
    status = seen.status
    if status.state.ended:
        return False
    silent_s = (now() - from_iso(status.updated_at)).total_seconds()
    pacing = seen.spec.pacing
    if silent_s < 3 * pacing.heartbeat_s:
        return False
    cause = target.verdict(seen.spec.id, status)
    unclaimed = status.claimed_at is None
    if cause is not None:
        state = JobState.LOST if unclaimed else JobState.INTERRUPTED
        return record.end(seen, state, cause)
    if unclaimed and silent_s > _UNCLAIMED_S:
        message = f"no runner has claimed the job within {_UNCLAIMED_S / 60:.0f} minutes"
        return record.end(seen, JobState.LOST, Cause("launch", message))
    if not unclaimed and silent_s > pacing.deadline_s:
        message = f"no heartbeat for {silent_s:.0f} s, though its machine has not ended"
        return record.end(seen, JobState.LOST, Cause("machine", message))
    return False
