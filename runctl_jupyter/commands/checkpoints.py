"""Checkpoints: `checkpoints list`, and the group of all their verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from runctl_jupyter.commands.checkpoint_contents import SOURCE, diff, download, info
from runctl_jupyter.commands.parameters import json_option
from runctl_jupyter.commands.request import Request, pass_request

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Checkpoint, Listing, PruneReport


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


@checkpoints.command(epilog="Example: runctl checkpoints prune digits --keep-last 3 --keep-best 1 --metric val_loss")
@click.argument("source", metavar="JOB|URI|FOLDER", type=SOURCE)
@click.option("--keep-last", type=int, metavar="N", help="The newest N of each job or folder stay.")
@click.option("--keep-best", type=int, metavar="N", help="The best N stay.")
@click.option("--keep-every", type=int, metavar="K", help="Each K-th stays.")
@metric_option
@mode_option
@click.option("--yes", is_flag=True, help="Remove them; without it they are only shown.")
@json_option
@pass_request
def prune(
    request: Request,
    *,
    source: str,
    keep_last: int | None,
    keep_best: int | None,
    keep_every: int | None,
    metric: str | None,
    mode: Literal["min", "max"] | None,
    yes: bool,
) -> PruneReport:
    """Show which checkpoints could go, and what that saves; with --yes, remove them.

    The newest always stays, and so does all that a job needs which has not ended.
    """
    return request.runctl().checkpoints.prune(
        source,
        keep_last=keep_last,
        keep_best=keep_best,
        metric=metric,
        mode=mode,
        keep_every=keep_every,
        dry_run=not yes,
    )


for command in (info, diff, download):
    checkpoints.add_command(command)
