"""How questions, deeds and topics reach the engine's things: jobs being launched here included."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Job, Runctl
    from runctl_jupyter.panels.engines import Engines


class Handles:
    """Finds jobs.

    Parameters
    ----------
    engines
        The engines of the door.
    launching
        Jobs launched here, shared with the door: the record may not know the last ones yet.
    late
        What failed after the answer to a deed had been given, by id of the instance.
    """

    def __init__(self, engines: Engines, launching: list[Job]) -> None:
        self.engines, self.launching = engines, launching
        self.late: dict[str, str] = {}

    @contextmanager
    def job(self, place: str | None, ref: str) -> Iterator[Job]:
        """Give the job with this id, end of an id, or name.

        Raises
        ------
        JobNotFound
            There is none.
        """
        with self.engines.using(place) as rc:
            yield self.find(rc, ref)

    def find(self, rc: Runctl, ref: str) -> Job:
        """Return the job with this id, end of an id, or name."""
        for job in reversed(tuple(self.launching)):
            named = ref in (job.id, job.name) or job.id.endswith(f"-{ref}")
            if named and not _launched(job) and job.spec.target == rc.settings.target:
                return job
        return rc.jobs.get(ref)

    def forget_launched(self) -> None:
        """Drop the jobs that the record knows by now."""
        for job in tuple(self.launching):
            if _launched(job):
                with suppress(ValueError):  # the door forgets them too
                    self.launching.remove(job)


def _launched(job: Job) -> bool:
    return job.launching is None or job.launching.done()
