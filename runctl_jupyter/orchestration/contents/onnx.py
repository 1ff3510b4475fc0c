"""Reads ONNX: weights, inputs and outputs, and which operators; of the weights themselves nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.contents.bounds import damaged, facts, progress, short_text, some
from runctl_jupyter.orchestration.contents.model import ITEM_BYTES, Bytes, Contents, Place, Tensor
from runctl_jupyter.orchestration.contents.protobuf import BYTES, VARINT, Field, Wire, varints
from runctl_jupyter.orchestration.contents.siblings import sibling
from runctl_jupyter.orchestration.errors import CheckpointUnreadable

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.contents.files import Files

DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "text",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8_e4m3fn",
    18: "float8_e4m3fnuz",
    19: "float8_e5m2",
    20: "float8_e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4_e2m1",
    24: "float8_e8m0fnu",
}
"""`TensorProto.DataType`."""
_FLOATS, _INTEGERS, _LONGS, _RAW, _DOUBLES, _UNSIGNED = 4, 5, 7, 9, 10, 11
_AS_NUMBERS = {_FLOATS, _INTEGERS, _LONGS, _DOUBLES, _UNSIGNED}
"""Fields of a tensor that may hold its values; `_RAW` holds them as they are."""
_MOST_TENSORS, _MOST_AXES, _MOST_SHOWN = 200_000, 64, 100
_MOST_PACKED = 16 << 20


@dataclass
class _Model:
    facts: dict[str, Any] = field(default_factory=dict)
    opset: dict[str, int] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    operators: Counter[str] = field(default_factory=Counter)
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)
    elsewhere: set[str] = field(default_factory=set)
    sparse: int = 0
    graphs: int = 0


def read(files: Files, name: str) -> Contents:
    """Return what a file of ONNX holds.

    Raises
    ------
    CheckpointUnreadable
        It is none, is cut short, or names values outside its folder.
    """
    model = _Reader(files, name).read()
    if model.graphs != 1:
        raise damaged(f"{name} holds no model of ONNX.")
    weights = {tensor.name for tensor in model.tensors}
    told = model.facts | {
        "opset": model.opset,
        "inputs": {key: kind for key, kind in model.inputs.items() if key not in weights},
        "outputs": model.outputs,
        "nodes": model.operators.total(),
        "operators": dict(model.operators.most_common(_MOST_SHOWN)),
    }
    step, epoch = progress(model.properties, name)
    notes = []
    if model.elsewhere:
        notes.append(f"values in {some(sorted(model.elsewhere))} cannot be read: not among the checkpoint's files")
    if model.sparse:
        notes.append(f"{model.sparse:,} sparse tensors are left out")
    return Contents(
        "onnx", tuple(model.tensors), facts(told | {"metadata": model.properties}), step, epoch, notes=tuple(notes)
    )


class _Reader:
    def __init__(self, files: Files, name: str) -> None:
        self._files, self._name, self._wire, self._model = files, name, Wire(files, name), _Model()

    def read(self) -> _Model:
        model = self._model
        texts = {2: "producer", 3: "producer_version", 4: "domain"}
        for each in self._wire.fields(0, self._wire.size):
            if each.number in {1, 5} and each.kind == VARINT:
                model.facts["ir_version" if each.number == 1 else "model_version"] = each.signed
            elif each.kind == BYTES and each.number in texts:
                model.facts[texts[each.number]] = self._wire.text(each)
            elif each.kind == BYTES and each.number == 7:
                model.graphs += 1
                self._graph(each)
            elif each.kind == BYTES and each.number == 8:
                self._opset(each)
            elif each.kind == BYTES and each.number == 14 and len(model.properties) < _MOST_SHOWN:
                key, value = self._pair(each)
                model.properties[key] = value
        return model

    def _inside(self, outer: Field) -> Iterator[Field]:
        return self._wire.fields(outer.start, outer.end)

    def _graph(self, graph: Field) -> None:
        model = self._model
        for each in self._inside(graph):
            if each.kind != BYTES:
                continue
            if each.number == 1:
                self._node(each)
            elif each.number == 2:
                model.facts["graph"] = self._wire.text(each)
            elif each.number == 5:
                if len(model.tensors) >= _MOST_TENSORS:
                    raise damaged(f"{self._name} has more tensors than any model.")
                model.tensors.append(self._tensor(each))
            elif each.number in {11, 12}:
                into = model.inputs if each.number == 11 else model.outputs
                if len(into) < _MOST_TENSORS:
                    into.update([self._value(each)])
            elif each.number == 15:
                model.sparse += 1

    def _node(self, node: Field) -> None:
        for each in self._inside(node):
            if each.number == 4 and each.kind == BYTES:
                operator = self._wire.text(each, 100)
                known = len(self._model.operators) < _MOST_SHOWN or operator in self._model.operators
                self._model.operators[operator if known else "others"] += 1

    def _opset(self, opset: Field) -> None:
        domain, version = "", 0
        for each in self._inside(opset):
            if each.number == 1 and each.kind == BYTES:
                domain = self._wire.text(each, 100)
            elif each.number == 2 and each.kind == VARINT:
                version = each.signed
        if len(self._model.opset) < _MOST_SHOWN:
            self._model.opset[domain or "ai.onnx"] = version

    def _pair(self, pair: Field) -> tuple[str, str]:
        told = {each.number: self._wire.text(each) for each in self._inside(pair) if each.kind == BYTES}
        return told.get(1, ""), told.get(2, "")

    def _value(self, value: Field) -> tuple[str, str]:
        """Return name and type of an input or output: ``float32[batch, 3]``."""
        name, kind = "", ""
        for each in self._inside(value):
            if each.number == 1 and each.kind == BYTES:
                name = self._wire.text(each, 1000)
            elif each.number == 2 and each.kind == BYTES:
                kind = next((self._type(t) for t in self._inside(each) if t.number == 1 and t.kind == BYTES), "")
        return name, kind or "not a tensor"

    def _type(self, kind: Field) -> str:
        dtype, axes = "", []
        for each in self._inside(kind):
            if each.number == 1 and each.kind == VARINT:
                dtype = DTYPES.get(each.value, f"type {each.value}")
            elif each.number == 2 and each.kind == BYTES:
                for axis in self._inside(each):
                    told = next(self._inside(axis), None) if axis.kind == BYTES else None
                    axes.append("?" if told is None else self._length(told))
                    if len(axes) > _MOST_AXES:
                        raise damaged(f"{self._name} has an input or output of more than {_MOST_AXES} axes.")
        return f"{dtype}[{', '.join(axes)}]"

    def _length(self, told: Field) -> str:
        return self._wire.text(told, 100) if told.kind == BYTES else str(told.signed)

    def _tensor(self, tensor: Field) -> Tensor:
        name, kind, shape, external = "", 0, list[int](), dict[str, str]()
        held: list[Field] = []
        for each in self._inside(tensor):
            if each.number == 1:
                shape += self._wire.numbers(each, _MOST_AXES)
            elif each.number == 2 and each.kind == VARINT:
                kind = each.value
            elif each.number == 8 and each.kind == BYTES:
                name = self._wire.text(each)
            elif each.number == 13 and each.kind == BYTES and len(external) < _MOST_SHOWN:
                key, value = self._pair(each)
                external[key] = value
            elif each.number in {_RAW, *_AS_NUMBERS}:
                held.append(each)
            if len(shape) > _MOST_AXES or any(not 0 <= length < 1 << 63 for length in shape):
                raise damaged(f"{short_text(name, 200)!r} in {self._name} has a shape that no tensor has.")
        dtype = DTYPES.get(kind, f"type {kind}")
        place = self._external(name, dtype, shape, external) if external else self._place(name, dtype, shape, held)
        return Tensor(name, dtype, tuple(shape), place)

    def _place(self, name: str, dtype: str, shape: list[int], held: list[Field]) -> Place | None:
        item = ITEM_BYTES.get(dtype)
        if item is not None and not held and not prod(shape):
            return Bytes(self._files, self._name, 0, item)
        if item is None or len(held) != 1 or held[0].kind != BYTES:
            return None
        values = held[0]
        if values.number in {_RAW, _FLOATS, _DOUBLES}:
            if values.value != prod(shape) * item:
                told = f"{short_text(name, 200)!r} in {self._name} has {values.value:,} bytes"
                raise damaged(f"{told}, its shape says another number.")
            return Bytes(self._files, self._name, values.start, item)
        return _Varints(self._files, self._name, values.start, values.end, prod(shape), item)

    def _external(self, name: str, dtype: str, shape: list[int], told: Mapping[str, str]) -> Place | None:
        location, item = told.get("location", ""), ITEM_BYTES.get(dtype)
        path = sibling(self._name, location)
        if path not in self._files:
            self._model.elsewhere.add(path)
            return None
        size = None if item is None else prod(shape) * item
        try:
            offset, length = int(told.get("offset") or 0), int(told.get("length") or size or 0)
        except ValueError:
            offset = length = -1
        if size is None:
            return None
        if length != size or not 0 <= offset <= self._files.size(path) - size:
            raise damaged(f"{path} does not hold what {short_text(name, 200)!r} in {self._name} says.")
        return Bytes(self._files, path, offset, item or 1)


@dataclass(frozen=True)
class _Varints:
    """Values written as numbers of as many bytes as each needs: all before one have to be read."""

    files: Files
    name: str
    start: int
    end: int
    count: int
    item_bytes: int

    def read(self, start: int, stop: int) -> bytes:
        """Return elements; see `Place.read`."""
        if self.end - self.start > _MOST_PACKED:
            raise CheckpointUnreadable(
                f"A tensor of {self.name} is written number by number, {self.end - self.start:,} bytes of them.",
                "Save the model anew: tensors as large belong into raw_data.",
            )
        found = varints(self.files.data(self.name, self.start, self.end))
        if len(found) != self.count:
            raise damaged(f"A tensor of {self.name} has {len(found):,} values, its shape says {self.count:,}.")
        bits = (1 << 8 * self.item_bytes) - 1
        return b"".join((value & bits).to_bytes(self.item_bytes, "little") for value in found[start:stop])
