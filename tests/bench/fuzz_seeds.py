"""Files that `fuzz_contents` begins from, real ones where their library is installed, and what of them it changes."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save


@dataclass
class Seed:
    """What is fuzzed: bytes of one file of a checkpoint, or of a part of that file.

    Parameters
    ----------
    examples
        Bytes to begin from.
    name, others
        The file that they are, and the files beside it.
    wrap
        Makes the file of them, where they are a part of it.
    split
        Cuts them into pieces that mean something, to be dropped, doubled and moved.
    """

    what: str
    reader: str
    name: str
    examples: list[bytes]
    others: Mapping[str, bytes] = field(default_factory=dict)
    wrap: Callable[[bytes], bytes] = bytes
    split: Callable[[bytes], list[bytes]] | None = None

    def files(self, data: bytes) -> dict[str, bytes]:
        """Return the files of a checkpoint with this part."""
        return {**self.others, self.name: self.wrap(data)}


def seeds() -> Iterator[Seed]:
    """Yield what can be made here."""
    tensors = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(3, np.int64)}
    safe = [save(tensors, metadata={"step": "5"}), save({"x": np.zeros((0, 2), np.float16)})]
    yield Seed("safetensors", "safetensors", "x.safetensors", safe)
    yield from _numpy(tensors)
    yield from _torch()
    yield from _keras_and_hdf5()
    yield from _onnx()
    folder = {"config.json": b'{"model_type": "t", "hidden_size": 4}', "model-1.safetensors": safe[0]}
    index = json.dumps({"metadata": {"total_size": 32}, "weight_map": dict.fromkeys(tensors, "model-1.safetensors")})
    folder["model.safetensors.index.json"] = index.encode()
    for name, data in folder.items():
        yield Seed(f"huggingface: {name}", "huggingface", name, [data], folder)


def zipped(entries: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return stream.getvalue()


def opcodes(data: bytes) -> list[bytes]:
    """Return the opcodes of a pickle with their arguments, and what is none at the end."""
    places = []
    with suppress(ValueError):
        places.extend(at for _, _, at in pickletools.genops(data))
    return [data[start:end] for start, end in pairwise([*places, len(data)])] if places else [data]


def _numpy(tensors: Mapping[str, np.ndarray]) -> Iterator[Seed]:
    arrays = {**tensors, "o": np.array([1, "x"], object), "f": np.asfortranarray(np.ones((2, 3), ">f8"))}
    alone = []
    for array in arrays.values():
        stream = io.BytesIO()
        np.save(stream, array)
        alone.append(stream.getvalue())
    archives = []
    for write in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        write(stream, allow_pickle=True, **arrays)
        archives.append(stream.getvalue())
    yield Seed("numpy: npy", "numpy", "x.npy", alone)
    yield Seed("numpy: npz", "numpy", "x.npz", archives)
    yield Seed("numpy: npy in npz", "numpy", "x.npz", alone, wrap=lambda data: zipped({"step.npy": data}))


def _torch() -> Iterator[Seed]:
    plain = {"epoch": 3, "names": ["a", 1.5, None, (1, 2)], "state": {"x": np.float64(2), "y": np.arange(3)}}
    pickles = [pickle.dumps(plain, protocol) for protocol in range(6)]
    archives, old = [], [*pickles]
    try:
        import torch
    except ImportError:
        torch = None
    if torch is not None:
        model = torch.nn.Sequential(torch.nn.Linear(3, 2))
        optimizer = torch.optim.AdamW(model.parameters())
        model(torch.randn(4, 3)).sum().backward()
        optimizer.step()
        state = {"model": OrderedDict(model.state_dict()), "optimizer": optimizer.state_dict(), "step": 7}
        odd = {"t": torch.eye(3).t(), "s": torch.eye(3).to_sparse(), "h": torch.ones(2, dtype=torch.bfloat16)}
        for value in (state, odd, model):
            for is_zip in (True, False):
                stream = io.BytesIO()
                torch.save(value, stream, _use_new_zipfile_serialization=is_zip)
                (archives if is_zip else old).append(stream.getvalue())
        yield from _dcp(torch)
    entries: dict[str, bytes] = {}
    for data in archives:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                inner = name.partition("/")[2]
                # Long enough for the tensors of each of the pickles.
                entries[inner] = max(entries.get(inner, b""), archive.read(name), key=len)
                if inner == "data.pkl":
                    pickles.append(archive.read(name))
    entries.pop("data.pkl", None)
    archives = archives or [zipped({"x/data.pkl": pickles[2]})]
    beside = {f"x/{name}": data for name, data in entries.items()}
    yield Seed("torch: zip", "torch", "x.pt", archives)
    yield Seed(
        "torch: data.pkl",
        "torch",
        "x.pt",
        pickles,
        split=opcodes,
        wrap=lambda data: zipped({"x/data.pkl": data, **beside}),
    )
    yield Seed("torch: legacy", "torch", "x.pt", old)


def _dcp(torch: Any) -> Iterator[Seed]:
    import torch.distributed.checkpoint as dcp

    with tempfile.TemporaryDirectory() as folder:
        dcp.save({"model": {"a": torch.arange(6.0), "b": torch.eye(2)}, "step": 3}, checkpoint_id=folder, no_dist=True)
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    yield Seed("dcp: .metadata", "dcp", ".metadata", [files[".metadata"]], files)


def _keras_and_hdf5() -> Iterator[Seed]:
    try:
        import h5py
    except ImportError:
        return
    hdf5 = []
    for newest in (False, True):
        stream = io.BytesIO()
        with h5py.File(stream, "w", libver="latest" if newest else "earliest") as file:
            file.attrs["epoch"] = 3
            file["layer/kernel"] = np.arange(6, dtype=np.float32).reshape(2, 3)
            file.create_dataset("layer/bias", data=np.arange(100.0), chunks=(10,), compression="gzip")
        hdf5.append(stream.getvalue())
    yield Seed("hdf5", "hdf5", "x.h5", hdf5)
    entries = {"config.json": b'{"class_name": "Sequential"}', "metadata.json": b'{"keras_version": "3.0"}'}
    whole = {**entries, "model.weights.h5": hdf5[0]}
    yield Seed("keras: zip", "keras", "x.keras", [zipped(whole)])
    yield Seed("keras: config.json", "keras", "x.keras", [entries["config.json"]],
               wrap=lambda data: zipped({**whole, "config.json": data}))  # fmt: skip


def _onnx() -> Iterator[Seed]:
    try:
        from onnx import helper, numpy_helper
    except ImportError:
        return
    weight = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    inputs = helper.make_tensor_value_info("x", 1, [1, 2])
    output = helper.make_tensor_value_info("y", 1, [1, 3])
    model = helper.make_model(helper.make_graph([node], "g", [inputs], [output], [weight]))
    yield Seed("onnx", "onnx", "x.onnx", [model.SerializeToString()])
