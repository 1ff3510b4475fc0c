"""`Panels`: what a door holds to answer the views."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runctl_jupyter.panels.deeds import Deeds
from runctl_jupyter.panels.downloads import Downloads
from runctl_jupyter.panels.engines import Engines, OpenRunctl
from runctl_jupyter.panels.finite import finite
from runctl_jupyter.panels.handles import Handles
from runctl_jupyter.panels.hub import Hub
from runctl_jupyter.panels.questions import Questions

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Job


class Panels:
    """Questions, deeds and topics of the views' contract; thread-safe, every call may block.

    Parameters
    ----------
    open_runctl
        Makes the engine of a place by its id; None is the door's own place. It should start no sandbox.
    open_to_launch
        The same for launching, which may start one; `open_runctl` by default.
    folder
        Returns where downloads land; the current folder by default.
    launching
        Jobs whose launch is under way, shared with the door: the record may not know them yet.
    """

    def __init__(
        self,
        open_runctl: OpenRunctl,
        *,
        open_to_launch: OpenRunctl | None = None,
        folder: Callable[[], Path] = Path.cwd,
        launching: list[Job] | None = None,
    ) -> None:
        self.engines = Engines(open_runctl)
        self.handles = Handles(self.engines, [] if launching is None else launching)
        self.hub = Hub(self.handles)
        self.downloads = Downloads(self.handles)
        self._questions = Questions(self.handles)
        self._deeds = Deeds(self.handles, open_to_launch or open_runctl, folder)

    def query(self, method: str, params: object = None, place: str | None = None) -> dict[str, Any]:
        """Answer a question of the contract.

        Raises
        ------
        InvalidRequest
            There is no such question, or it is not asked like this.
        RunctlError
            What the engine could not do.
        """
        answer: dict[str, Any] = finite(self._questions.carry_out(method, params, place))
        return answer

    def act(self, action: str, params: object = None, place: str | None = None) -> dict[str, Any]:
        """Do a deed of the contract; topics of that place look at once.

        Raises
        ------
        InvalidRequest
            There is no such deed, or it cannot be done like this.
        RunctlError
            What the engine could not do.
        """
        try:
            result: dict[str, Any] = finite(self._deeds.carry_out(action, params, place))
            return result
        finally:
            # Also after a failure: it may have been half done.
            self.hub.hurry(place)
