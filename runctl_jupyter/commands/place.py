"""Where you are: `use`, `status`, and the bare command."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from runctl_jupyter.commands.parameters import json_option, place_options
from runctl_jupyter.commands.request import Choice, Request, pass_request
from runctl_jupyter.commands.results import Place, Text

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Runctl, StatusReport

EXAMPLES = """\
  runctl use sandbox                      AWS in a box, no account needed
  runctl create m5.large --name dev       a machine that stays
  runctl train fit.py --on dev --wait     run a script on it, see its log
  runctl logs JOB --follow                the log, from any kernel or terminal
  runctl terminate dev                    nothing that bills stays behind"""

_CELL_EXAMPLES = """\
  %runctl use sandbox                     AWS in a box, no account needed
  %runctl create m5.large --name dev      a machine that stays
  %%runctl train --on dev --name digits   over a cell: its body is the job
  %runctl logs digits --follow            the log, from any kernel
  %runctl terminate dev                   nothing that bills stays behind"""


def place_of(rc: Runctl, note: str = "") -> Place:
    """Return which target `rc` is for, from its settings alone."""
    settings = rc.settings
    return Place(settings.target, settings.aws.profile, settings.aws.region, settings.aws.bucket, note)


@click.command()
@click.argument("target", type=click.Choice(["sandbox", "aws", "local"]))
@place_options
@json_option
@pass_request
def use(request: Request, target: str, profile: str | None, region: str | None, bucket: str | None) -> Place:
    """Choose the TARGET: sandbox, aws or local.

    In a notebook it holds for this kernel. In a terminal it is written into ./.runctl.toml.
    """
    place = request.door.use(Choice(target, profile, region, bucket))
    lacks = request.door.runctl(Choice()).first_look()
    if not lacks:
        return place
    return replace(place, note="\n".join(filter(None, (place.note, lacks, "More: runctl doctor"))))


@click.command()
@json_option
@pass_request
def status(request: Request) -> StatusReport:
    """Say target, identity, region, bucket, machines, cost."""
    return request.runctl().status()


def whereabouts(request: Request) -> Text:
    """Say where you are without asking anybody, and show five examples."""
    from importlib.metadata import version

    place = place_of(request.runctl())
    prompt = request.door.prompt
    examples = _CELL_EXAMPLES if request.door.kind == "notebook" else EXAMPLES
    text = (
        f"runctl-jupyter {version('runctl-jupyter')} · {place!r}\n\n{examples}\n\n"
        f"{prompt} status asks the target; {prompt} help lists every verb; Tab completes."
    )
    return Text(text, place.to_dict())
