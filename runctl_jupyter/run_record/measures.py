"""What is measured while a job runs: progress, metrics, machine. Units: bytes, per cent, seconds since 1970."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Optional

from runctl_jupyter.run_record.documents import SCHEMA, Document


@dataclass(frozen=True)
class PhaseMark(Document):
    """A part of the attempt's life begins; it ends where the next begins, or with the attempt."""

    name: str
    """``capacity``, ``boot``, ``code``, ``environment``, ``data``, ``training``, ``saving``."""
    began_at: str
    detail: str = ""
    """What it is doing or why it takes long, if known."""


@dataclass(frozen=True)
class Progress(Document):
    """How far the script is, by its own words."""

    step: Optional[int] = None
    total: Optional[int] = None
    left_s: Optional[float] = None
    """Estimated seconds to the end, at the pace of the last steps."""


@dataclass(frozen=True)
class GpuSample(Document):
    """How busy a GPU is."""

    percent: float
    memory_used: int
    memory_total: int


@dataclass(frozen=True)
class MachineSample(Document):
    """How busy the machine is."""

    time: str
    cpu_percent: Optional[float] = None
    """Of one core: 400 when four are busy."""
    memory_used: Optional[int] = None
    memory_total: Optional[int] = None
    gpus: list[GpuSample] = field(default_factory=list)


@dataclass(frozen=True)
class SeriesColumns(Document):
    """One metric over the attempt's life; the three lists have the same length."""

    name: str
    source: str
    """``log`` or ``tensorboard``."""
    steps: list[Optional[int]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    values: list[Optional[float]] = field(default_factory=list)
    """None for what is not a number: JSON has neither NaN nor infinity."""


@dataclass(frozen=True)
class MachineColumns(Document):
    """The machine over the attempt's life; all lists have the length of `times`."""

    times: list[float] = field(default_factory=list)
    cpu_percent: list[Optional[float]] = field(default_factory=list)
    memory_used: list[Optional[int]] = field(default_factory=list)
    memory_total: Optional[int] = None
    gpu_percent: list[Optional[float]] = field(default_factory=list)
    """Mean of the GPUs."""
    gpu_memory_used: list[Optional[int]] = field(default_factory=list)
    """Sum of the GPUs."""
    gpu_memory_total: Optional[int] = None


@dataclass(frozen=True)
class Measures(Document):
    """Everything measured in one attempt: one object, bounded in size by thinning, written anew as it grows."""

    series: list[SeriesColumns] = field(default_factory=list)
    machine: Optional[MachineColumns] = None
    log_bytes: int = 0
    """How much of the attempt's output has been looked through for metrics."""
    schema: int = SCHEMA

    def to_json(self) -> bytes:
        """Return the document as compact JSON: it holds thousands of numbers and is read by programs only."""
        # One series after the other: encoding holds up all other threads, so it must not be long in one go.
        series = ",".join(_compact(vars(each)) for each in self.series)
        machine = _compact(vars(self.machine) if self.machine else None)
        text = f'{{"series":[{series}],"machine":{machine},"log_bytes":{self.log_bytes},"schema":{self.schema}}}'
        return text.encode()


def _compact(value: Optional[dict[str, Any]]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
