"""The card of a job as a widget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import traitlets

from runctl_jupyter.display.card import card_bundle, view_of
from runctl_jupyter.display.job_mime import job_output, masked
from runctl_jupyter.widgets.connected import ConnectedWidget
from runctl_jupyter.widgets.kernel_panels import panels_of

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Job, Runctl
    from runctl_jupyter.panels import Panels


class JobCardWidget(ConnectedWidget):
    """A job's card, alive for as long as the kernel.

    Making one asks nobody; its views ask.

    Parameters
    ----------
    job
        Whose card.
    rc
        The engine that the job is of.
    snapshot
        What the card begins with, a ``CardDocument``, as it may be saved: every text in it is masked. By default
        what is known of the job already.
    panels
        What answers the card; the kernel's own by default.
    """

    job = traitlets.Unicode().tag(sync=True)
    snapshot = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)

    def __init__(
        self, job: Job, rc: Runctl, *, snapshot: dict[str, Any] | None = None, panels: Panels | None = None
    ) -> None:
        self._job = job
        if snapshot is None:
            snapshot = job_output(job, "")["card"]
        super().__init__("card", panels or panels_of(rc), job=job.id, snapshot=masked(snapshot))

    def widget_view(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the mime bundle of the live view alone, and its metadata, to be put beside other twins."""
        bundle = super()._repr_mimebundle_()
        return ({}, {}) if bundle is None else bundle

    def _repr_mimebundle_(self, **_kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = self.widget_view()
        lines = self.snapshot["log_tail"] if self.snapshot else ()
        # Where no widget can be shown (GitHub, nbconvert), the twins are.
        return {**data, **card_bundle(view_of(self._job, log_lines=lines))}, metadata
