"""What a verb gets to know about the line it serves: the door it came through, and how to reach the engine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import click

from runctl_jupyter.orchestration.errors import InvalidRequest

if TYPE_CHECKING:
    from runctl_jupyter.commands.known import KnownNames
    from runctl_jupyter.commands.results import Place
    from runctl_jupyter.orchestration import Job, Runctl
    from runctl_jupyter.orchestration.jobs.request import Origin
    from runctl_jupyter.orchestration.storage.crew import OnProgress


@dataclass(frozen=True)
class Choice:
    """A choice of target; None leaves environment, files and defaults in force."""

    target: str | None = None
    profile: str | None = None
    region: str | None = None
    bucket: str | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is chosen."""
        return self == Choice()


class Door(Protocol):
    """Where lines come from: a notebook or a terminal."""

    @property
    def kind(self) -> Literal["notebook", "terminal"]:
        """Which door it is."""

    @property
    def known(self) -> KnownNames:
        """Names that Tab offers here."""

    @property
    def launching(self) -> list[Job]:
        """Jobs launched here; the record may not know the last ones yet."""

    @property
    def prompt(self) -> str:
        """How a person addresses it: ``%runctl`` or ``runctl``."""

    def runctl(self, choice: Choice) -> Runctl:
        """Return the engine for `choice`; an empty choice means what this door has in use."""

    def use(self, choice: Choice) -> Place:
        """Make `choice` what this door has in use from now on."""

    def progress(self, what: str) -> AbstractContextManager[OnProgress | None]:
        """Show how far something has come while it goes on, if this door has somebody to show it to."""


@dataclass
class Request:
    """One line at a door."""

    door: Door
    cell: str | None = None
    """The cell's body, for a cell magic."""
    cell_id: str | None = None
    """Which cell it is, where the front end tells; None for a terminal, where nothing is run again by accident."""
    notebook: str | None = None
    """Path of the notebook, where the front end or the server tells."""
    words: tuple[str, ...] = ()
    """The line, expanded."""
    namespace: Mapping[str, Any] = field(default_factory=dict)
    """Variables of the notebook."""
    as_json: bool = False
    choice: Choice = field(default_factory=Choice)
    """Target given with this line alone."""

    def runctl(self) -> Runctl:
        """Return the engine this line is about."""
        return self.door.runctl(self.choice)

    def progress(self, what: str) -> AbstractContextManager[OnProgress | None]:
        """Show how far something has come; to nobody where the line asked for JSON alone."""
        return nullcontext() if self.as_json else self.door.progress(what)

    def job(self, reference: str) -> Job:
        """Return the job with this id, end of an id, or name; one that is still being launched here counts.

        Raises
        ------
        JobNotFound
            There is none.
        """
        rc = self.runctl()
        return self.launching_job(reference, rc.settings.target) or rc.jobs.get(reference)

    def run_key(self, script: str | None) -> str | None:
        """Return what stands for this very run: the cell, its source, its arguments; None outside a notebook."""
        if self.cell_id is None:
            return None
        source = self.cell.encode() if self.cell is not None else b""
        with suppress(OSError):
            source += Path(script).expanduser().read_bytes() if script else b""
        parts = [self.cell_id, *(word for word in self.words if word != "--again")]
        return hashlib.sha256("\0".join(parts).encode() + b"\0" + source).hexdigest()

    def origin(self) -> Origin | None:
        """Return which notebook and cell this line is of; None outside a notebook."""
        if self.cell_id is None:
            return None
        from runctl_jupyter.orchestration.jobs.request import Origin

        return Origin(self.notebook, self.cell_id or None)

    def variables(self, names: Iterable[str]) -> dict[str, Any]:
        """Return variables of the notebook by name.

        Raises
        ------
        InvalidRequest
            One is not defined.
        """
        found = {}
        for name in names:
            if name not in self.namespace:
                raise InvalidRequest(f"There is no variable {name!r} to send (-i).", "Define it in an earlier cell.")
            found[name] = self.namespace[name]
        return found

    def launching_run(self, run_key: str) -> Job | None:
        """Return the job of this key whose launch is under way."""
        under_way = [job for job in self.door.launching if job.launching is not None and not job.launching.done()]
        return next((job for job in under_way if job.spec.run_key == run_key), None)

    def launching_job(self, reference: str, target: str) -> Job | None:
        """Return the job of this name whose launch is under way: a next cell runs before its spec is written."""
        launching = self.door.launching
        launching[:] = [job for job in launching if job.launching is not None and not job.launching.done()]
        for job in reversed(launching):
            named = reference in (job.id, job.name) or job.id.endswith(f"-{reference}")
            if named and job.spec.target == target:
                return job
        return None


pass_request = click.make_pass_decorator(Request)
