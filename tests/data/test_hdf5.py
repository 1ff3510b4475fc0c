"""Files of HDF5: what h5py writes is understood, a foreign file costs little and does nothing."""

from __future__ import annotations

import json
import random
import struct
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from runctl_jupyter.orchestration.contents import hdf5_file
from runctl_jupyter.orchestration.contents.reading import read
from runctl_jupyter.orchestration.errors import CheckpointUnreadable
from tests.data.held_files import in_memory, named, on_disk, values

ARRAYS = {
    "dense/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "dense/bias": np.arange(3, dtype=np.float16),
    "big_endian": np.arange(4, dtype=">f8"),
    "flags": np.array([True, False, True]),
    "wave": np.array([1 + 2j, 3 - 4j], np.complex64),
    "scalar": np.array(9, np.int64),
    "none": np.zeros((0, 3), np.uint8),
}


@pytest.fixture(params=["earliest", "v110"])
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file in the old structures of HDF5, and one in the new: they have little in common."""
    path = tmp_path / "model.h5"
    with h5py.File(path, "w", libver=(request.param, "latest")) as file:
        file.attrs["step"] = 120
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "layers": 3})
        for name, array in ARRAYS.items():
            file.create_dataset(name, data=array)
        file.create_dataset("texts", data=["a", "bb"])
        file["again"] = h5py.SoftLink("/scalar")
        file["dense/up"] = file["/"]
        for n in range(40):  # more than a node of a tree holds
            file[f"many/{n}"] = np.full(2, n, np.int16)
            file["many"].attrs[f"note {n}"] = "x" * n
    return path


def test_what_h5py_writes(golden: Path) -> None:
    files = on_disk(golden)
    contents = read(files)
    assert (contents.format, contents.step, contents.epoch) == ("hdf5", 120, None)
    assert contents.metadata["model_config"] == {"class_name": "Sequential", "layers": 3}
    found = named(contents)
    assert set(found) == {*ARRAYS, "texts", *(f"many/{n}" for n in range(40))}
    for name, array in ARRAYS.items():
        tensor = found[name]
        assert tensor.shape == array.shape
        if name in {"flags", "wave"} and tensor.place is None:
            continue  # new structures of enumerations and pairs are not understood by pyfive
        assert tensor.dtype == array.dtype.newbyteorder("=").name
        assert (values(tensor) == array).all()
    assert values(found["many/37"]).tolist() == [37, 37]
    assert (found["texts"].dtype, found["texts"].place) == ("text", None)
    before = files.bytes_read
    assert values(found["dense/kernel"], 4, 6).tolist() == [4.0, 5.0]
    assert files.bytes_read - before == 8


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"compression": "gzip"},
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        {"shuffle": True},
    ],
)
def test_chunks(how: dict[str, Any], tmp_path: Path) -> None:
    array = np.random.default_rng(1).normal(size=(50, 30, 7)).astype(np.float32)
    path = tmp_path / "c.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("w", data=array, chunks=(16, 9, 7), **how)
        file.create_dataset("empty", shape=(9, 9), dtype="f4", chunks=(4, 4), **how)
    files = on_disk(path)
    found = named(read(files))
    structure = files.bytes_read
    assert (values(found["w"]) == array).all()
    for start, stop in ((0, 1), (10499, 10500), (777, 4003), (3360, 3361), (5, 5)):
        assert (values(found["w"], start, stop) == array.reshape(-1)[start:stop]).all()
    assert not values(found["empty"]).any()
    assert structure < array.nbytes


def test_a_chunk_that_was_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("w", data=np.arange(512, dtype=np.uint8), chunks=(512,), fletcher32=True)
    data = path.read_bytes()
    at = data.index(bytes(range(100, 200)))
    path.write_bytes(data[:at] + b"\0" + data[at + 1 :])
    place = named(read(on_disk(path)))["w"].place
    assert place is not None
    with pytest.raises(CheckpointUnreadable, match="HDF5"):
        place.read(0, 512)


def test_a_model_of_keras_as_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "whole.h5"
    training = {"optimizer_config": {"class_name": "Adam", "config": {"name": "adam", "learning_rate": 0.25}}}
    with h5py.File(path, "w") as file:
        file.attrs["training_config"] = json.dumps(training).encode()
        file["model_weights/dense/kernel:0"] = np.ones((2, 2), np.float32)
        file["optimizer_weights/Adam/iterations:0"] = np.int64(44)
        file["optimizer_weights/Adam/m/kernel:0"] = np.zeros((2, 2), np.float32)
    contents = read(on_disk(path))
    assert {name: tensor.part for name, tensor in named(contents).items()} == {
        "model_weights/dense/kernel": "model",
        "optimizer_weights/Adam/iterations": "optimizer",
        "optimizer_weights/Adam/m/kernel": "optimizer",
    }
    assert (contents.step, contents.optimizer) == (44, {"name": "adam", "lr": 0.25})


def test_weights_of_keras_3_in_bfloat16(tmp_path: Path) -> None:
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w") as file:
        weights = file.create_dataset("layers/dense/vars/0", data=np.array([1, 2], "<u2").view("V2"))
        weights.attrs["dtype"] = "bfloat16"
        file["optimizer/vars/0"] = np.int32(8)
        file["optimizer/vars/1"] = np.float32(0.5)
    contents = read(on_disk(path))
    tensor = named(contents)["layers/dense/vars/0"]
    assert (tensor.dtype, values(tensor).tolist()) == ("bfloat16", [1, 2])
    assert (contents.step, contents.optimizer) == (8, {"lr": 0.5})


def test_of_a_large_file_little_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.h5"
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    early.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    rows = 250_000_000
    with h5py.File(path, "w") as file:
        for n in range(6):
            space = h5py.h5s.create_simple((rows, 4))
            h5py.h5d.create(file.id, f"w{n}".encode(), h5py.h5t.IEEE_F32LE, space, dcpl=early)
        file["w3"][rows - 1] = [1, 2, 3, 4]
    assert path.stat().st_size > 20 << 30
    files = on_disk(path)
    tensor = named(read(files))["w3"]
    assert values(tensor, tensor.elements - 4, tensor.elements).tolist() == [1, 2, 3, 4]
    assert files.bytes_read < 1 << 20
    assert files.requests < 30


def test_nothing_outside_is_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.bin"
    outside.write_bytes(bytes(range(16)))
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("raw", shape=(16,), dtype="u1", external=[(str(outside), 0, 16)])
    contents = read(on_disk(path))
    assert named(contents)["raw"].place is None
    assert "1 datasets" in contents.notes[0]
    with h5py.File(path, "a") as file:
        file["link"] = h5py.ExternalLink(str(outside), "x")
    with pytest.raises(CheckpointUnreadable):
        read(on_disk(path))


def test_what_claims_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("w", shape=(1 << 40,), dtype="f4", chunks=(1 << 20,), compression="gzip")
    with pytest.raises(CheckpointUnreadable, match="more than the file can hold"):
        read(on_disk(path))
    with h5py.File(path, "w") as file:
        group: Any = file
        for _ in range(200):
            group = group.create_group("g")
    with pytest.raises(CheckpointUnreadable, match="more groups"):
        read(on_disk(path))


def test_a_chunk_that_inflates_beyond_its_size_stops(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("w", data=np.zeros(64 << 20, np.uint8), chunks=(64 << 20,), compression="gzip")
    data = path.read_bytes()
    # The same chunk of 64 MB, in a dataset and a chunk that claim 64 bytes.
    claimed, small = struct.pack("<Q", 64 << 20), struct.pack("<Q", 64)
    assert claimed in data
    data = data.replace(claimed, small).replace(struct.pack("<II", 64 << 20, 1), struct.pack("<II", 64, 1))
    place = named(read(in_memory(m__h5=data)))["w"].place
    assert place is not None
    tracemalloc.start()
    with pytest.raises(CheckpointUnreadable, match="should have 64"):
        place.read(0, 64)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_headers_of_nothing_but_small_messages_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tens of thousands of messages in each of hundreds of groups, which all lie in the same bytes."""
    monkeypatch.setattr(hdf5_file, "_CPU_SECONDS", 1.0)
    group = b"OHDR\x02\x02" + struct.pack("<I", 300 << 10)
    head = b"\x89HDF\r\n\x1a\n\x02\x08\x08\x00" + struct.pack("<QQQQ", 0, 2**64 - 1, 1 << 22, 4096) + bytes(4)
    links = b"".join(
        struct.pack("<BHB", 6, 13, 0) + struct.pack("<BBB2sQ", 1, 0, 2, b"%02x" % n, 65536 + 16 * n) for n in range(250)
    )
    root = b"OHDR\x02\x01" + struct.pack("<H", len(links)) + links + bytes(4)
    data = bytearray(head.ljust(4096, b"\0") + root).ljust(1 << 22, b"\0")
    for n in range(250):
        data[65536 + 16 * n : 65536 + 16 * n + len(group)] = group
    tracemalloc.start()
    begun = time.thread_time()
    with pytest.raises(CheckpointUnreadable, match="larger than that of any model"):
        read(in_memory(m__h5=bytes(data)))
    assert time.thread_time() - begun < 4
    assert tracemalloc.get_traced_memory()[1] < 128 << 20
    tracemalloc.stop()


def test_damage_anywhere_is_an_error_of_ours(golden: Path) -> None:
    data, chance = golden.read_bytes(), random.Random(5)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(300):
        bad = bytearray(data)
        for _ in range(chance.choice([1, 2, 8])):
            at = chance.randrange(len(bad) - 8)
            bad[at : at + 8] = chance.choice([bytes(8), b"\xff" * 8, chance.randbytes(8), bad[:8]])
        bad = bad[: chance.choice([len(bad), chance.randrange(len(bad))])]
        try:
            contents = read(in_memory(m__h5=bytes(bad)))
            for tensor in contents.tensors:
                if tensor.place is not None:
                    tensor.place.read(0, min(tensor.elements, 1000))
            outcomes["read"] += 1
        except CheckpointUnreadable:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 0  # whatever else is raised fails the test


def test_what_to_do_without_the_library(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyfive.core", None)
    with pytest.raises(CheckpointUnreadable, match=r"runctl-jupyter\[hdf5\]"):
        read(on_disk(golden))
