"""Headers of safetensors: what the library writes is understood, what lies is refused."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from runctl_jupyter.orchestration.contents.reading import read
from runctl_jupyter.orchestration.errors import CheckpointUnreadable
from tests.data.held_files import in_memory, named, on_disk, values


def headed(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def told(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_what_the_library_writes() -> None:
    tensors = {
        "fc.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
        "größe": np.array(7, np.int64),
        "half": np.ones((2, 0, 5), np.float16),
        "flag": np.array([True, False]),
    }
    files = in_memory(model__safetensors=save(tensors, metadata={"step": "1200", "epoch": "3", "format": "np"}))
    contents = read(files)
    assert (contents.format, contents.step, contents.epoch, contents.notes) == ("safetensors", 1200, 3, ())
    assert contents.metadata == {"step": "1200", "epoch": "3", "format": "np"}
    found = named(contents)
    assert {name: (each.dtype, each.shape) for name, each in found.items()} == {
        name: (str(each.dtype), each.shape) for name, each in tensors.items()
    }
    for name, each in tensors.items():
        assert (values(found[name]) == each).all()
    before = files.requests, files.bytes_read
    assert values(found["fc.weight"], 5, 7).tolist() == [5.0, 6.0]
    assert (files.requests - before[0], files.bytes_read - before[1]) == (1, 8)


def test_the_step_by_the_name() -> None:
    contents = read(in_memory(**{"epoch=2-step=40__safetensors": save({"a": np.zeros(1)})}))
    assert (contents.step, contents.epoch) == (40, 2)


def test_types_of_eight_bits_and_unknown_ones() -> None:
    header = {
        "a": told("F8_E4M3", [2], [0, 2]),
        "b": told("BF16", [1], [2, 4]),
        "c": told("F4", [8], [4, 8]),
        "d": told("I7\u202e" * 40, [], [8, 8]),
    }
    contents = read(in_memory(a__safetensors=headed(header, b"\x01\x02\x03\x04wxyz")))
    found = named(contents)
    assert [each.dtype for each in found.values()][:3] == ["float8_e4m3fn", "bfloat16", "f4"]
    assert values(found["a"]).tolist() == [1, 2]
    assert values(found["b"]).tolist() == [0x0403]
    assert found["c"].place is None
    assert "f4" in contents.notes[0]


def test_a_hole_is_told() -> None:
    contents = read(in_memory(a__safetensors=headed({"a": told()}, bytes(20))))
    assert "12 B belong to no tensor" in contents.notes[0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\x01",
        bytes(8),
        headed(b"[]"),
        headed(b"{}x"),
        headed(b"{}", length=300),
        headed(b"{}", length=(1 << 64) - 1),
        headed(b"\xff\xfe{\x00}\x00"),
        headed('{"é": 1}'.encode("utf-16")),
        headed(b"{" * 5000),
        headed(b'{"a":' * 100_000),
        headed(b"[" * 400_000),
        headed(b'{"a":' + b"9" * 5000 + b"}"),
        headed(b'{"a":NaN}'),
        headed({"a": 1}),
        headed({"a": {"dtype": "F32"}}),
        headed({"a": told(1)}, bytes(8)),
        headed({"a": told(shape=["x"])}, bytes(8)),
        headed({"a": told(shape=[2.0])}, bytes(8)),
        headed({"a": told(shape=[True, 2])}, bytes(8)),
        headed({"a": told(shape=[-1, -2])}, bytes(8)),
        headed({"a": told(shape=[1] * 65)}, bytes(8)),
        headed({"a": told(shape=[1 << 62, 1 << 62])}, bytes(8)),
        headed({"a": told(shape=[3])}, bytes(8)),
        headed({"a": told(offsets=[0, 8, 8])}, bytes(8)),
        headed({"a": told(offsets=[8, 0])}, bytes(8)),
        headed({"a": told(offsets=[-8, 0])}, bytes(8)),
        headed({"a": told()}, bytes(7)),
        headed({"a": told(), "b": told(offsets=[4, 12])}, bytes(12)),
        headed({"a": told(), "b": told()}, bytes(8)),
        headed(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
        headed({"__metadata__": {"a": 1}}),
        headed({"__metadata__": ["a"]}),
    ],
)  # fmt: skip
def test_what_lies_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointUnreadable) as raised:
        read(in_memory(x__safetensors=data))
    assert len(str(raised.value).splitlines()) == 2


@pytest.mark.parametrize(
    "header",
    [b'{"a":[' + b"[]," * 5_000_000 + b"[]]}", b'{"a":[' + b"1.5," * 3_900_000 + b"1]}", b'{"a":"' + b"x" * 20_000_000],
)
def test_a_bomb_of_json_costs_little(header: bytes) -> None:
    data = headed(header)
    tracemalloc.start()
    with pytest.raises(CheckpointUnreadable):
        read(in_memory(x__safetensors=data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20


def test_metadata_without_end() -> None:
    metadata = {f"k{n}": "v" * 5000 for n in range(1000)}
    told_of_it = read(in_memory(x__safetensors=headed({"__metadata__": metadata}))).metadata
    assert len(told_of_it) == 300
    assert max(map(len, told_of_it.values())) <= 2001
    json.dumps(read(in_memory(x__safetensors=headed({"__metadata__": {"\ud800": "\udfff"}}))).metadata).encode()


def test_of_five_gigabytes_only_the_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.safetensors"
    elements = 5 * 10**9 // 4
    begin = elements * 4
    header = {"a": told("F32", [elements], [0, begin]), "b": told("I16", [4], [begin, begin + 8])}
    with path.open("wb") as stream:
        stream.write(headed(header))
        stream.seek(begin, 1)
        stream.write(np.arange(4, dtype="<i2").tobytes())
    files = on_disk(path)
    found = named(read(files))
    assert (found["a"].elements, files.requests) == (elements, 1)
    assert values(found["b"]).tolist() == [0, 1, 2, 3]
    assert files.bytes_read < 100_000


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes(data: bytes, with_length: bool) -> None:
    if with_length:
        data = headed(data)
    contents = []
    with suppress(CheckpointUnreadable):
        contents.append(read(in_memory(x__safetensors=data)))
    assert not contents or data[8:].lstrip().startswith(b"{")


_SIZES = st.lists(st.one_of(st.integers(-2, 20), st.sampled_from([1 << 62, 1 << 64])), max_size=3)


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.fixed_dictionaries({"dtype": st.sampled_from(["F32", "U8", "F4"]), "shape": _SIZES, "data_offsets": _SIZES}),
        max_size=4,
    ),
    st.integers(0, 40),
)
def test_any_header(header: dict[str, Any], size: int) -> None:
    files = in_memory(x__safetensors=headed(header, bytes(size)))
    try:
        contents = read(files)
    except CheckpointUnreadable:
        return
    for tensor in contents.tensors:
        if tensor.place is not None:
            assert len(tensor.place.read(0, tensor.elements)) == tensor.size
