"""Where a job can run. Two things are needed of a target: check a place, and start a runner there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from runctl_jupyter.run_record import Cause, MachineAsked, MachineOffer

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.instances.planning import Prepared
    from runctl_jupyter.orchestration.model import LaunchPlan
    from runctl_jupyter.run_record import JobSpec, Status


@dataclass(frozen=True)
class Place:
    """Where a job is going to run, checked."""

    instance_id: str | None = None
    """An existing instance; None when one is launched for the job, or on this computer."""
    instance_type: str | None = None
    region: str | None = None
    price_per_hour: float | None = None
    price_source: str | None = None
    beside_per_hour: Mapping[str, float] = field(default_factory=dict)
    """As of `JobSpec.beside_per_hour`."""
    ttl_s: float | None = None
    """Seconds after which a machine launched for the job powers itself off, if the job says nothing else."""
    own_machine: bool = False
    """Whether a machine is launched for this job alone."""
    spot: bool = False
    asked: MachineAsked | None = None
    """What kind of machine is launched; type, market and price above are those of the first choice."""
    offers: Sequence[MachineOffer] = ()
    """What the launch may end with."""
    prepared: Prepared | None = None
    """The launch, thought through."""


@dataclass(frozen=True)
class Started:
    """The machine where a runner was started."""

    instance_id: str
    got: MachineOffer | None = None
    """What was launched for it."""


class Target(Protocol):
    """A kind of place to run jobs."""

    def check(self, on: str | None, asked: MachineAsked) -> Place:
        """Return the place asked for.

        Raises
        ------
        RunctlError
            The job could not run there; nothing has been launched.
        """

    def plan(self, place: Place, name: str, ttl_s: float | None) -> LaunchPlan | None:
        """Return what would be launched, or None when nothing would."""

    def start(self, spec: JobSpec, attempt: int, place: Place) -> Started | None:
        """Start a runner for an attempt of the job and return the machine, if it is one of EC2's.

        Raises
        ------
        RunctlError
            It could not be started.
        """

    def probe(self, place: Place, script: str) -> str | None:
        """Run a short shell script where the job is going to run and return what it prints.

        None where the machine is still to be launched.

        Raises
        ------
        RunctlError
            It could not be run.
        """

    def withdraw(self, job_id: str, attempt: int) -> None:
        """End what was launched for an attempt that has not begun."""

    def revive(self, spec: JobSpec, status: Status) -> bool:
        """Start a runner once more on the machine where one has fallen silent: it saves what the other has left.

        Returns
        -------
        bool
            Whether none was needed: one looks after the job, and only cannot be heard.

        Raises
        ------
        RunctlError
            It could not be started.
        """

    def runner_is_gone(self, job_id: str, status: Status) -> bool:
        """Tell whether it is certain that nobody looks after the job any more, though the machine is there."""

    def verdict(self, job_id: str, status: Status) -> Cause | None:
        """Say what became of a job whose runner is silent: a cause when its machine cannot run it any more."""
