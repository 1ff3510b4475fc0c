"""Where a job can run. Two things are needed of a target: check a place, and start a runner there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from runctl_jupyter.run_record import Cause

if TYPE_CHECKING:
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
    own_machine: bool = False
    """Whether a machine is launched for this job alone."""


class Target(Protocol):
    """A kind of place to run jobs."""

    def check(self, on: str | None, instance_type: str | None) -> Place:
        """Return the place asked for.

        Raises
        ------
        RunctlError
            The job could not run there; nothing has been launched.
        """

    def plan(self, place: Place, name: str, ttl_s: float | None) -> LaunchPlan | None:
        """Return what would be launched, or None when nothing would."""

    def start(self, spec: JobSpec, place: Place) -> str | None:
        """Start a runner for the job's first attempt and return the instance's id, if there is one.

        Raises
        ------
        RunctlError
            It could not be started.
        """

    def withdraw(self, job_id: str) -> None:
        """End what was launched for a job that has not begun."""

    def verdict(self, job_id: str, status: Status) -> Cause | None:
        """Say what became of a job whose runner is silent: a cause when its machine cannot run it any more."""
