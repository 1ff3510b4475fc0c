"""What became of a job whose runner is silent: never a guess, always the deadline and the machine's own word."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import RunctlError
from runctl_jupyter.run_record import AttemptKeys, Cause, JobState, NotFound, PreconditionFailed, from_iso, now, to_iso

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.record import JobRecord, Seen
    from runctl_jupyter.orchestration.targets.base import Target

_log = logging.getLogger(__name__)

_UNCLAIMED_S = 20 * 60.0
"""A machine that has not begun its job after so long will not: boots take minutes."""


def judge(record: JobRecord, target: Target, seen: Seen) -> bool:
    """Settle a job that has stopped without saying so; return whether anything was written.

    A heartbeat that is late makes us ask what the machine says. Machine gone: ``interrupted``, at once. Machine there
    but silent beyond the deadline: a runner is started there once more, which saves logs and checkpoints that the
    silent one has left, and says how it was; or it turns out that one is there and cannot reach the store. Else:
    ``lost``.
    """
    status = seen.status
    if status.state.ended:
        return False
    silent_s, pacing = seen.silent_s, seen.spec.pacing
    if silent_s < 3 * pacing.heartbeat_s:
        return False
    cause = target.verdict(seen.spec.id, status)
    unclaimed = status.claimed_at is None
    if cause is not None:
        state = JobState.LOST if unclaimed else JobState.INTERRUPTED
        return record.end(seen, state, cause)
    if unclaimed:
        message = f"no runner has claimed the job within {_UNCLAIMED_S / 60:.0f} minutes"
        return silent_s > _UNCLAIMED_S and record.end(seen, JobState.LOST, Cause("launch", message))
    if not (silent_s > pacing.deadline_s or target.runner_is_gone(seen.spec.id, status)):
        return False
    if _may_come_back(record, target, seen):
        return False
    message = f"no heartbeat for {silent_s:.0f} s, though its machine has not ended"
    return record.end(seen, JobState.LOST, Cause("machine", message))


def _may_come_back(record: JobRecord, target: Target, seen: Seen) -> bool:
    """Start a runner once more, or ask again whether one is there; False when that has been tried to the end."""
    key = AttemptKeys(seen.spec.id, seen.attempt).revival
    asked, stamp = None, to_iso(now()).encode()
    with suppress(NotFound):
        asked = record.store.get(key)
        if (now() - (asked.modified or from_iso(asked.data.decode()))).total_seconds() < seen.spec.pacing.deadline_s:
            return True
    try:
        etag = None if asked is None else asked.etag
        record.store.put(key, stamp, create_only=asked is None, if_etag=etag)
        lives = target.revive(seen.spec, seen.status)
    except PreconditionFailed:
        return True  # another client does it
    except RunctlError as error:
        _log.info("no runner could be started for job %s: %s", seen.spec.id, error.what)
        lives = False
    # The first time, what was started has a deadline's time to be heard.
    return lives or asked is None
