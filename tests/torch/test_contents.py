"""What real files of PyTorch hold, without PyTorch: names, types, values as PyTorch itself sees them."""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from runctl_jupyter.orchestration.contents.model import Contents
from runctl_jupyter.orchestration.contents.reading import read
from runctl_jupyter.orchestration.errors import CheckpointUnreadable
from tests.data.held_files import in_memory, named, on_disk, values

BOTH = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])


def saved(value: Any, *, is_zip: bool = True) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=is_zip)
    return stream.getvalue()


def look(data: bytes, name: str = "x__pt") -> Contents:
    contents = read(in_memory(**{name: data}))
    json.dumps([contents.metadata, contents.optimizer, contents.notes], allow_nan=False).encode()
    return contents


def same(found: Any, tensor: torch.Tensor, **part: int) -> bool:
    bits = {1: torch.uint8, 2: torch.uint16, 4: torch.int32, 8: torch.int64}
    seen = values(found, **part)
    plain = tensor.detach().contiguous()
    if seen.dtype.name != str(plain.dtype).removeprefix("torch."):
        plain = plain.view(bits[plain.element_size()])
    wanted = plain.numpy()
    wanted = wanted if not part else wanted.reshape(-1)[part["start"] : part["stop"]]
    return seen.tobytes() == np.ascontiguousarray(wanted).tobytes()


def net() -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Linear(5, 3), torch.nn.BatchNorm1d(3), torch.nn.Sequential(torch.nn.Linear(3, 2, bias=False))
    )


def trained(model: torch.nn.Module) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW(
        [{"params": list(model[0].parameters())}, {"params": list(model[2].parameters()), "lr": 0.5}], lr=0.01
    )
    model(torch.randn(4, 5)).sum().backward()
    optimizer.step()
    return optimizer


@BOTH
def test_model_and_optimizer(is_zip: bool) -> None:
    model = net()
    optimizer = trained(model)
    rng = torch.get_rng_state()
    contents = look(
        saved(
            {
                "epoch": 3,
                "step": np.int64(120),
                "model_state_dict": model.state_dict(),
                "optimizer_state_dict": optimizer.state_dict(),
                "rng_state": rng,
                "best": float("inf"),
                "loss": np.float32(0.5),
                "args": argparse.Namespace(lr=0.01, layers=[1, 2], root=Path("/data/x")),
                "history": [1.0, 2.0],
            },
            is_zip=is_zip,
        )
    )
    assert (contents.format, contents.step, contents.epoch) == ("torch", 120, 3)
    found = named(contents)
    state = model.state_dict()
    assert [name for name, each in found.items() if each.part == "model"] == list(state)
    for name, tensor in state.items():
        assert (found[name].dtype, found[name].shape) == (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        assert same(found[name], tensor)
    moments = optimizer.state_dict()["state"][2]["exp_avg"]
    assert same(found["optimizer_state_dict.state.2.exp_avg"], moments)
    assert {each.part for name, each in found.items() if name.startswith("optimizer")} == {"optimizer"}
    assert (found["rng_state"].part, same(found["rng_state"], rng)) == ("other", True)
    told = contents.optimizer
    assert (told["lr"], told["betas"], told["weight_decay"]) == ([0.01, 0.5], [0.9, 0.999], 0.01)
    assert (told["param_groups"], told["states"]) == (2, 3)
    assert contents.metadata == {
        "epoch": 3,
        "step": 120,
        "best": "inf",
        "loss": 0.5,
        "args": {"lr": 0.01, "layers": [1, 2], "root": "/data/x"},
        "history": [1.0, 2.0],
    }
    assert contents.notes == ("not loaded, and not run: argparse.Namespace",)


@BOTH
def test_a_state_dict_alone(is_zip: bool) -> None:
    model = net()
    contents = look(saved(model.state_dict(), is_zip=is_zip), "epoch_7__pth")
    assert list(named(contents)) == list(model.state_dict())
    assert (contents.step, contents.epoch, contents.notes, contents.optimizer) == (7, 7, (), {})


def test_an_optimizer_alone() -> None:
    contents = look(saved(trained(net()).state_dict()))
    assert {each.part for each in contents.tensors} == {"optimizer"}
    assert contents.optimizer["states"] == 3
    assert contents.metadata == {}


TYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128, torch.int8,
    torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.bool,
    torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu,
]  # fmt: skip


def test_types() -> None:
    state = {str(kind): torch.arange(6).to(kind).reshape(2, 3) for kind in TYPES}
    found = named(look(saved(state)))
    for name, tensor in state.items():
        assert f"torch.{found[name].dtype}" == name
        assert same(found[name], tensor), name
        assert same(found[name], tensor, start=2, stop=5), name


@BOTH
def test_views(is_zip: bool) -> None:
    base = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).reshape(2, 3, 4, 5)
    state = {
        "base": base,
        "transposed": base.transpose(0, 3),
        "permuted": base.permute(2, 0, 3, 1),
        "column": base[..., 2],
        "row": base[1, 2, 1:],
        "steps": base[:, ::2, :, 1::3],
        "expanded": torch.tensor([7.0]).expand(3, 4),
        "scalar": base[1, 2, 3, 4],
        "nothing": base[:, :0],
        "parameter": torch.nn.Parameter(base[0].t() if base[0].dim() == 2 else base[0]),
        "conjugate": torch.view_as_complex(base[..., :2].contiguous()).transpose(0, 1),
    }
    files = in_memory(x__pt=saved(state, is_zip=is_zip))
    found = named(read(files))
    for name, tensor in state.items():
        assert found[name].shape == tuple(tensor.shape)
        for start in range(0, tensor.numel(), 7):
            stop = min(start + 9, tensor.numel())
            requests = files.requests
            assert same(found[name], tensor, start=start, stop=stop), (name, start)
            assert files.requests <= requests + 1


def test_tied_weights_share_their_bytes() -> None:
    embedding = torch.nn.Embedding(1000, 8)
    head = torch.nn.Linear(8, 1000, bias=False)
    head.weight = embedding.weight
    data = saved({"embedding": embedding.state_dict(), "head": head.state_dict()})
    found = named(look(data))
    assert len(data) < 2 * embedding.weight.numel() * 4
    assert same(found["embedding.weight"], head.weight)
    assert same(found["head.weight"], head.weight)


def test_what_has_no_plain_values_is_named() -> None:
    quantised = torch.quantize_per_tensor(torch.ones(3, 2), 0.1, 0, torch.qint8)
    contents = look(
        saved(
            {
                "coo": torch.eye(4).to_sparse(),
                "csr": torch.eye(5).to_sparse_csr(),
                "quantised": quantised,
                "meta": torch.empty(7, 8, device="meta"),
                "plain": torch.ones(2),
            }
        )
    )
    found = named(contents)
    assert {name: (each.dtype, each.shape) for name, each in found.items()} == {
        "coo": ("float32", (4, 4)),
        "csr": ("float32", (5, 5)),
        "quantised": ("qint8", (3, 2)),
        "meta": ("float32", (7, 8)),
        "plain": ("float32", (2,)),
    }
    assert [name for name, each in found.items() if each.place is not None] == ["plain"]
    assert any("2 cannot be read: sparse tensors" in note for note in contents.notes)


def test_a_checkpoint_of_lightning() -> None:
    model = net()
    contents = look(
        saved(
            {
                "epoch": 4,
                "global_step": 250,
                "pytorch-lightning_version": "2.5.0",
                "state_dict": OrderedDict(model.state_dict()),
                "loops": {"fit_loop": {"epoch_progress": {"total": {"ready": 5}}}, "sum": torch.zeros(())},
                "callbacks": {"ModelCheckpoint{'monitor': 'val'}": {"best_model_score": torch.tensor(0.25)}},
                "optimizer_states": [trained(model).state_dict()],
                "lr_schedulers": [{"last_epoch": 4, "_last_lr": [0.01]}],
                "hyper_parameters": {"lr": 0.01, "depth": 3},
            }
        ),
        "epoch=4-step=250__ckpt",
    )
    assert (contents.step, contents.epoch) == (250, 4)
    found = named(contents)
    assert [name for name, each in found.items() if each.part == "model"] == list(model.state_dict())
    assert found["optimizer_states.0.state.0.exp_avg"].part == "optimizer"
    assert contents.metadata["hyper_parameters"] == {"lr": 0.01, "depth": 3}
    assert contents.metadata["pytorch-lightning_version"] == "2.5.0"
    assert contents.optimizer["param_groups"] == 2


@BOTH
def test_a_whole_module_without_its_class(is_zip: bool) -> None:
    model = net()
    contents = look(saved(model, is_zip=is_zip))
    assert sorted(named(contents)) == sorted(model.state_dict())
    assert all(same(named(contents)[name], tensor) for name, tensor in model.state_dict().items())
    assert "torch.nn.modules.container.Sequential" in contents.notes[-1]


def test_torchscript(tmp_path: Path) -> None:
    model = net().eval()
    torch.jit.trace(model, torch.randn(2, 5)).save(str(tmp_path / "x.pt"))
    contents = look((tmp_path / "x.pt").read_bytes())
    found = named(contents)
    state = model.state_dict()
    assert set(found) >= {name for name in state if not name.endswith("num_batches_tracked")}
    assert all(same(found[name], state[name]) for name in found if name in state)
    assert contents.notes[0].startswith("TorchScript")


def test_a_module_keeps_the_name_of_its_part(tmp_path: Path) -> None:
    class Outer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = torch.nn.Linear(2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.model(x)

    torch.jit.trace(Outer(), torch.randn(2, 2)).save(str(tmp_path / "x.pt"))
    assert sorted(named(look((tmp_path / "x.pt").read_bytes()))) == ["model.bias", "model.weight"]


def test_tensors_that_are_not_in_a_dictionary() -> None:
    assert list(named(look(saved(torch.ones(2))))) == ["tensor"]
    assert list(named(look(saved([torch.ones(2), {"a": torch.ones(1)}])))) == ["0", "1.a"]
    assert list(named(look(saved({"a.b": torch.ones(2), "a": {"b": torch.ones(1)}})))) == ["a.b", "a.b (2)"]


def test_arrays_of_numpy_in_a_file_of_torch() -> None:
    arrays = {
        "c": np.arange(6, dtype="<i4").reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6, dtype="<f4").reshape(2, 3)),
        "big": np.arange(6, dtype=">f8"),
        "texts": np.array(["ab", "c"]),
        "objects": np.array([1, "x"], object),
        "records": np.zeros(2, [("a", "<f4"), ("b", "<i4")]),
    }
    found = named(look(saved(arrays)))
    for name in ("c", "fortran", "big"):
        assert (values(found[name]) == arrays[name]).all()
    assert [name for name, each in found.items() if each.place is None] == ["texts", "objects", "records"]


def test_big_endian(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"a": torch.arange(4, dtype=torch.int32), "c": torch.tensor([1 + 2j], dtype=torch.complex64)}
    swapped = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(state))) as source, zipfile.ZipFile(swapped, "w") as target:
        for info in source.infolist():
            data = source.read(info)
            if info.filename.endswith("/byteorder"):
                data = b"big"
            elif "/data/" in info.filename:
                data = np.frombuffer(data, "<u4").astype(">u4").tobytes()
            target.writestr(info, data)
    found = named(look(swapped.getvalue()))
    assert all(same(found[name], tensor) for name, tensor in state.items())


def test_an_archive_packed_anew() -> None:
    state = {"a": torch.arange(400_000), "b": torch.zeros(5)}
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(state))) as source:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
            for info in source.infolist():
                target.writestr(info.filename, source.read(info))
    found = named(look(packed.getvalue()))
    assert all(same(found[name], tensor) for name, tensor in state.items())
    assert same(found["a"], state["a"], start=399_000, stop=399_010)


def test_of_five_gigabytes_little_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.pt"
    big = 5 * 10**9
    with torch.serialization.skip_data():
        torch.save({"model": {"a": torch.empty(big, dtype=torch.uint8), "b": torch.arange(10.0)}, "step": 9}, path)
    assert path.stat().st_size > big
    files = on_disk(path)
    contents = read(files)
    assert contents.step == 9
    found = named(contents)
    assert found["a"].elements == big
    assert files.bytes_read < 1_000_000
    for tensor, start in ((found["a"], 0), (found["b"], 3), (found["a"], big - 10)):
        requests, bytes_read = files.requests, files.bytes_read
        assert tensor.place is not None
        assert not any(tensor.place.read(start, start + 5))
        assert (files.requests - requests, files.bytes_read - bytes_read < 2000) == (1, True)


@BOTH
def test_of_a_model_and_its_optimizer_little_is_read(is_zip: bool) -> None:
    model = torch.nn.Sequential(*[torch.nn.Linear(200, 200) for _ in range(50)])
    optimizer = torch.optim.AdamW(model.parameters())
    sum(each.sum() for each in model.parameters()).backward()
    optimizer.step()
    data = saved({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, is_zip=is_zip)
    assert len(data) > 24_000_000
    files = in_memory(x__pt=data)
    contents = read(files)
    assert len(contents.tensors) == 400
    assert files.requests <= 5
    assert files.bytes_read < 300_000
    found = named(contents)["48.weight"]
    assert found.place is not None
    requests, bytes_read = files.requests, files.bytes_read
    found.place.read(0, found.elements)
    assert (files.requests - requests, files.bytes_read - bytes_read < 160_000 + 1000) == (1, True)


@BOTH
def test_cut_short(is_zip: bool) -> None:
    data = saved({"model": net().state_dict()}, is_zip=is_zip)
    for size in range(0, len(data), 37):
        with pytest.raises(CheckpointUnreadable):
            look(data[:size])


def test_a_bare_pickle() -> None:
    contents = look(pickle.dumps({"epoch": 2, "names": ["a"], "call": os.system}))
    assert (contents.tensors, contents.epoch, contents.metadata["names"]) == ((), 2, ["a"])
    assert "not written by torch.save" in contents.notes[0]
