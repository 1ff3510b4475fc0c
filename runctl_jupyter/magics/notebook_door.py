"""The notebook as a door: one engine per kernel, changed by ``use``."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from runctl_jupyter.commands import Choice, Place
    from runctl_jupyter.commands.known import KnownNames
    from runctl_jupyter.orchestration import Job, Runctl


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

    def use(self, choice: Choice) -> Place:
        """Make `choice` what this kernel uses from now on."""
        from runctl_jupyter.commands.place import place_of

        self._in_use = self._make(choice)
        return place_of(self._in_use)

    def _make(self, choice: Choice) -> Runctl:
        from runctl_jupyter.orchestration import Runctl

        return Runctl(choice.target, profile=choice.profile, region=choice.region, bucket=choice.bucket)
