"""The parts of an attempt's life, as the status lists them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Optional

from runctl_jupyter.run_record import AttemptPlan, PhaseMark, StoreError, from_iso, now, to_iso
from runctl_jupyter.runner.attempt import Attempt
from runctl_jupyter.runner.imds import ImdsError

_DATA = "data"
_PARTS = {"resume": (_DATA, "the checkpoint to go on from"), "inputs": (_DATA, "variables")}
"""What the status names more exactly than people need a part of their own for."""


def opening_phases(attempt: Attempt, claimed_at: str) -> list[PhaseMark]:
    """Return what has been until the project is brought: a machine for this job alone had to be found, and to boot."""
    marks: list[PhaseMark] = []
    spec = attempt.spec
    if spec.end_machine and spec.instance_id is None:
        claimed = from_iso(claimed_at)
        asked = _asked_at(attempt)
        if asked is not None:
            marks.append(PhaseMark("capacity", to_iso(min(asked, claimed))))
        launched = _launched_at(attempt)
        if launched is not None:
            # EC2 tells whole seconds.
            marks.append(PhaseMark("boot", to_iso(min(max(launched, asked or launched), claimed))))
    return [*marks, PhaseMark("code", claimed_at)]


def seconds_of_boot(phases: Sequence[PhaseMark]) -> float:
    """Return how long the machine has booted for this job; 0 where it was there, or nobody tells."""
    for mark, following in zip(phases, phases[1:]):
        if mark.name == "boot":
            return (from_iso(following.began_at) - from_iso(mark.began_at)).total_seconds()
    return 0.0


def with_phase(phases: Sequence[PhaseMark], phase: str) -> list[PhaseMark]:
    """Return the phases when `phase` begins now; one that goes on is not listed again."""
    name, detail = _PARTS.get(phase, (phase, ""))
    if phases and phases[-1].name == name:
        return [*phases]
    return [*phases, PhaseMark(name, to_iso(now()), detail)]


def _asked_at(attempt: Attempt) -> Optional[datetime]:
    """When the attempt was asked for; None when that cannot be read."""
    try:
        if attempt.number == 1:
            return from_iso(attempt.spec.created_at)
        return from_iso(AttemptPlan.from_json(attempt.store.get(attempt.keys.plan).data).created_at)
    except (StoreError, ValueError) as error:
        sys.stderr.write(f"{to_iso(now())} phases: {error}\n")
        return None


def _launched_at(attempt: Attempt) -> Optional[datetime]:
    """When EC2 began to start this machine; None when it does not say."""
    if attempt.machine.imds is None:
        return None
    try:
        text = attempt.machine.imds.get("dynamic/instance-identity/document")
        return from_iso(json.loads(text)["pendingTime"]) if text else None
    except (ImdsError, ValueError, KeyError, TypeError, AttributeError) as error:
        sys.stderr.write(f"{to_iso(now())} phases: {error}\n")
        return None
