"""A panel as a door: it says lines of the grammar that launch something."""

from __future__ import annotations

import shlex
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from runctl_jupyter.commands import Choice, Launched, Request, invoke
from runctl_jupyter.orchestration import Instance, Job
from runctl_jupyter.orchestration.errors import InvalidRequest

if TYPE_CHECKING:
    from runctl_jupyter.commands import Place
    from runctl_jupyter.commands.known import KnownNames
    from runctl_jupyter.orchestration import Runctl

_VERBS = ("train", "create")


class LineDoor:
    """The door of one panel's line.

    Parameters
    ----------
    engine
        Of the panel's place.
    launching
        Jobs launched here.
    """

    kind: Literal["notebook"] = "notebook"
    prompt = "%runctl"

    def __init__(self, engine: Runctl, launching: list[Job]) -> None:
        self._engine, self.launching = engine, launching

    @cached_property
    def known(self) -> KnownNames:
        """Names for Tab; a panel has none to offer here."""
        from runctl_jupyter.commands.known import KnownNames

        return KnownNames()

    def runctl(self, choice: Choice) -> Runctl:
        """Return the engine of the panel's place.

        Raises
        ------
        InvalidRequest
            The line chooses another.
        """
        if not choice.empty:
            raise InvalidRequest(
                "A panel launches at its own place.", "Leave --target, --profile, --region and --bucket out."
            )
        return self._engine

    def use(self, choice: Choice) -> Place:
        """Refuse: a panel's place is chosen in the panel.

        Raises
        ------
        InvalidRequest
            Always.
        """
        raise InvalidRequest("A panel does not change the target.", "Choose its place at the top of the panel.")

    def progress(self, what: str) -> AbstractContextManager[None]:
        """Show nothing: what a panel says moves no files."""
        return nullcontext()


def launch(line: str, door: LineDoor) -> Job | Instance:
    """Run a line that launches a job or an instance, and return that.

    Raises
    ------
    InvalidRequest
        The line does something else, or nothing.
    RunctlError
        What the engine could not do.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise InvalidRequest(f"The line cannot be read: {error}.", "Close every quote.") from error
    if not words or words[0] not in _VERBS:
        raise InvalidRequest(
            f"A panel cannot do {line!r}.", f"It launches: {' …, '.join(_VERBS)} …; say the rest in a cell."
        )
    value = invoke(words, Request(door, words=tuple(words))).value
    if isinstance(value, Launched):
        return value.job
    if isinstance(value, Instance):
        return value
    raise InvalidRequest("That line launches nothing.", "Leave --dry-run and --help out, or say it in a cell.")
