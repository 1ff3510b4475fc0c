"""Which things are left over: nobody uses them, nothing will, and they are not just being made."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runctl_jupyter.orchestration.instances.describe import TAG_JOB, TAG_OWNER, is_protected
from runctl_jupyter.orchestration.resources.model import Resource
from runctl_jupyter.orchestration.units import duration_text

LAUNCH = timedelta(hours=1)
"""No launch takes so long: what is older and unused is no part of one."""
POWERING_OFF = timedelta(minutes=10)
"""A machine's limit counts from its boot, and shutting down takes its time."""

TOLD_BY = {"schedule": "instance", "snapshot": "image"}
"""Kinds that tell whether something of a kind is needed."""


@dataclass(frozen=True)
class Found:
    """Something of ours as its service describes it."""

    kind: str
    id: str
    region: str
    state: str
    created_at: datetime | None
    tags: Mapping[str, str]
    detail: str = ""
    usd_per_month: float | None = None
    expires_at: datetime | None = None
    in_use: str = ""
    """What uses it, as far as it tells itself."""
    left_over: str = ""
    """Why nothing needs it any more, if it is older than `grace`."""
    grace: timedelta = LAUNCH
    uses: tuple[str, ...] = ()
    """Ids of what cannot go as long as it is there."""
    machine: str | None = None
    """Instance it is about: without that it is left over."""
    of_job: bool = False
    """Whether it is left over when the job of its tag has ended."""
    owner: str | None = None
    """None: as its tag says."""
    shared: bool = False
    """Whether it is nobody's in particular."""
    name: str | None = None
    keys: tuple[str, ...] = ()
    """What else removing it has to name: objects it consists of, the Spot request of a machine."""


@dataclass(frozen=True)
class Surroundings:
    """What the judgement of one thing needs to know of others."""

    moment: datetime
    ended_jobs: Set[str] = frozenset()
    machines: Set[str] = frozenset()
    """Instances of ours that have not ended."""
    used: Mapping[str, str] = field(default_factory=dict)
    """Users by the ids of what they use."""
    untold: Set[tuple[str, str]] = frozenset()
    """Regions and kinds that could not be asked."""


def judged(found: Found, around: Surroundings) -> Resource:
    """Return a thing with the verdict on it."""
    in_use = found.in_use or around.used.get(found.id, "") or _used_by_others(found, around)
    over = _over(found, around.moment)
    why = "" if in_use or is_young(found, around.moment) else _left_over(found, around)
    return Resource(
        kind=found.kind,
        id=found.id,
        name=found.tags.get("Name", "") if found.name is None else found.name,
        region=found.region,
        state=found.state,
        detail=found.detail,
        owner=found.tags.get(TAG_OWNER, "") if found.owner is None else found.owner,
        created_at=found.created_at,
        expires_at=found.expires_at,
        protected=is_protected(found.tags),
        usd_per_month=found.usd_per_month,
        in_use=in_use,
        orphan=bool(why),
        expired=bool(over),
        reason=over or why,
        tags=found.tags,
    )


def _used_by_others(found: Found, around: Surroundings) -> str:
    """Return what is known, or has to be feared, of others that need a thing."""
    if found.machine is not None and found.machine in around.machines:
        return f"is about {found.machine}"
    teller = TOLD_BY.get(found.kind)
    untold = teller is not None and (found.region, teller) in around.untold
    return f"not known: no {teller} could be asked for" if untold else ""


def is_overdue(expires_at: datetime | None, moment: datetime) -> bool:
    """Return whether a running machine should have powered itself off by now."""
    return expires_at is not None and moment > expires_at + POWERING_OFF


def _over(found: Found, moment: datetime) -> str:
    if found.expires_at is None or not is_overdue(found.expires_at, moment):
        return ""
    ago = duration_text((moment - found.expires_at).total_seconds())
    return f"its time limit was {ago} ago, and it has not powered itself off"


def is_young(found: Found, moment: datetime) -> bool:
    """Return whether a thing may be part of something that is just being made."""
    return found.created_at is None or moment - found.created_at < found.grace


def _left_over(found: Found, around: Surroundings) -> str:
    if found.left_over:
        return found.left_over
    if found.machine is not None:
        return f"its machine {found.machine} has ended"
    job = found.tags.get(TAG_JOB)
    return f"job {job} has ended" if found.of_job and job is not None and job in around.ended_jobs else ""
