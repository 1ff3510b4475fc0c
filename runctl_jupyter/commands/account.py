"""The account: `setup` makes what it lacks, `doctor` looks what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runctl_jupyter.commands.parameters import json_option, place_options
from runctl_jupyter.commands.request import Choice, Request, pass_request

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.account.by_hand import SetupByHand
    from runctl_jupyter.orchestration.account.setup import SetupReport


@click.command(epilog="Example: runctl --target aws setup --region eu-west-1")
@click.option(
    "--print", "only_print", is_flag=True, help="Show policies and commands for an administrator; do nothing."
)
@place_options
@json_option
@pass_request
def setup(
    request: Request, *, only_print: bool, profile: str | None, region: str | None, bucket: str | None
) -> SetupReport | SetupByHand:
    """Make bucket, instance role and role for spot, as far as they are missing; can be run again."""
    given = Choice(request.choice.target, profile, region, bucket)
    request.choice = Choice(
        given.target,
        given.profile or request.choice.profile,
        given.region or request.choice.region,
        given.bucket or request.choice.bucket,
    )
    rc = request.runctl()
    return rc.setup_by_hand() if only_print else rc.setup()
