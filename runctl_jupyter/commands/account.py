"""The account: `setup` makes what it lacks, `doctor` looks what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runctl_jupyter.commands.parameters import DURATION, INSTANCE_TYPE, json_option, place_options
from runctl_jupyter.commands.request import Choice, Request, pass_request

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.account.by_hand import SetupByHand
    from runctl_jupyter.orchestration.account.checkup import DoctorReport
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
    before = request.choice
    request.choice = Choice(before.target, profile or before.profile, region or before.region, bucket or before.bucket)
    rc = request.runctl()
    return rc.setup_by_hand() if only_print else rc.setup()


@click.command(epilog="Example: runctl doctor --instance-type g5.xlarge")
@click.option("--instance-type", metavar="TYPE", type=INSTANCE_TYPE, help="Its quota, image and price are looked at.")
@click.option("--timeout", type=DURATION, metavar="D", help="Time for all of it; 1.5s by default.")
@json_option
@pass_request
def doctor(request: Request, *, instance_type: str | None, timeout: float | None) -> DoctorReport:
    """Check credentials, region, bucket, roles, quotas, image, network and prices; each with its fix."""
    return request.runctl().doctor(instance_type=instance_type, timeout=timeout)
