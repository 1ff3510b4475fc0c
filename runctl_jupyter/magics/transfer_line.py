"""The progress of a transfer under its cell: one display that is updated, four times a second at most."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from IPython.core.getipython import get_ipython

from runctl_jupyter.display.transfer_progress import progress_bundle

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.storage.crew import OnProgress, Progress

_FIRST_S = 0.5
"""What is over sooner needs no bar."""
_PAUSE_S = 0.25


class TransferLine:
    """Shows the state of one transfer.

    Parameters
    ----------
    what
        E.g. ``uploading``.
    """

    def __init__(self, what: str) -> None:
        self._what, self._id = what, secrets.token_hex(8)
        self._began = time.monotonic()
        self._shown_at: float | None = None
        self._last: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        """Show it, if it is time to."""
        self._last = progress
        moment = time.monotonic()
        due = self._began + _FIRST_S if self._shown_at is None else self._shown_at + _PAUSE_S
        if moment >= due:
            self._show(progress, moment)

    def end(self) -> None:
        """Show where it has ended, if it was shown at all."""
        if self._last is not None and self._shown_at is not None:
            self._show(self._last, time.monotonic())

    def _show(self, progress: Progress, moment: float) -> None:
        shell = get_ipython()
        if shell is None:
            return
        bundle = progress_bundle(self._what, progress, moment - self._began)
        shell.display_pub.publish(data=bundle, transient={"display_id": self._id}, update=self._shown_at is not None)
        self._shown_at = moment


@contextmanager
def transfer_line(what: str) -> Iterator[OnProgress]:
    """Show how far a transfer has come while it goes on."""
    line = TransferLine(what)
    try:
        yield line
    finally:
        line.end()
