"""What was spent: `cost`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runctl_jupyter.commands.moments import MOMENT
from runctl_jupyter.commands.parameters import json_option
from runctl_jupyter.commands.request import Request, pass_request

if TYPE_CHECKING:
    from datetime import datetime

    from runctl_jupyter.orchestration import CostReport
    from runctl_jupyter.orchestration.costs.report import By

WAYS = ("job", "cell", "notebook", "project", "instance", "day")


@click.command()
@click.option("--by", type=click.Choice(WAYS), default="job", show_default=True, help="What each row is of.")
@click.option(
    "--since", type=MOMENT, default="7d", show_default=True, metavar="D|TIME", help="From then on: 7d (ago), or a time."
)
@json_option
@pass_request
def cost(request: Request, by: By, since: datetime) -> CostReport:
    """Say what was spent: jobs, machines, disks, storage.

    An estimate at list prices, with what runs now; each machine's time is counted once.
    """
    return request.runctl().cost(by, since)
