"""The tables that are followed: jobs, instances, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.costs.summary import costs_of
from runctl_jupyter.orchestration.instances.document import instance_documents
from runctl_jupyter.panels.followed import Event, Polled, Topic
from runctl_jupyter.panels.troubles import Upset
from runctl_jupyter.run_record import now

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Instance, Job
    from runctl_jupyter.panels.handles import Handles

NEWEST = 200
"""Jobs that are told at once and looked at each time; older ones follow, and are looked at now and then."""
_AT_ONCE = 500
_ALL_EVERY_S = 60.0
_CHANGING = ("pending", "stopping", "shutting-down")

Row = dict[str, Any]


class Rows:
    """The rows of a table as they were told last."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] | None = None

    def changes(self, rows: Iterable[Row], *, all_of_them: bool) -> list[Event]:
        """Take rows as they are now; return the events that tell what has changed.

        Parameters
        ----------
        all_of_them
            Whether rows that are not among them are no more.
        """
        new = {row["id"]: row for row in rows}
        if self._rows is None:
            self._rows = new
            return self.all()
        changed = [row for row_id, row in new.items() if self._rows.get(row_id) != row]
        removed = [row_id for row_id in self._rows if row_id not in new] if all_of_them else []
        for row_id in removed:
            del self._rows[row_id]
        self._rows.update(new)
        return list(_events(changed, removed, reset=False)) if changed or removed else []

    def all(self) -> list[Event]:
        """Return the events that tell everything to somebody who knows nothing."""
        if self._rows is None:
            return []
        return list(_events(sorted(self._rows.values(), key=_age, reverse=True), [], reset=True))


def _age(row: Row) -> str:
    """Return what a row's age is sorted by; an id of a job begins with its time."""
    return str(row.get("created_at") or row.get("launched_at"))


def _events(rows: list[Row], removed: list[str], *, reset: bool) -> Iterable[Event]:
    yield {"reset": reset, "rows": rows[:NEWEST], "removed": removed}
    for begin in range(NEWEST, len(rows), _AT_ONCE):
        yield {"reset": False, "rows": rows[begin : begin + _AT_ONCE], "removed": []}


class JobsTopic(Polled):
    """All jobs of a place."""

    def __init__(self, handles: Handles, place: str | None) -> None:
        super().__init__()
        self._handles, self._place = handles, place
        self._rows = Rows()
        self._all_at: float | None = None
        self.jobs: Mapping[str, Job] | None = None
        """The jobs as last seen, by id; None before the first look."""

    def look(self) -> Callable[[], list[Event]]:
        """List the newest jobs, now and then all."""
        every = self._all_at is not None and time.monotonic() >= self._all_at
        with self._handles.engines.using(self._place) as rc:
            found = rc.jobs.list(limit=None if every else NEWEST)
        complete = every or len(found) < NEWEST
        if complete:
            self._all_at = time.monotonic() + _ALL_EVERY_S
        elif self._all_at is None:
            # The newest are told first; the next look, at once, gets the rest.
            self._all_at = 0.0
        known = {} if complete or self.jobs is None else self.jobs
        self.jobs = {**known, **{job.id: job for job in found}}
        return partial(self._rows.changes, [job.to_dict() for job in found], all_of_them=complete)

    def first(self) -> list[Event]:
        """Return all rows, the newest first."""
        return self._rows.all()

    def pause_s(self) -> float:
        """Look often while something runs."""
        if self._all_at == 0.0:
            return 0.0
        if self.eager:
            return 1.0
        return 2.0 if any(not job.state.ended for job in (self.jobs or {}).values()) else 5.0


class InstancesTopic(Polled):
    """All instances of a place, with the jobs that run on them; also those that have just ended, to be seen as such."""

    needs = ("jobs",)

    def __init__(self, handles: Handles, place: str | None) -> None:
        super().__init__()
        self._handles, self._place = handles, place
        self._rows = Rows()
        self._due = 0.0
        self.instances: list[Instance] | None = None
        """The instances as last seen; None before the first look."""

    def hurry(self) -> None:
        """Ask EC2 at once."""
        super().hurry()
        self._due = 0.0

    def look(self) -> Callable[[], list[Event]]:
        """Ask EC2 when it is time; what runs on the instances is known from the jobs."""
        if time.monotonic() >= self._due:
            with self._handles.engines.using(self._place) as rc:
                self.instances = list(rc.instances.list(all=True))
            changing = self.eager or any(each.state in _CHANGING for each in self.instances)
            self._due = time.monotonic() + (3.0 if changing else 10.0)
        documents = instance_documents(self.instances or [], list((_jobs(self) or {}).values()))
        for document in documents:
            document["state_reason"] = self._handles.late.get(document["id"], document["state_reason"])
        return partial(self._rows.changes, documents, all_of_them=True)

    def first(self) -> list[Event]:
        """Return all rows."""
        return self._rows.all()

    def pause_s(self) -> float:
        """Wait for the time to ask EC2 again."""
        return max(0.0, self._due - time.monotonic())


class CostsTopic(Polled):
    """What jobs and instances cost: from what the two other tables know, without a request."""

    needs = ("jobs", "instances")

    def __init__(self) -> None:
        super().__init__()
        self._told: Event | None = None

    def look(self) -> Callable[[], list[Event]]:
        """Add up.

        Raises
        ------
        Upset
            One of the tables cannot be read.
        """
        trouble = self.upstream["jobs"].trouble or self.upstream["instances"].trouble
        instances = _instances(self)
        if trouble is not None:
            # This computer has no instances, and says so; its jobs cost nothing.
            if trouble["error"] != "target-unavailable" or self.upstream["jobs"].trouble is not None:
                raise Upset(trouble)
            instances = []
        jobs = _jobs(self)
        if instances is None or jobs is None:
            return list
        return partial(self._change, costs_of(list(jobs.values()), instances, now()).to_dict())

    def first(self) -> list[Event]:
        """Return the sums."""
        return [] if self._told is None else [self._told]

    def pause_s(self) -> float:
        """Wait for news, or for the day to pass."""
        return 60.0

    def _change(self, costs: Event) -> list[Event]:
        if costs == self._told:
            return []
        self._told = costs
        return [costs]


def _jobs(topic: Topic) -> Mapping[str, Job] | None:
    source = topic.upstream["jobs"].topic
    return source.jobs if isinstance(source, JobsTopic) else None


def _instances(topic: Topic) -> list[Instance] | None:
    source = topic.upstream["instances"].topic
    return source.instances if isinstance(source, InstancesTopic) else None
