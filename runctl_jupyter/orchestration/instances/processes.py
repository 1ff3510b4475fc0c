"""What runs on an instance and what that takes: asked of the machine itself, by Run Command."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from runctl_jupyter.orchestration.costs.prices import type_facts
from runctl_jupyter.orchestration.errors import InstanceNotReady
from runctl_jupyter.orchestration.instances import programs
from runctl_jupyter.orchestration.listing import Column, Listing
from runctl_jupyter.orchestration.model import Value
from runctl_jupyter.orchestration.units import size_text

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.ssm import Ssm
    from runctl_jupyter.orchestration.model import Instance

_ANSWER_S = 60.0
_SCRIPT = """\
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
{decode} > "$folder/look.pyz" <<'RUNCTL_LOOK'
{program}
RUNCTL_LOOK
python3 "$folder/look.pyz"
"""
_MOST_COMMAND = 80


@dataclass(frozen=True)
class MachineProcess(Value):
    """A process."""

    pid: int
    user: str
    cpu_percent: float
    """Of one core: 400 keeps four of them busy."""
    memory_bytes: int
    """Resident in memory; pages that processes share count for each."""
    gpu_memory_bytes: int | None
    job: str | None
    """Id of the job that it belongs to."""
    command: str


@dataclass(frozen=True)
class MachineDisk(Value):
    """A file system on a disk."""

    device: str
    mount: str
    size_bytes: int
    used_bytes: int


@dataclass(frozen=True)
class MachineGpu(Value):
    """A GPU; what it does not tell (``[N/A]``) is None."""

    index: int
    name: str
    percent: float | None
    memory_used: int | None
    memory_total: int | None
    celsius: float | None


@dataclass(frozen=True)
class MachineProcesses(Value):
    """A look at a machine; `processes` has those that take most first."""

    instance_id: str
    name: str
    instance_type: str
    cpus: int | None
    cpu_percent: float | None
    """Of one core."""
    load: Sequence[float]
    """Averages over 1, 5 and 15 minutes."""
    memory_used: int | None
    memory_total: int | None
    disks: Sequence[MachineDisk]
    gpus: Sequence[MachineGpu]
    notes: Sequence[str]
    """What could not be had, and why."""
    processes: Sequence[MachineProcess]
    left_out: int
    """Processes that take least and did not fit into the answer."""

    def listing(self) -> Listing[MachineProcess]:
        """Return the processes as a list that converts to a DataFrame."""
        return Listing(self.processes, COLUMNS, "No processes.")


COLUMNS = (
    Column[MachineProcess]("pid", lambda each: str(each.pid), right=True),
    Column[MachineProcess]("user", lambda each: each.user),
    Column[MachineProcess]("CPU", lambda each: f"{each.cpu_percent:.0f} %", right=True),
    Column[MachineProcess]("memory", lambda each: size_text(each.memory_bytes), right=True),
    Column[MachineProcess](
        "GPU memory", lambda each: size_text(each.gpu_memory_bytes) if each.gpu_memory_bytes else "", right=True
    ),
    Column[MachineProcess]("job", lambda each: each.job or ""),
    Column[MachineProcess](
        "command", lambda each: each.command if len(each.command) <= _MOST_COMMAND else each.command[:79] + "…"
    ),
)


def look_at(ssm: Ssm, instance: Instance) -> MachineProcesses:
    """Ask a running instance.

    Raises
    ------
    InstanceNotReady
        It does not take commands, or has no Python.
    WaitTimedOut
        It has not answered within a minute.
    """
    program = programs.as_text("machine_processes", "activity")
    script = _SCRIPT.format(decode=programs.DECODE, program=program)
    done = ssm.run(instance.id, script, timeout=_ANSWER_S, purpose="look at processes")
    try:
        told = json.loads(done.stdout)
    except ValueError:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise InstanceNotReady(
            f"{instance.id} could not tell what runs on it ({done.status}): "
            f"{said[-1] if said else 'it printed nothing'}.",
            "The machine needs python3 (3.9 or newer); look again, or restart it: runctl stop, runctl start.",
        ) from None
    return _read(instance, told)


def _read(instance: Instance, told: Mapping[str, Any]) -> MachineProcesses:
    facts = type_facts(instance.instance_type)
    notes = list(told["notes"])
    if facts is not None and facts.accelerator_count and not told["gpus"] and not notes:
        notes.append(f"{instance.instance_type} has GPUs, but there is no nvidia-smi on it that tells of them")
    return MachineProcesses(
        instance_id=instance.id,
        name=instance.name,
        instance_type=instance.instance_type,
        cpus=told["cpus"],
        cpu_percent=told["cpu_percent"],
        load=told["load"],
        memory_used=told["memory_used"],
        memory_total=told["memory_total"],
        disks=[_as(MachineDisk, each) for each in told["disks"]],
        gpus=[_as(MachineGpu, each) for each in told["gpus"]],
        notes=notes,
        processes=[_as(MachineProcess, each) for each in told["processes"]],
        left_out=told["left_out"],
    )


V = TypeVar("V", MachineDisk, MachineGpu, MachineProcess)


def _as(kind: type[V], told: Mapping[str, Any]) -> V:
    return kind(**{field.name: told[field.name] for field in fields(kind)})
