"""What the end of an instance costs: what is lost with it and what stays, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from runctl_jupyter.orchestration.costs.rates import HOURS_PER_MONTH, disk_per_hour
from runctl_jupyter.orchestration.instances.disks import to_disk
from runctl_jupyter.orchestration.units import age_text, money_text

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import VolumeTypeDef

    from runctl_jupyter.orchestration.model import Checkpoint


class Occupant(Protocol):
    """A job that runs on an instance, as far as the instance's end is concerned."""

    @property
    def id(self) -> str:
        """Id of the job."""

    def checkpoints(self) -> Sequence[Checkpoint]:
        """Return its complete checkpoints, the oldest first."""

    def interrupt(self, message: str, *, keep_machine: bool = False, wait: bool = True) -> object:
        """Let it save and end, so that it can go on later; return when it has, or at once.

        Raises
        ------
        WaitTimedOut
            The machine has not answered.
        """


@dataclass(frozen=True)
class Consequences:
    """Sentences."""

    keeps: Sequence[str]
    loses: Sequence[str]


def last_save(job: Occupant) -> str:
    """Say how old what a job has saved is."""
    saved = job.checkpoints()
    if not saved:
        return "it has saved no checkpoint"
    return f"its last checkpoint ({saved[-1].name}) is {age_text(saved[-1].created_at)} old"


def of_stop(
    volumes: Sequence[VolumeTypeDef], region: str | None, *, interrupted: Iterable[Occupant] = ()
) -> Consequences:
    """Say what a stop keeps and loses (EC2 User Guide, "Stop and start Amazon EC2 instances")."""
    usd = _per_month(volumes, region)
    bill = "at a price that is not known here" if usd is None else f"at {money_text(usd)} a month"
    keeps = [f"its disks ({_gib(volumes)} GiB), which are billed on {bill}"] if volumes else []
    keeps += [f"job {job.id}, interrupted; {last_save(job)}: runctl resume {job.id}" for job in interrupted]
    return Consequences(keeps, ["running programs, memory, and the instance store if it has one"])


def of_termination(
    instance_id: str, volumes: Sequence[VolumeTypeDef], running: Iterable[Occupant] = ()
) -> Consequences:
    """Say what a termination loses, and what it leaves; volumes live on where they were told to."""
    gone = [each for each in volumes if _ends_with(each, instance_id)]
    left = [each for each in volumes if not _ends_with(each, instance_id)]
    loses = [f"job {job.id}, which ran on it: {last_save(job)}" for job in running]
    if gone:
        loses.append(f"its disks ({_gib(gone)} GiB) and all files on them")
    keeps = ["what its jobs have stored in S3: logs, checkpoints, outputs"]
    keeps += [f"volume {each['VolumeId']} ({each['Size']} GiB), which is billed on" for each in left]
    return Consequences(keeps, loses)


def _per_month(volumes: Iterable[VolumeTypeDef], region: str | None) -> float | None:
    prices = [disk_per_hour(to_disk(each), region) for each in volumes]
    return None if None in prices else sum(each for each in prices if each is not None) * HOURS_PER_MONTH


def _gib(volumes: Iterable[VolumeTypeDef]) -> int:
    return sum(each["Size"] for each in volumes)


def _ends_with(volume: VolumeTypeDef, instance_id: str) -> bool:
    mine = [each for each in volume.get("Attachments", []) if each.get("InstanceId") == instance_id]
    return any(each.get("DeleteOnTermination") for each in mine)
