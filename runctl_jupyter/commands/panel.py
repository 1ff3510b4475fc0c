"""The panel: `panel`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from runctl_jupyter.commands.request import Request, pass_request
from runctl_jupyter.orchestration.errors import InvalidRequest

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Runctl


@dataclass(frozen=True)
class PanelView:
    """The panel, for the notebook door to show."""

    rc: Runctl
    script: str | None = None
    """What its launch form begins with."""

    def __repr__(self) -> str:
        return "The panel is a widget: it needs a notebook. As text: %runctl jobs, %runctl list"


@click.command(epilog="Example: %runctl panel fit.py")
@click.argument("script", required=False, type=click.Path())
@pass_request
def panel(request: Request, script: str | None) -> PanelView:
    """Show instances, jobs, checkpoints and costs as a widget, and a form that launches SCRIPT."""
    if request.door.kind != "notebook":
        raise InvalidRequest(
            "The panel is a widget: it needs a notebook.",
            f"There: %runctl panel. Here: {request.door.prompt} jobs, {request.door.prompt} list",
        )
    return PanelView(request.runctl(), script)
