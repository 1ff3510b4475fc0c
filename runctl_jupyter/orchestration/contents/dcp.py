"""Reads folders of torch.distributed.checkpoint: which shards a tensor has, told by a pickle that is not run."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from math import prod
from typing import Any

from runctl_jupyter.orchestration.contents import torch
from runctl_jupyter.orchestration.contents.archives import Archive
from runctl_jupyter.orchestration.contents.bounds import damaged, facts, progress, short_text, some
from runctl_jupyter.orchestration.contents.boxes import Box, Boxes
from runctl_jupyter.orchestration.contents.files import Files, RangeFile
from runctl_jupyter.orchestration.contents.inert import Malformed, Named, Refused, sizes
from runctl_jupyter.orchestration.contents.model import ITEM_BYTES, Contents, Part, Place, Tensor
from runctl_jupyter.orchestration.contents.pickles import MOST_BYTES, Pickles
from runctl_jupyter.orchestration.contents.siblings import sibling
from runctl_jupyter.orchestration.contents.states import MODEL_KEYS, OPTIMIZER_KEYS
from runctl_jupyter.run_record.checkpoint_names import COUNTERS

METADATA = ".metadata"
_BESIDE = "meta.pt"
"""What Lightning keeps beside the shards: counters and hyperparameters."""
_MOST_VALUES = 64
_MOST_VALUE_BYTES = 64 << 10
_NUMBERED = re.compile(r"optimizer_\d+")
_GROUP = re.compile(r"(?:^|\.)param_groups\.(.+)\.(\w+)$")


@dataclass(frozen=True)
class _Stored:
    """Where a shard, or a value that is no tensor, lies: a file of PyTorch's within a file."""

    path: str
    offset: int
    length: int
    is_plain: bool


def read(files: Files, name: str) -> Contents:
    """Return what a folder of torch.distributed.checkpoint holds.

    Tensors have the names that the model's own state dict gives them, as `torch.read` says.

    Raises
    ------
    CheckpointUnreadable
        Its metadata are none, or name files outside of the folder, or shards that are not in their files.
    """
    pickle = files.whole(METADATA, MOST_BYTES)
    root = Pickles(METADATA).read(io.BytesIO(pickle))
    try:
        return _Checkpoint(files, root).contents(name)
    except Malformed as error:
        raise damaged(f"{METADATA} does not say where its tensors lie: {error}.") from error


class _Checkpoint:
    def __init__(self, files: Files, root: Any) -> None:
        told = _fields(root)
        self._files = files
        self._described = _dict(told, "state_dict_metadata")
        self._stored = dict(self._places(_dict(told, "storage_data")))
        self._version = told.get("version")
        self._missing: set[str] = set()
        self._transformed = 0
        self._open: dict[str, RangeFile] = {}

    def _places(self, found: Mapping[Any, Any]) -> Iterator[tuple[tuple[str, tuple[int, ...] | None], _Stored]]:
        for key, value in found.items():
            index, info = _fields(key), _fields(value)
            fqn, offset, path = index.get("fqn"), index.get("offset"), info.get("relative_path")
            if not isinstance(fqn, str) or not isinstance(path, str):
                raise Malformed("a shard without a name")
            begin, length = sizes((info.get("offset"), info.get("length")))
            stored = _Stored(sibling(METADATA, path), begin, length, not info.get("transform_descriptors"))
            if stored.path in self._files and begin + length > self._files.size(stored.path):
                raise damaged(f"{short_text(stored.path, 200)} ends before a shard of {short_text(fqn, 200)!r} does.")
            yield (fqn, None if offset is None else sizes(offset)), stored

    def contents(self, name: str) -> Contents:
        """Return all that is told."""
        tensors = [
            self._tensor(str(fqn), _fields(each))
            for fqn, each in self._described.items()
            if _fields(each).get("chunks")
        ]
        values = self._values()
        wrapper = next((key for key in MODEL_KEYS if any(t.name.startswith(f"{key}.") for t in tensors)), None)
        named = [_named(tensor, wrapper) for tensor in tensors]
        if len({tensor.name for tensor in named}) < len(named):
            named = tensors
        # Of what trainers keep beside the model by one more name: ``train_state.step``.
        counters = {key.rpartition(".")[2]: value for key, value in values.items() if key.count(".") < 2}
        beside = torch.read(self._files, _BESIDE) if _BESIDE in self._files else None
        if beside is not None:
            values = {**beside.metadata, **values}
            counters |= {"step": beside.step, "epoch": beside.epoch}
        step, epoch = progress({**counters, **_counts(tensors)}, name)
        rest = {key: value for key, value in values.items() if not _GROUP.search(key)}
        return Contents(
            "dcp",
            tuple(named),
            facts(rest | ({"dcp_version": self._version} if isinstance(self._version, str) else {})),
            step,
            epoch,
            _optimizer(values, self._described),
            tuple(self._notes()),
        )

    def _tensor(self, fqn: str, told: Mapping[Any, Any]) -> Tensor:
        shape, chunks = sizes(told.get("size")), told["chunks"]
        properties = told.get("properties")
        state = properties.state if isinstance(properties, Refused) else None
        kind = state[0] if isinstance(state, tuple) and state else _fields(properties).get("dtype")
        dtype = kind.name[:40] if isinstance(kind, Named) else "unknown"
        boxes = []
        for chunk in chunks if isinstance(chunks, list) else ():
            offsets, shard = sizes(_fields(chunk).get("offsets")), sizes(_fields(chunk).get("sizes"))
            if not len(offsets) == len(shard) == len(shape):
                raise Malformed("a shard of another shape than its tensor")
            if any(at + length > whole for at, length, whole in zip(offsets, shard, shape, strict=True)):
                raise Malformed("a shard that reaches beyond its tensor")
            stored = self._stored.get((fqn, offsets), self._stored.get((fqn, None)))
            if stored is None or stored.path not in self._files:
                self._missing.add("shards that no file is named for" if stored is None else stored.path)
            elif not stored.is_plain:
                self._transformed += 1
            elif dtype in ITEM_BYTES:
                if prod(shard) * ITEM_BYTES[dtype] > stored.length:
                    raise damaged(f"A shard of {short_text(fqn, 200)!r} is larger than what {stored.path} has of it.")
                boxes.append(Box(offsets, shard, _Shard(self._files, stored, shard, dtype)))
        if len(boxes) < len(chunks) or sum(prod(box.shape) for box in boxes) != prod(shape):
            return Tensor(short_text(fqn), dtype, shape, None, _part(fqn))
        return Tensor(short_text(fqn), dtype, shape, Boxes(shape, ITEM_BYTES[dtype], boxes), _part(fqn))

    def _values(self) -> dict[str, Any]:
        """Return values that are no tensors: counters, an optimizer's settings, and what else stands at the top."""
        wanted = (
            (fqn, stored)
            for (fqn, _), stored in self._stored.items()
            if not _fields(self._described.get(fqn)).get("chunks")
            and (fqn.count(".") < 2 or _GROUP.search(fqn))
            and stored.is_plain
            and stored.path in self._files
            and stored.length <= _MOST_VALUE_BYTES
        )
        return {short_text(fqn, 200): self._value(fqn, stored) for fqn, stored in islice(wanted, _MOST_VALUES)}

    def _value(self, fqn: str, stored: _Stored) -> Any:
        if stored.path not in self._open:
            self._open[stored.path] = self._files.open(stored.path)
        file = self._open[stored.path]  # one for all: they lie beside each other
        file.seek(stored.offset)
        data = file.read(stored.length)
        what = short_text(fqn, 200)
        archive = Archive(Files({what: len(data)}, lambda _, start, end: data[start:end]), what)
        pickles = [entry for entry in archive.names if entry.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise damaged(f"{what} in {stored.path} is no value of PyTorch's.")
        return Pickles(what).read(io.BytesIO(archive.whole(pickles[0], _MOST_VALUE_BYTES)))

    def _notes(self) -> Iterator[str]:
        if self._missing:
            yield f"missing: {some(sorted(self._missing))}; tensors with a part there cannot be read"
        if self._transformed:
            yield f"{self._transformed:,} shards are compressed or encrypted, and cannot be read"


@dataclass(frozen=True)
class _Shard:
    """Values of a shard; what the file says of it is read with the first of them."""

    files: Files
    stored: _Stored
    shape: tuple[int, ...]
    dtype: str

    def read(self, start: int, stop: int) -> bytes:
        """Return elements; see `Place.read`."""
        return self._place.read(start, stop)

    @cached_property
    def _place(self) -> Place:
        at, path = self.stored.offset, self.stored.path
        inner = f"{path}[{at:,}]"
        whole = Files({inner: self.stored.length}, lambda _, start, end: self.files.data(path, at + start, at + end))
        tensors = torch.read(whole, inner).tensors
        if len(tensors) != 1 or (tensors[0].shape, tensors[0].dtype) != (self.shape, self.dtype):
            raise damaged(f"{inner} is not the shard that {METADATA} says.")
        if tensors[0].place is None:
            raise damaged(f"The values of {inner} cannot be read.")
        return tensors[0].place


def _fields(found: Any) -> Mapping[Any, Any]:
    return found.fields if isinstance(found, Refused) else {}


def _dict(told: Mapping[Any, Any], key: str) -> Mapping[Any, Any]:
    found = told.get(key)
    if not isinstance(found, dict):
        raise Malformed(f"no {key}")
    return found


def _part(fqn: str) -> Part:
    outermost = fqn.split(".", 2)[:2]
    return "optimizer" if any(key in OPTIMIZER_KEYS or _NUMBERED.fullmatch(key) for key in outermost) else "model"


def _named(tensor: Tensor, wrapper: str | None) -> Tensor:
    """Return a tensor by the name that the model's own state dict gives it."""
    if wrapper is None or tensor.part == "optimizer":
        return tensor
    inside = tensor.name.startswith(f"{wrapper}.")
    name = tensor.name.removeprefix(f"{wrapper}.") if inside else tensor.name
    return Tensor(name, tensor.dtype, tensor.shape, tensor.place, "model" if inside else "other")


def _counts(tensors: list[Tensor]) -> dict[str, int]:
    """Return counters that are kept as tensors."""
    return {
        t.name: int.from_bytes(t.place.read(0, 1), "little")
        for t in tensors
        if t.name in COUNTERS and t.place is not None and t.elements == 1 and t.dtype in {"int32", "int64"}
    }


def _optimizer(values: Mapping[str, Any], described: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the settings of the first group of parameters, and how many groups there are."""
    groups = {found[1] for fqn in described if isinstance(fqn, str) and (found := _GROUP.search(fqn))}
    first: dict[str, Any] = {}
    begun = None
    for key, value in values.items():
        found = _GROUP.search(key)
        if found and found[2] != "params" and begun in {None, found[1]}:
            begun = found[1]
            first[found[2]] = value
    return facts(first) | ({"param_groups": len(groups)} if groups else {})
