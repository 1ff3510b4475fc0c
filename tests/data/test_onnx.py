"""Files of ONNX: what its library writes is understood, weights are never read, a foreign file costs little."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from runctl_jupyter.orchestration.contents import onnx as onnx_reader
from runctl_jupyter.orchestration.contents import protobuf
from runctl_jupyter.orchestration.contents.files import Files
from runctl_jupyter.orchestration.contents.onnx import DTYPES, read
from runctl_jupyter.orchestration.errors import CheckpointUnreadable
from tests.data.held_files import in_memory, named, on_disk, values

KERNEL = np.arange(12, dtype=np.float32).reshape(4, 3)


def model(*tensors: TensorProto) -> onnx.ModelProto:
    nodes = [helper.make_node("MatMul", ["x", "kernel"], ["m"]), helper.make_node("Relu", ["m"], ["y"])]
    nodes.append(helper.make_node("Relu", ["y"], ["z"], name="again"))
    axes: list[Any] = ["batch", 4]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, axes)],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [None, 3])],
        [numpy_helper.from_array(KERNEL, "kernel"), *tensors],
    )
    made = helper.make_model(graph, producer_name="tests", opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(made, {"step": "300", "owner": "größe"})
    onnx.checker.check_model(made) if not tensors else None
    return made


def length(number: int, size: int) -> bytes:
    return bytes([number << 3 | 2]) + varint(size)


def varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def nested(number: int, data: bytes) -> bytes:
    return length(number, len(data)) + data


def folder(held: Mapping[str, bytes]) -> Files:
    return Files({name: len(data) for name, data in held.items()}, lambda name, start, end: held[name][start:end])


def test_what_the_library_writes() -> None:
    files = in_memory(net__onnx=model().SerializeToString())
    contents = read(files, "net.onnx")
    assert (contents.format, contents.step, contents.notes) == ("onnx", 300, ())
    assert contents.metadata == {
        "ir_version": 8,
        "producer": "tests",
        "graph": "net",
        "opset": {"ai.onnx": 17},
        "inputs": {"x": "float32[batch, 4]"},
        "outputs": {"z": "float32[?, 3]"},
        "nodes": 3,
        "operators": {"Relu": 2, "MatMul": 1},
        "metadata": {"step": "300", "owner": "größe"},
    }
    kernel = named(contents)["kernel"]
    assert (kernel.dtype, kernel.shape) == ("float32", (4, 3))
    before = files.requests, files.bytes_read
    assert values(kernel, 5, 7).tolist() == [5, 6]
    assert (files.requests - before[0], files.bytes_read - before[1]) == (1, 8)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "int8", "int16", "int64", "uint8", "uint64", "bool"]
)
def test_values_of_every_type_and_way(dtype: str, raw: bool) -> None:
    array = np.array([[0, 1, 100], [3, 77, 1]]).astype(dtype)
    if dtype.startswith(("int", "float")):
        array[1] = -array[1]
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    plain = array.view(np.uint16) if dtype == "float16" and not raw else array
    held = array.tobytes() if raw else array.reshape(-1) if dtype == "float16" else plain.reshape(-1).tolist()
    tensor = helper.make_tensor("t", kind, array.shape, held, raw=raw)
    found = named(read(in_memory(a__onnx=model(tensor).SerializeToString()), "a.onnx"))["t"]
    assert found.dtype == dtype
    assert (values(found) == array).all()
    assert values(found, 2, 5).tolist() == array.reshape(-1)[2:5].tolist()


def test_types_are_those_of_the_library() -> None:
    for number, name in DTYPES.items():
        said = TensorProto.DataType.Name(number).lower().replace("string", "text").replace("double", "float64")
        assert name == {"float": "float32", "float8e8m0": "float8_e8m0fnu", "float4e2m1": "float4_e2m1"}.get(
            said, said.replace("float8e", "float8_e")
        )


def test_values_in_files_beside_it(tmp_path: Path) -> None:
    onnx.save_model(
        model(numpy_helper.from_array(KERNEL * 2, "other")),
        str(tmp_path / "net.onnx"),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    held = {f"v1/{path.name}": path.read_bytes() for path in tmp_path.iterdir()}
    contents = read(folder(held), "v1/net.onnx")
    assert contents.notes == ()
    assert (values(named(contents)["other"]) == KERNEL * 2).all()
    alone = read(on_disk(tmp_path / "net.onnx"), "net.onnx")
    assert named(alone)["kernel"].place is None
    assert "weights.bin" in alone.notes[0]
    for away in ("../weights.bin", "/etc/passwd", "a/../../b", "..\\weights.bin"):
        moved = onnx.load_model(str(tmp_path / "net.onnx"), load_external_data=False)
        moved.graph.initializer[0].external_data[0].value = away
        with pytest.raises(CheckpointUnreadable, match="outside of its folder"):
            read(folder({**held, "v1/net.onnx": moved.SerializeToString()}), "v1/net.onnx")
    cut = {**held, "v1/weights.bin": held["v1/weights.bin"][:-1]}
    with pytest.raises(CheckpointUnreadable, match="does not hold"):
        read(folder(cut), "v1/net.onnx")


def test_of_a_large_file_little_is_read(tmp_path: Path) -> None:
    """Five gigabytes in two hundred tensors: the graph and their names are read."""
    path, each = tmp_path / "large.onnx", 25 << 20
    heads = [
        nested(1, varint(each)) + bytes([2 << 3, 2]) + nested(8, f"layer.{n}.weight".encode()) + length(9, each)
        for n in range(200)
    ]
    outer = [length(5, len(head) + each) + head for head in heads]
    total = sum(len(head) + each for head in outer)
    with path.open("wb") as file:
        file.write(b"\x08\x08" + length(7, total))
        for head in outer:
            file.write(head)
            file.seek(each, 1)
        file.truncate(file.tell())
    assert path.stat().st_size > 5_000_000_000
    files = on_disk(path)
    contents = read(files, path.name)
    assert sum(tensor.elements for tensor in contents.tensors) == 200 * each
    assert contents.tensors[77].name == "layer.77.weight"
    assert files.bytes_read < 1 << 20
    assert files.requests < 250


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 40,
        b"\xff" * 40,
        b"\x08\x08",
        b"<html>not found</html>",
        nested(7, b"") * 2,
        length(7, 1 << 62),
        b"\x3a" + b"\xff" * 11,
        nested(7, length(5, 100)),
        nested(7, nested(5, nested(1, varint(2)) + b"\x10\x01" + nested(8, b"a") + nested(9, bytes(7)))),
        nested(7, nested(5, nested(1, varint(1 << 63)) + b"\x10\x01")),
        nested(7, nested(5, nested(1, varint(1) * 100) + b"\x10\x01")),
        nested(7, nested(5, b"\x08\x01" * 100)),
        nested(7, nested(11, nested(2, nested(1, nested(2, nested(1, b"\x08\x01") * 100))))),
        nested(7, b"\x0b\x0c"),
    ],
)
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointUnreadable):
        read(in_memory(a__onnx=data), "a.onnx")


@pytest.mark.parametrize(
    ("data", "what"),
    [(nested(7, nested(1, nested(4, b"x")) * 60_000), "more parts"), (nested(7, nested(5, b"") * 30_000), "tensors")],
    ids=["parts", "tensors"],
)
def test_what_has_no_end_ends(data: bytes, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf, "MOST_FIELDS", 100_000)
    monkeypatch.setattr(onnx_reader, "_MOST_TENSORS", 20_000)
    tracemalloc.start()
    with pytest.raises(CheckpointUnreadable, match=what):
        read(in_memory(a__onnx=data), "a.onnx")
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


def test_operators_are_counted_within_bounds() -> None:
    kinds = nested(7, b"".join(nested(1, nested(4, b"op%d" % n)) for n in range(5000)))
    operators = read(in_memory(a__onnx=kinds), "a.onnx").metadata["operators"]
    assert (len(operators), operators["others"]) == (100, 4900)


def test_fewer_numbers_than_the_shape_says() -> None:
    tensor = helper.make_tensor("t", TensorProto.INT64, [3], [1, 2, 300])
    data = model(tensor).SerializeToString()
    shorter = data.replace(b"\x01\x02\xac\x02", b"\x81\x82\xac\x02")
    assert shorter != data
    place = named(read(in_memory(a__onnx=shorter), "a.onnx"))["t"].place
    assert place is not None
    with pytest.raises(CheckpointUnreadable, match="its shape says 3"):
        place.read(0, 3)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for framed in (data, nested(7, data), nested(7, nested(5, data))):
        try:
            read(in_memory(a__onnx=framed), "a.onnx")
        except CheckpointUnreadable:
            continue


def test_damage_anywhere_is_an_error_of_ours() -> None:
    tensors = [helper.make_tensor(f"t{n}", TensorProto.INT32, [4], [n, -n, 1, 2]) for n in range(10)]
    data, chance = model(*tensors).SerializeToString(), random.Random(4)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(1500):
        bad = bytearray(data)
        for _ in range(chance.choice([1, 2, 8])):
            bad[chance.randrange(len(bad))] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        try:
            for tensor in read(in_memory(a__onnx=bytes(bad)), "a.onnx").tensors:
                if tensor.place is not None:
                    tensor.place.read(0, min(tensor.elements, 100))
            outcomes["read"] += 1
        except CheckpointUnreadable:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 0  # whatever else is raised fails the test
