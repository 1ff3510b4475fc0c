"""`checkpoints info`: what a checkpoint holds, as a value for people and programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.contents.model import Contents, Tensor, shape_text
from runctl_jupyter.orchestration.contents.reading import read
from runctl_jupyter.orchestration.listing import Column, Listing
from runctl_jupyter.orchestration.model import Value
from runctl_jupyter.orchestration.units import size_text
from runctl_jupyter.run_record.checkpoint_names import epoch_of, step_of

if TYPE_CHECKING:
    from datetime import datetime

    from runctl_jupyter.orchestration.checkpoints.located import Located

_MOST_MODULES = 24
"""Rows of the table of modules; a model with more is shown with modules that hold several."""


@dataclass(frozen=True)
class TensorInfo(Value):
    """A tensor of a checkpoint; its values have not been read."""

    name: str
    dtype: str
    """PyTorch's name of the type: ``float32``, ``bfloat16``."""
    shape: tuple[int, ...]
    parameters: int
    """How many values it has."""
    size: int | None
    """Bytes; None where an element's are not known."""
    part: str
    """``model``, ``optimizer`` or ``other``."""
    readable: bool
    """Whether its values can be read, as `tensor` and `diff` do."""


@dataclass(frozen=True)
class ModuleInfo(Value):
    """A module of the model: the tensors whose names begin alike."""

    name: str
    tensors: int
    parameters: int
    dtypes: Sequence[str]


@dataclass(frozen=True)
class CheckpointInfo(Value):
    """What a checkpoint holds."""

    uri: str
    name: str
    format: str
    size: int
    """Bytes of all its files."""
    files: int
    complete: bool
    created_at: datetime | None
    step: int | None
    epoch: int | None
    metrics: Mapping[str, float]
    parameters: int
    """Of the model; what the optimizer keeps is not counted."""
    tensors: Sequence[TensorInfo]
    modules: Sequence[ModuleInfo]
    optimizer: Mapping[str, Any]
    metadata: Mapping[str, Any]
    notes: Sequence[str]
    """What was not read, and why."""
    job_id: str | None
    attempt: int | None
    requests: int
    """Range reads that it took to know all this."""
    bytes_read: int

    def tensor_listing(self) -> Listing[TensorInfo]:
        """Return the tensors as a table."""
        return Listing(self.tensors, _COLUMNS, f"{self.name} has no tensors.")


@dataclass(frozen=True)
class Inside:
    """A checkpoint and what it holds."""

    located: Located
    contents: Contents

    def tensors_by_name(self, parts: Iterable[str] = ("model", "optimizer", "other")) -> dict[str, Tensor]:
        """Return the tensors of these parts."""
        return {tensor.name: tensor for tensor in self.contents.tensors if tensor.part in set(parts)}


def look_inside(located: Located) -> Inside:
    """Read what a checkpoint holds; raises `CheckpointUnreadable`."""
    return Inside(located, read(located.files))


def info_of(inside: Inside) -> CheckpointInfo:
    """Return what is inside, for people and programs."""
    located, contents = inside.located, inside.contents
    manifest = located.manifest
    told = (contents.step, None if manifest is None else manifest.step, step_of(located.name))
    model = [tensor for tensor in contents.tensors if tensor.part == "model"]
    return CheckpointInfo(
        uri=located.uri,
        name=located.name,
        format=contents.format,
        size=located.size,
        files=len(located.files.sizes),
        complete=True,
        created_at=located.written_at,
        step=next((step for step in told if step is not None), None),
        epoch=contents.epoch if contents.epoch is not None else epoch_of(located.name),
        metrics={} if manifest is None else manifest.metrics,
        parameters=sum(tensor.elements for tensor in model),
        tensors=[_tensor_info(tensor) for tensor in contents.tensors],
        modules=_modules(model),
        optimizer=contents.optimizer,
        metadata=contents.metadata,
        notes=contents.notes,
        job_id=located.job_id,
        attempt=None if manifest is None else manifest.attempt,
        requests=located.files.requests,
        bytes_read=located.files.bytes_read,
    )


def _tensor_info(tensor: Tensor) -> TensorInfo:
    return TensorInfo(
        tensor.name,
        tensor.dtype,
        tensor.shape,
        tensor.elements,
        tensor.size,
        tensor.part,
        readable=tensor.place is not None and tensor.size is not None,
    )


def _modules(tensors: Sequence[Tensor]) -> list[ModuleInfo]:
    """Return the model's modules, as deep as a table of some rows allows."""
    names = [_module_path(tensor.name) for tensor in tensors]
    deepest = max(map(len, names), default=0)
    depth = 1
    for deeper in range(2, deepest + 1):
        if len({name[:deeper] for name in names}) > _MOST_MODULES:
            break
        depth = deeper
    grouped: dict[tuple[str, ...], list[Tensor]] = {}
    for name, tensor in zip(names, tensors, strict=True):
        grouped.setdefault(name[:depth], []).append(tensor)
    return [
        ModuleInfo(
            ".".join(name) or "(top)",
            len(found),
            sum(tensor.elements for tensor in found),
            sorted({tensor.dtype for tensor in found}),
        )
        for name, found in grouped.items()
    ]


def _module_path(name: str) -> tuple[str, ...]:
    return tuple(name.replace("/", ".").split(".")[:-1])


_COLUMNS = (
    Column[TensorInfo]("tensor", lambda t: t.name),
    Column[TensorInfo]("type", lambda t: t.dtype),
    Column[TensorInfo]("shape", lambda t: shape_text(t.shape)),
    Column[TensorInfo]("parameters", lambda t: f"{t.parameters:,}", right=True),
    Column[TensorInfo]("size", lambda t: "" if t.size is None else size_text(t.size), right=True),
    Column[TensorInfo]("", lambda t: "" if t.part == "model" else t.part),
)
