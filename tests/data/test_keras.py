"""Files of Keras: an archive whose weights are read where they lie."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from runctl_jupyter.orchestration.contents.reading import read
from runctl_jupyter.orchestration.errors import CheckpointUnreadable
from tests.data.held_files import in_memory, named, on_disk, values

KERNEL = np.arange(60_000, dtype=np.float32).reshape(200, 300)
CONFIG = {
    "class_name": "Sequential",
    "config": {"name": "net"},
    "compile_config": {
        "optimizer": {"class_name": "Adam", "config": {"name": "adam", "learning_rate": 0.5, "beta_1": 0.9}}
    },
}


def weights() -> bytes:
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        file["layers/dense/vars/0"] = KERNEL
        file["optimizer/vars/0"] = np.int32(77)
        file["optimizer/vars/2"] = np.zeros(3, np.float32)
    return data.getvalue()


def archive(how: int = zipfile.ZIP_STORED, **more: Any) -> bytes:
    entries = {
        "metadata.json": json.dumps({"keras_version": "3.9.9"}),
        "config.json": json.dumps(CONFIG),
        "model.weights.h5": weights(),
        **{name.replace("__", "."): each for name, each in more.items()},
    }
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", how) as packed:
        for name, each in entries.items():
            if each is not None:
                packed.writestr(name, each)
    return data.getvalue()


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_a_model(how: int) -> None:
    contents = read(in_memory(net__keras=archive(how)))
    assert (contents.format, contents.step, contents.notes) == ("keras", 77, ())
    assert contents.metadata["keras_version"] == "3.9.9"
    assert contents.metadata["config"]["class_name"] == "Sequential"
    assert contents.optimizer == {"lr": 0.5, "name": "adam", "beta_1": 0.9}
    found = named(contents)
    assert {name: tensor.part for name, tensor in found.items()} == {
        "layers/dense/vars/0": "model",
        "optimizer/vars/0": "optimizer",
        "optimizer/vars/2": "optimizer",
    }
    assert (values(found["layers/dense/vars/0"]) == KERNEL).all()


def test_weights_are_read_where_they_lie(tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    path.write_bytes(archive())
    files = on_disk(path)
    tensor = named(read(files))["layers/dense/vars/0"]
    before = files.bytes_read
    assert before < 200_000 < KERNEL.nbytes
    assert values(tensor, 30_000, 30_002).tolist() == [30_000, 30_001]
    assert files.bytes_read - before < 4096


def test_one_that_is_hdf5_by_another_name() -> None:
    assert read(in_memory(old__keras=weights())).format == "hdf5"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04",
        archive()[:-30],
        archive(model__weights__h5=None),
        archive(model__weights__h5=b"\x89HDF"),
        archive(model__weights__h5=weights()[:3000]),
        archive(config__json="["),
    ],
    ids=["empty", "head", "cut", "no weights", "no HDF5", "weights cut", "no JSON"],
)
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointUnreadable):
        read(in_memory(net__keras=data))


def test_a_bomb_is_not_unpacked() -> None:
    """Of 128 MB of zeros, 128 kB when deflated, nothing is unpacked."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        with packed.open("model.weights.h5", "w", force_zip64=True) as entry:
            for _ in range(128):
                entry.write(bytes(1 << 20))
    with pytest.raises(CheckpointUnreadable, match=r"134\.2 MB, not"):
        read(in_memory(net__keras=data.getvalue()))
