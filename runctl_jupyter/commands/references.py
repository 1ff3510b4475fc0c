"""Verbs that take a job or an instance: `show` and `wait`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runctl_jupyter.commands.parameters import DURATION, EITHER, json_option
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


@click.command()
@click.argument("reference", metavar="ID", type=EITHER)
@json_option
@pass_request
def show(request: Request, reference: str) -> Job | Instance:
    """Show a job or an instance; ID is an id or a name."""
    return find(request, reference)


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
