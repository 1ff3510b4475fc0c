"""Checkpoints: `checkpoints list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from runctl_jupyter.commands.parameters import JOB, S3_URI, json_option
from runctl_jupyter.commands.request import Request, pass_request

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from runctl_jupyter.orchestration import Checkpoint, Listing


class CheckpointSource(click.ParamType[str]):
    """A job, or an ``s3://`` prefix."""

    name = "job or uri"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """Return both."""
        return [*JOB.shell_complete(ctx, param, incomplete), *S3_URI.shell_complete(ctx, param, incomplete)]


@click.group()
def checkpoints() -> None:
    """Look at what a job has saved."""


@checkpoints.command("list")
@click.argument("source", metavar="JOB|URI", type=CheckpointSource())
@json_option
@pass_request
def list_checkpoints(request: Request, source: str) -> Listing[Checkpoint]:
    """List the complete checkpoints of a job or under an s3:// prefix."""
    rc = request.runctl()
    launching = request.launching_job(source, rc.settings.target)
    return launching.checkpoints() if launching is not None else rc.checkpoints.list(source)
