"""Reads HDF5: whole models and weights of Keras, and files of arrays that others have written."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.contents.bounds import damaged, facts, json_object, progress, short_text
from runctl_jupyter.orchestration.contents.hdf5_file import BLOCK_BYTES, SIGNATURE, Guarded, Node, guarded, nodes
from runctl_jupyter.orchestration.contents.hdf5_values import place_of, type_of
from runctl_jupyter.orchestration.contents.model import Contents, Part, Tensor
from runctl_jupyter.orchestration.errors import CheckpointUnreadable

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.contents.files import Files

__all__ = ["SIGNATURE", "read", "settings"]

_OPTIMIZER = {"optimizer", "optimizer_weights"}
"""Groups of Keras at the root."""
_ITERATIONS = {"iteration", "iterations", "iter"}
_SETTINGS = {"learning_rate": "lr"} | {
    key: key for key in ("name", "weight_decay", "momentum", "beta_1", "beta_2", "rho", "epsilon")
}
"""What Keras' configuration of an optimizer tells of it, and what it is called here."""
_SMALL_ITEMS = 32
_MOST_AXES = 32
_NUMBERS = {
    "int8": "<b",
    "uint8": "<B",
    "int16": "<h",
    "uint16": "<H",
    "int32": "<i",
    "uint32": "<I",
    "int64": "<q",
    "uint64": "<Q",
    "float16": "<e",
    "float32": "<f",
    "float64": "<d",
}
"""How one number of a type is packed."""


def read(files: Files, name: str) -> Contents:
    """Return what a file of HDF5 holds.

    Raises
    ------
    CheckpointUnreadable
        It is cut short, damaged, or made to do harm; or pyfive is missing.
    """
    return guarded(name, lambda: _read(files, name))


def _read(files: Files, name: str) -> Contents:
    metadata: Mapping[str, Any] = {}
    tensors: list[Tensor] = []
    for node in nodes(Guarded(files.open(name, BLOCK_BYTES))):
        if node.path:
            tensors += _tensors(files, name, node)
        else:
            metadata = facts(node.attributes, _plain)
    told = progress(metadata, name)
    closed = sum(1 for tensor in tensors if tensor.place is None and tensor.dtype != "text")
    return Contents(
        "hdf5",
        tuple(tensors),
        metadata,
        told[0] if (counted := _iterations(tensors)) is None else counted,
        told[1],
        optimizer=_optimizer(tensors, metadata),
        notes=(f"The values of {closed:,} datasets are kept in a way that is not read here.",) if closed else (),
    )


def _tensors(files: Files, name: str, node: Node) -> list[Tensor]:
    shape = node.header.shape
    if shape is None:
        return []  # an empty dataset: it has a type, but no values
    shape = tuple(int(length) for length in shape)
    if len(shape) > _MOST_AXES:
        raise damaged(f"A dataset of {name} has {len(shape)} axes.")
    dtype, swapped = type_of(node.header, node.attributes)
    place = place_of(files, name, node.header, shape, dtype, swapped)
    part: Part = "optimizer" if node.path.partition("/")[0] in _OPTIMIZER else "model"
    return [Tensor(short_text(node.path.removesuffix(":0")), dtype, shape, place, part)]


def _iterations(tensors: list[Tensor]) -> int | None:
    """Return how many steps an optimizer has made; Keras 3 numbers its variables, and begins with this one."""
    counters = [t for t in tensors if t.part == "optimizer" and t.name.rpartition("/")[2] in _ITERATIONS]
    counters += [t for t in tensors if t.name == "optimizer/vars/0"]
    found = (_scalar(tensor) for tensor in counters)
    return next((number for number in found if isinstance(number, int) and number >= 0), None)


def _optimizer(tensors: list[Tensor], metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    found = settings(metadata.get("training_config"), "optimizer_config", "config")
    rates = [t for t in tensors if t.part == "optimizer" and t.name.rpartition("/")[2] == "learning_rate"]
    rates += [t for t in tensors if t.name == "optimizer/vars/1"]
    numbers = (_scalar(tensor) for tensor in rates)
    rate = next((number for number in numbers if isinstance(number, float)), None)
    return found if rate is None else found | {"lr": rate}


def settings(told: Any, *path: str) -> dict[str, Any]:
    """Return what a configuration of Keras tells of an optimizer, which lies under these keys."""
    for key in path:
        told = told.get(key) if isinstance(told, dict) else None
    found = {name: told[key] for key, name in _SETTINGS.items() if key in told} if isinstance(told, dict) else {}
    return facts(found)


def _scalar(tensor: Tensor) -> int | float | None:
    """Return the value of a tensor that is one number."""
    if tensor.shape not in {(), (1,)} or tensor.place is None or tensor.dtype not in _NUMBERS:
        return None
    found: int | float = struct.unpack(_NUMBERS[tensor.dtype], tensor.place.read(0, 1))[0]
    return found


def _plain(value: Any) -> Any:
    """Return an attribute as JSON has it; a text that is JSON (Keras' configurations) as what it says."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json_object("an attribute", value.encode("utf-8", "replace"))
        except CheckpointUnreadable:
            return value  # a text after all
    if hasattr(value, "tolist"):
        return value.tolist() if value.size <= _SMALL_ITEMS else None
    return value
