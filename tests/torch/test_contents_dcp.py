"""Folders of torch.distributed.checkpoint: what PyTorch writes is understood, shards make whole tensors again."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.metadata import Metadata

from runctl_jupyter.orchestration.contents.files import Files
from runctl_jupyter.orchestration.contents.model import Tensor
from runctl_jupyter.orchestration.contents.reading import read
from runctl_jupyter.orchestration.errors import CheckpointUnreadable
from tests.data.held_files import named

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")

WIDE = torch.arange(3_000_000, dtype=torch.float32).reshape(3000, 1000)


def folder(path: Path) -> Files:
    def read_range(name: str, start: int, end: int) -> bytes:
        with (path / name).open("rb") as stream:
            stream.seek(start)
            return stream.read(end - start)

    names = [file for file in path.rglob("*") if file.is_file()]
    return Files({file.relative_to(path).as_posix(): file.stat().st_size for file in names}, read_range)


def tensor_of(tensor: Tensor, start: int = 0, stop: int | None = None) -> torch.Tensor:
    assert tensor.place is not None
    data = tensor.place.read(start, tensor.elements if stop is None else stop)
    flat = torch.frombuffer(bytearray(data), dtype=getattr(torch, tensor.dtype)) if data else torch.zeros(0)
    return flat.reshape(tensor.shape) if stop is None else flat


@pytest.fixture
def state() -> dict[str, Any]:
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.25)
    model(torch.rand(3, 4)).sum().backward()
    optimizer.step()
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": 120,
        "epoch": 3,
        "half": torch.ones(3, dtype=torch.bfloat16),
        "turned": torch.arange(12.0).reshape(3, 4).t(),
        "nothing": torch.zeros(0, 3),
    }


@pytest.fixture
def saved(state: dict[str, Any], tmp_path: Path) -> Path:
    dcp.save(state, checkpoint_id=tmp_path / "c")
    return tmp_path / "c"


def changed(path: Path, change: Callable[[Metadata], Any]) -> Files:
    """Return a checkpoint's files after a change of what its metadata say."""
    metadata = pickle.loads((path / ".metadata").read_bytes())
    change(metadata)
    (path / ".metadata").write_bytes(pickle.dumps(metadata))
    return folder(path)


def test_what_pytorch_writes(saved: Path, state: dict[str, Any]) -> None:
    contents = read(folder(saved))
    assert (contents.format, contents.step, contents.epoch, contents.notes) == ("dcp", 120, 3, ())
    assert contents.optimizer["lr"] == 0.25
    assert contents.optimizer["betas"] == [0.9, 0.999]
    assert contents.optimizer["param_groups"] == 1
    found = named(contents)
    for name, tensor in state["model"].items():
        assert torch.equal(tensor_of(found[name]), tensor)
        assert found[name].part == "model"
    for name in ("half", "turned", "nothing"):
        assert torch.equal(tensor_of(found[name]), state[name])
        assert found[name].part == "other"
    moments = state["optimizer"]["state"][0]["exp_avg"]
    assert torch.equal(tensor_of(found["optimizer.state.0.exp_avg"]), moments)
    assert found["optimizer.state.0.exp_avg"].part == "optimizer"


def test_any_element_is_a_few_short_reads(tmp_path: Path) -> None:
    dcp.save({"wide": WIDE}, checkpoint_id=tmp_path / "c")
    files = folder(tmp_path / "c")
    tensor = named(read(files))["wide"]
    assert files.bytes_read < 100_000
    before = files.requests
    assert tensor_of(tensor, 2_999_998, 3_000_000).tolist() == [2_999_998.0, 2_999_999.0]
    assert files.requests - before <= 6
    assert files.bytes_read < 400_000
    before = files.requests, files.bytes_read
    assert tensor_of(tensor, 1000, 1001).tolist() == [1000.0]
    assert (files.requests - before[0], files.bytes_read - before[1]) == (1, 4)


WORKER = """
import sys
import torch, torch.distributed as dist, torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}.meet", rank=rank, world_size=3)
mesh = init_device_mesh("cpu", (3,))
whole = torch.arange(10 * 7 * 2, dtype=torch.float32).reshape(10, 7, 2)
dcp.save({
    "rows": distribute_tensor(whole, mesh, [Shard(0)]),
    "columns": distribute_tensor(whole, mesh, [Shard(1)]),
    "same": distribute_tensor(whole, mesh, [Replicate()]),
    "step": 5,
}, checkpoint_id=folder)
dist.destroy_process_group()
"""


def test_shards_of_three_processes_make_whole_tensors(tmp_path: Path) -> None:
    path = tmp_path / "c"
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, str(rank), str(path)]) for rank in range(3)]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0, 0]
    contents = read(folder(path))
    found, whole = named(contents), torch.arange(140.0).reshape(10, 7, 2)
    assert (contents.step, set(found)) == (5, {"rows", "columns", "same"})
    for tensor in found.values():
        assert torch.equal(tensor_of(tensor), whole)
        for start, stop in ((0, 1), (139, 140), (13, 99), (56, 57), (8, 8)):
            assert torch.equal(tensor_of(tensor, start, stop), whole.flatten()[start:stop])
    lost = sorted(path.glob("*.distcp"))[1]
    lost.unlink()
    part = read(folder(path))
    assert lost.name in part.notes[0]
    assert {name: tensor.shape for name, tensor in named(part).items()} == dict.fromkeys(found, (10, 7, 2))
    assert named(part)["rows"].place is None


def test_a_file_that_is_cut_is_refused(saved: Path) -> None:
    data = saved / "__0_0.distcp"
    data.write_bytes(data.read_bytes()[:-100])
    with pytest.raises(CheckpointUnreadable, match="ends before a shard"):
        read(folder(saved))


@pytest.mark.parametrize("path", ["../__0_0.distcp", "/etc/passwd", "a/../../b", "", "..\\b"])
def test_a_file_outside_of_the_folder_is_refused(saved: Path, path: str) -> None:
    def away(metadata: Metadata) -> None:
        next(iter(metadata.storage_data.values())).relative_path = path

    with pytest.raises(CheckpointUnreadable, match="outside of its folder"):
        read(changed(saved, away))


def chunk_of(metadata: Metadata) -> Any:
    return metadata.state_dict_metadata["model.0.weight"].chunks[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda metadata: setattr(chunk_of(metadata), "offsets", torch.Size([5, 0])),
        lambda metadata: setattr(chunk_of(metadata), "sizes", torch.Size([8])),
        lambda metadata: setattr(chunk_of(metadata), "sizes", [8, -4]),
        lambda metadata: setattr(metadata.state_dict_metadata["model.0.weight"], "size", "8x4"),
        lambda metadata: setattr(next(iter(metadata.storage_data.values())), "offset", 1 << 70),
        lambda metadata: setattr(metadata, "storage_data", [1]),
        lambda metadata: setattr(metadata, "state_dict_metadata", None),
    ],
)
def test_metadata_that_cannot_be_are_refused(saved: Path, change: Callable[[Metadata], Any]) -> None:
    with pytest.raises(CheckpointUnreadable, match=r"\.metadata|ends before"):
        read(changed(saved, change))


def test_shards_in_a_folder_of_hugging_face(state: dict[str, Any], tmp_path: Path) -> None:
    dcp.save({"model": state["model"]}, checkpoint_id=tmp_path / "pytorch_model_fsdp_0")
    dcp.save({"optimizer": state["optimizer"]}, checkpoint_id=tmp_path / "optimizer_0")
    (tmp_path / "trainer_state.json").write_text('{"global_step": 30}')
    contents = read(folder(tmp_path))
    assert (contents.format, contents.step, contents.optimizer["lr"], contents.notes) == ("huggingface", 30, 0.25, ())
    found = named(contents)
    for name, tensor in state["model"].items():
        assert torch.equal(tensor_of(found[name]), tensor)
        assert found[name].part == "model"
    assert found["optimizer.state.0.exp_avg"].part == "optimizer"


def resized(length: int) -> Callable[[Metadata], None]:
    def resize(metadata: Metadata) -> None:
        metadata.state_dict_metadata["model.0.bias"].size = torch.Size([length])
        metadata.state_dict_metadata["model.0.bias"].chunks[0].sizes = torch.Size([length])

    return resize


def test_a_shard_of_another_shape_is_refused(saved: Path) -> None:
    with pytest.raises(CheckpointUnreadable, match="larger than what __0_0"):
        read(changed(saved, resized(1 << 40)))
    place = named(read(changed(saved, resized(7))))["0.bias"].place
    assert place is not None
    with pytest.raises(CheckpointUnreadable, match="not the shard"):
        place.read(0, 7)


def test_what_lightning_keeps_beside_shards(tmp_path: Path) -> None:
    path = tmp_path / "c"
    dcp.save({"model": {"layer.weight": WIDE[:2]}, "optimizer_0": {"state": {"x": WIDE[:1]}}}, checkpoint_id=path)
    torch.save({"global_step": 700, "epoch": 2, "hyper_parameters": {"width": 32}}, path / "meta.pt")
    contents = read(folder(path))
    assert (contents.step, contents.epoch) == (700, 2)
    assert contents.metadata["hyper_parameters"] == {"width": 32}
    assert {name: tensor.part for name, tensor in named(contents).items()} == {
        "layer.weight": "model",
        "optimizer_0.state.x": "optimizer",
    }


def test_a_tensor_with_a_gap_cannot_be_read(saved: Path) -> None:
    def more(metadata: Metadata) -> None:
        metadata.state_dict_metadata["model.0.bias"].size = torch.Size([9])

    assert named(read(changed(saved, more)))["0.bias"].place is None


def test_nothing_in_it_is_run(saved: Path, tmp_path: Path) -> None:
    sentinel = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (sentinel,)

    def poison(metadata: Metadata) -> None:
        metadata.planner_data = Evil()

    files = changed(saved, poison)
    sentinel.unlink(missing_ok=True)
    assert read(files).step == 120
    for data in (pickle.dumps(Evil()), b"", b"\x80\x04.", pickle.dumps({"state_dict_metadata": {}})):
        (saved / ".metadata").write_bytes(data)
        with pytest.raises(CheckpointUnreadable):
            read(folder(saved))
    assert not sentinel.exists()
