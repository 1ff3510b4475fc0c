"""The live views of a job beside its twins in one mime bundle: the Lab extension's, and a widget for other front ends.

A front end shows the richest one it knows: JupyterLab with our extension needs no kernel for it, VS Code, Colab and
Notebook take the widget, GitHub and nbconvert the HTML.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runctl_jupyter.display.card import card_bundle, view_of
from runctl_jupyter.display.job_mime import JOB_MIME, job_output
from runctl_jupyter.orchestration.errors import RunctlError

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Checkpoint, Job, Runctl
    from runctl_jupyter.orchestration.jobs.measures import JobMeasures
    from runctl_jupyter.widgets.job_card import JobCardWidget

_log = logging.getLogger(__name__)

Bundle = dict[str, Any]


class CardViews:
    """Makes the bundles of one job's card.

    Parameters
    ----------
    rc
        The engine of the job's place; None where that cannot be opened again, and then the twins alone are shown.
    widgets
        Whether this kernel can speak to widgets.
    launching
        Jobs whose launch is under way in this kernel.
    """

    def __init__(self, job: Job, rc: Runctl | None, *, widgets: bool, launching: list[Job]) -> None:
        self._job, self._rc, self._widgets, self._launching = job, rc, widgets, launching

    @property
    def live(self) -> bool:
        """Whether a page shows the widget, which knows what is new by itself."""
        return self._rc is not None and self._widget is not None and self._widget.watched

    def bundle(
        self,
        *,
        log_lines: Sequence[str] = (),
        checkpoints: Sequence[Checkpoint] = (),
        measures: JobMeasures | None = None,
        note: str = "",
    ) -> Bundle:
        """Return everything that can be shown of the job now."""
        job = self._job
        twins: Bundle = dict(
            card_bundle(view_of(job, log_lines=log_lines, checkpoints=checkpoints, note=note, measures=measures))
        )
        if self._rc is None:
            return twins
        output = job_output(
            job,
            self._place,
            log_lines=log_lines,
            checkpoints=checkpoints,
            measures=measures,
            note=note,
        )
        view: Bundle = {}
        if self._widget is not None:
            # A page makes the view anew with each update: it then begins with what is true now.
            self._widget.snapshot = output["card"]
            view = self._widget.widget_view()[0]
        return {**view, **twins, JOB_MIME: output}

    @cached_property
    def _place(self) -> str:
        # Known on this computer from now on: the Jupyter server finds the job by it.
        return self._rc.remember_place() if self._rc is not None else ""

    @cached_property
    def _widget(self) -> JobCardWidget | None:
        if self._rc is None or not self._widgets:
            return None
        try:
            from runctl_jupyter.widgets.job_card import JobCardWidget
            from runctl_jupyter.widgets.kernel_panels import panels_of
        except RunctlError as error:
            # A checkout that was not built. The twins say all that matters.
            _log.warning("%s %s", error.what, error.to_resolve)
            return None
        return JobCardWidget(self._job, self._rc, panels=panels_of(self._rc, self._launching))
