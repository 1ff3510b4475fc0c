"""What everybody who works on an attempt needs: where it lies, what it runs, when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from runctl_jupyter.run_record import AttemptKeys, Cause, JobKeys, JobSpec, JobState, MachineOffer
from runctl_jupyter.runner.credentials import CredentialSource
from runctl_jupyter.runner.files import FileStore
from runctl_jupyter.runner.folders import AttemptFolders, RootFolders
from runctl_jupyter.runner.imds import Imds
from runctl_jupyter.runner.stops import StopSignal


@dataclass(frozen=True)
class Patience:
    """How long the runner tries, in seconds."""

    begin_s: float = 20.0
    """For the claim, and the project's code: a fresh role may be refused for a while."""
    bring_s: float = 900.0
    """For the data, and the checkpoint to go on from."""
    save_s: float = 600.0
    """For uploads after the script."""
    save_when_stopped_s: float = 120.0
    """For uploads after a cancel or a limit."""
    end_s: float = 900.0
    """For the end itself."""
    end_when_capped_s: float = 240.0
    """For the end itself when the job's money or time is used up."""


@dataclass(frozen=True)
class Machine:
    """Where this runs."""

    environ: Mapping[str, str]
    imds: Optional[Imds] = None
    instance_id: Optional[str] = None
    region: Optional[str] = None
    endpoint: Optional[str] = None
    """Address of another AWS than Amazon's own."""
    credentials: Optional[CredentialSource] = None
    """None where no AWS is used: the record is a folder."""


@dataclass(frozen=True)
class Attempt:
    """One attempt of a job on this machine."""

    store: FileStore
    spec: JobSpec
    number: int
    root: RootFolders
    machine: Machine
    stop: StopSignal
    patience: Patience = field(default_factory=Patience)
    got: Optional[MachineOffer] = None
    """This machine, among those that the spec offers."""

    @property
    def keys(self) -> AttemptKeys:
        """Names of its objects in the record."""
        return self.job_keys.attempt(self.number)

    @property
    def job_keys(self) -> JobKeys:
        """Names of its job's objects in the record."""
        return JobKeys(self.spec.id)

    @property
    def folders(self) -> AttemptFolders:
        """Its folders on this machine."""
        return self.root.attempt(self.spec.id, self.number)


@dataclass(frozen=True)
class End:
    """How it ended."""

    state: JobState
    exit_code: Optional[int] = None
    cause: Optional[Cause] = None


def stopped_end(stop: StopSignal, exit_code: Optional[int] = None) -> End:
    """Return the end that whoever asked for the stop has named."""
    reason = stop.reason
    if reason is None:
        raise AssertionError("nobody asked for the end")
    # Without a state the end has been written by somebody else, and this one goes nowhere.
    return End(reason.state or JobState.LOST, exit_code, reason.cause)
