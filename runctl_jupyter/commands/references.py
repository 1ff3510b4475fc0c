"""Verbs that take a job or an instance: `show` and `wait`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from runctl_jupyter.commands.parameters import DURATION, EITHER, JOB, json_option
from runctl_jupyter.commands.request import Request, pass_request
from runctl_jupyter.commands.results import Watched
from runctl_jupyter.orchestration.errors import (
    InstanceNotFound,
    InvalidRequest,
    JobNotFound,
    TargetUnavailable,
)

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Instance, Job
    from runctl_jupyter.orchestration.jobs.comparison import JobComparison
    from runctl_jupyter.orchestration.jobs.provenance import JobProvenance


def find(request: Request, reference: str) -> Job | Instance:
    """Return the job or instance of this id or name.

    Raises
    ------
    InvalidRequest
        Nothing has this name, or a job and an instance that have nothing to do with each other both have it.
    """
    rc, prompt = request.runctl(), request.door.prompt
    job = None
    if not reference.startswith("i-"):
        try:
            job = request.job(reference)
        except JobNotFound:
            pass
        else:
            if reference == job.id:
                return job
    try:
        instance = rc.instances.get(reference)
    except (InstanceNotFound, TargetUnavailable) as error:
        if job is not None:
            return job
        if reference.startswith("i-"):
            raise
        raise InvalidRequest(
            f"There is no job and no instance {reference!r}.", f"See: {prompt} jobs, {prompt} list"
        ) from error
    # A machine launched for one job bears the job's name: then the job is meant.
    if job is None or instance.id == job.instance_id:
        return job or instance
    raise InvalidRequest(
        f"{reference!r} is the name of a job and of an instance.", f"Say which: {job.id} or {instance.id}."
    )


@dataclass(frozen=True)
class Shown:
    """A job to show, with where it came from below."""

    job: Job
    provenance: JobProvenance

    def to_dict(self) -> dict[str, Any]:
        """Return the job's JSON keys, and ``provenance``."""
        return {**self.job.to_dict(), "provenance": self.provenance.to_dict()}


@click.command()
@click.argument("reference", metavar="ID", type=EITHER)
@click.option("--diff", "other", metavar="OTHER", type=JOB, help="Show what differs between this job and another one.")
@json_option
@pass_request
def show(request: Request, reference: str, other: str | None) -> Job | Instance | Shown | JobComparison:
    """Show a job or an instance; ID is an id or a name.

    A job comes with its provenance: source, git commit, environment, data, price.
    """
    if other is not None:
        from runctl_jupyter.orchestration.jobs.comparison import compare

        return compare(*(_job_to_compare(request, each) for each in (reference, other)))
    from runctl_jupyter.orchestration import Instance
    from runctl_jupyter.orchestration.jobs.provenance import of_job

    found = find(request, reference)
    if isinstance(found, Instance):
        return found
    return Shown(found, of_job(found))


def _job_to_compare(request: Request, reference: str) -> Job:
    if reference.startswith("i-"):
        prompt = request.door.prompt
        raise InvalidRequest(
            f"{reference} is an instance; --diff compares two jobs.",
            f"Say {prompt} show JOB --diff OTHER; see: {prompt} jobs",
        )
    return request.job(reference)


@click.command()
@click.argument("reference", metavar="ID", type=EITHER)
@click.option("--timeout", type=DURATION, metavar="D", help="Give up waiting after this time.")
@json_option
@pass_request
def wait(request: Request, reference: str, timeout: float | None) -> Watched | Instance:
    """Wait for a job's end, or until an instance is ready.

    Fails when the job fails.
    """
    from runctl_jupyter.orchestration import Instance

    found = find(request, reference)
    if isinstance(found, Instance):
        return request.runctl().instances.wait(found.id, timeout=timeout)
    return Watched(found, wait=True, log=False, timeout=timeout)
