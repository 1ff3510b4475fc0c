"""The panel as a widget, and with it the form that launches."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets

from runctl_jupyter.widgets.connected import ConnectedWidget
from runctl_jupyter.widgets.form import launch_form
from runctl_jupyter.widgets.kernel_panels import panels_of

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Job, Runctl
    from runctl_jupyter.panels import Panels

_TWIN = "The panel of runctl is alive in a running notebook: run this cell again. As text: %runctl jobs, %runctl list"


class PanelWidget(ConnectedWidget):
    """Instances, jobs, checkpoints and costs of a place, alive for as long as the kernel.

    Parameters
    ----------
    rc
        The engine of the place.
    panels
        What answers the panel; the kernel's own by default.
    """

    def __init__(self, rc: Runctl, *, panels: Panels | None = None) -> None:
        super().__init__("panel", panels or panels_of(rc))

    def _repr_mimebundle_(self, **_kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        found = super()._repr_mimebundle_()
        data, metadata = ({}, {}) if found is None else found
        return {**data, "text/plain": _TWIN, "text/html": f"<p>{escape(_TWIN)}</p>"}, metadata


def panel_view(rc: Runctl, script: str | None = None, *, launching: list[Job] | None = None) -> ipywidgets.VBox:
    """Return what ``%runctl panel`` shows: the panel, and below it the launch form, open when a script is given.

    Parameters
    ----------
    rc
        The engine of the place.
    script
        What the form begins with.
    launching
        Jobs whose launch is under way here, shared with the notebook's door.
    """
    launching = [] if launching is None else launching
    panel = PanelWidget(rc, panels=panels_of(rc, launching))
    form = launch_form(rc, script, launching=launching)
    fold = ipywidgets.Accordion(children=[form], titles=["Launch a job"], selected_index=None if script is None else 0)
    return ipywidgets.VBox([panel, fold])
