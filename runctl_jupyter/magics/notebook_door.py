"""The notebook as a door: one engine per kernel, changed by ``use``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from runctl_jupyter.commands import Choice, Place
    from runctl_jupyter.commands.known import KnownNames
    from runctl_jupyter.orchestration import Job, Runctl
    from runctl_jupyter.orchestration.storage.crew import OnProgress


class NotebookDoor:
    """Holds what this kernel has in use."""

    kind: Literal["notebook"] = "notebook"
    prompt = "%runctl"

    def __init__(self) -> None:
        self._in_use: Runctl | None = None
        self.launching: list[Job] = []

    @cached_property
    def known(self) -> KnownNames:
        """Names that Tab offers in this kernel."""
        from runctl_jupyter.commands.known import KnownNames

        return KnownNames()

    def runctl(self, choice: Choice) -> Runctl:
        """Return this kernel's engine, or another one when the line itself chooses."""
        if not choice.empty:
            return self._make(choice)
        if self._in_use is None:
            self._in_use = self._make(choice)
        return self._in_use

    def engine_of(self, job: Job) -> Runctl | None:
        """Return an engine of the place that a job is of; None if that was never used on this computer."""
        from runctl_jupyter.orchestration import Runctl
        from runctl_jupyter.orchestration.errors import InvalidRequest
        from runctl_jupyter.orchestration.places import open_place

        place = job.record.place()
        if self._in_use is not None and self._in_use.place == place:
            return self._in_use
        try:
            return Runctl(**open_place(place))
        except InvalidRequest:
            return None

    def use(self, choice: Choice) -> Place:
        """Make `choice` what this kernel uses from now on."""
        from runctl_jupyter.commands.place import place_of

        self._in_use = self._make(choice)
        return place_of(self._in_use)

    def progress(self, what: str) -> AbstractContextManager[OnProgress | None]:
        """Show a line under the cell that runs."""
        from runctl_jupyter.magics.transfer_line import transfer_line

        return transfer_line(what)

    def _make(self, choice: Choice) -> Runctl:
        from runctl_jupyter.orchestration import Runctl

        return Runctl(choice.target, profile=choice.profile, region=choice.region, bucket=choice.bucket)
