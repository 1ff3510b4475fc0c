"""What is known of a job, as it was last seen: asks nobody."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.costs.cost import Cost, total
from runctl_jupyter.orchestration.costs.prices import cost_between
from runctl_jupyter.orchestration.costs.spans import job_spans
from runctl_jupyter.run_record import Cause, JobSpec, JobState, Status, from_iso, now

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.record import Seen


class SeenJob:
    """The facts of a job.

    Parameters
    ----------
    seen
        What the record had when it was last read.
    """

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    @property
    def id(self) -> str:
        """Identifier; its last four characters are enough to name the job."""
        return self._seen.spec.id

    @property
    def name(self) -> str:
        """Name given with ``--name``, or made from the script's."""
        return self._seen.spec.name

    @property
    def spec(self) -> JobSpec:
        """What it runs."""
        return self._seen.spec

    @property
    def status(self) -> Status:
        """What was last read of its state."""
        return self._seen.status

    @property
    def state(self) -> JobState:
        """State as last read; `refresh` reads anew."""
        return self._seen.status.state

    @property
    def phase(self) -> str:
        """What is going on, in a word or two."""
        return self._seen.status.phase

    @property
    def attempt(self) -> int:
        """Number of the newest attempt, from 1."""
        return self._seen.attempt

    @property
    def earlier(self) -> tuple[Status, ...]:
        """How the attempts before the newest ended."""
        return self._seen.earlier

    @property
    def exit_code(self) -> int | None:
        """Exit code of the script; None while it runs or when it never ran."""
        return self._seen.status.exit_code

    @property
    def cause(self) -> Cause | None:
        """Why it ended other than well."""
        return self._seen.status.cause

    @property
    def instance_id(self) -> str | None:
        """Instance it runs on."""
        return self._seen.status.instance_id or self._seen.spec.instance_id

    @property
    def instance_type(self) -> str | None:
        """Type of that instance."""
        return self._seen.spec.instance_type

    @property
    def price_per_hour(self) -> float | None:
        """List price of the instance in USD, None when unknown."""
        return self._seen.spec.price_per_hour

    @property
    def created_at(self) -> datetime:
        """When it was submitted."""
        return from_iso(self._seen.spec.created_at)

    @property
    def queued_at(self) -> datetime:
        """When its newest attempt was asked for."""
        return from_iso(self._seen.queued_at or self._seen.spec.created_at)

    @property
    def started_at(self) -> datetime | None:
        """When its script was started."""
        return _moment(self._seen.status.started_at)

    @property
    def ended_at(self) -> datetime | None:
        """When it ended."""
        return _moment(self._seen.status.ended_at)

    @property
    def cost_usd(self) -> float | None:
        """Estimate of the instance at `price_per_hour`: all attempts, each from claim to end (or now).

        None when the price is unknown; `cost_parts` has the rest.
        """
        status = self._seen.status
        if status.state.ended or status.claimed_at is None:
            newest = status.cost_usd
        else:
            newest = cost_between(self._seen.spec.price_per_hour, from_iso(status.claimed_at), now())
        known = [cost for cost in (*(each.cost_usd for each in self.earlier), newest) if cost is not None]
        return round(sum(known), 6) if known else None

    @property
    def cost_parts(self) -> Cost:
        """What it has cost by part: its machine, from the boot on if that is its own, with disks and address."""
        return total(span.cost for span in job_spans(self, now()))

    @property
    def cost(self) -> float | None:
        """`cost_usd` by the name that people look for."""
        return self.cost_usd

    @property
    def log_bytes(self) -> int:
        """Bytes of its log that lie in the record, all attempts together, as of the last heartbeat."""
        return sum(each.log_bytes for each in (*self.earlier, self.status))

    @property
    def checkpoint_count(self) -> int:
        """Complete checkpoints of all attempts, as of the last heartbeat."""
        return sum(each.checkpoint_count for each in (*self.earlier, self.status))


def _moment(text: str | None) -> datetime | None:
    return None if text is None else from_iso(text)
