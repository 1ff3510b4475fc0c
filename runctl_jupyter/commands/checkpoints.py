"""Checkpoints: `checkpoints list`, and the group of all their verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from runctl_jupyter.commands.checkpoint_contents import SOURCE, diff, download, info
from runctl_jupyter.commands.parameters import json_option
from runctl_jupyter.commands.request import Request, pass_request

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Checkpoint, Listing


metric_option = click.option("--metric", metavar="M", help="What the best goes by; the usual one by default.")
mode_option = click.option(
    "--mode", type=click.Choice(["min", "max"]), help="Whether its least or its greatest value is the best."
)


@click.group()
def checkpoints() -> None:
    """Look at what has been saved."""


@checkpoints.command("list")
@click.argument("source", metavar="[JOB|URI|FOLDER]", type=SOURCE, required=False)
@metric_option
@mode_option
@click.option("--limit", type=click.IntRange(1), metavar="N", help="The newest N.")
@click.option("--all", "everything", is_flag=True, help="Those too that are not complete.")
@json_option
@pass_request
def list_checkpoints(
    request: Request,
    *,
    source: str | None,
    metric: str | None,
    mode: Literal["min", "max"] | None,
    limit: int | None,
    everything: bool,
) -> Listing[Checkpoint]:
    """List the checkpoints of a job, under an s3:// prefix or in a folder; without any, of all jobs."""
    rc = request.runctl()
    launching = None if source is None else request.launching_job(source, rc.settings.target)
    if launching is not None:
        return launching.checkpoints()  # the record may not know the job yet
    return rc.checkpoints.list(
        source,
        complete=None if everything else True,
        limit=limit,
        metric=metric,
        mode=mode,
    )


for command in (info, diff, download):
    checkpoints.add_command(command)
