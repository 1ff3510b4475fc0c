"""Checkpoints: `checkpoints list`, and the group of all their verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runctl_jupyter.commands.checkpoint_contents import SOURCE, diff, download, info
from runctl_jupyter.commands.parameters import json_option
from runctl_jupyter.commands.request import Request, pass_request

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Checkpoint, Listing


@click.group()
def checkpoints() -> None:
    """Look at what a job has saved."""


@checkpoints.command("list")
@click.argument("source", metavar="JOB|URI", type=SOURCE)
@json_option
@pass_request
def list_checkpoints(request: Request, source: str) -> Listing[Checkpoint]:
    """List the complete checkpoints of a job or under an s3:// prefix."""
    rc = request.runctl()
    launching = request.launching_job(source, rc.settings.target)
    return launching.checkpoints() if launching is not None else rc.checkpoints.list(source)


for command in (info, diff, download):
    checkpoints.add_command(command)
