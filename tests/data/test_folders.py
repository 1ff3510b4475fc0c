"""Folders of Hugging Face's libraries: weights of all shards, what is beside them, and indexes that lie."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from runctl_jupyter.orchestration.contents.files import Files
from runctl_jupyter.orchestration.contents.reading import read
from runctl_jupyter.orchestration.errors import CheckpointUnreadable
from tests.data.held_files import named, values

A = {"embed.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
B = {"head.weight": np.arange(4, dtype=np.float16), "head.bias": np.zeros(1, np.float32)}
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"


def folder(held: Mapping[str, Any]) -> Files:
    data = {name: each if isinstance(each, bytes) else json.dumps(each).encode() for name, each in held.items()}
    return Files({name: len(each) for name, each in data.items()}, lambda name, start, end: data[name][start:end])


def index(**more: str) -> dict[str, Any]:
    by_tensor = {**dict.fromkeys(A, FIRST), **dict.fromkeys(B, SECOND), **more}
    return {"metadata": {"total_size": 36}, "weight_map": by_tensor}


def sharded(**more: Any) -> dict[str, Any]:
    return {INDEX: index(), FIRST: save(A, {"format": "pt"}), SECOND: save(B), **more}


def test_a_trainers_checkpoint() -> None:
    log = [{"loss": 3.5, "step": 100, "epoch": 0.5}, {"eval_loss": 2.5, "step": 150}, {"loss": 2.25, "step": 200}]
    state = {"global_step": 200, "epoch": 1.75, "best_metric": 2.5, "log_history": log, "max_steps": 400}
    files = folder(
        {
            "config.json": {"architectures": ["LlamaForCausalLM"], "hidden_size": 32, "rope": {"theta": 1e4}},
            "generation_config.json": {"do_sample": True},
            "tokenizer_config.json": b"{",
            "trainer_state.json": state,
            "model.safetensors": save({**A, **B}),
            "pytorch_model.bin": b"never read, since there is a better format",
        }
    )
    contents = read(files)
    assert (contents.format, contents.step, contents.epoch) == ("huggingface", 200, 1)
    assert contents.metadata["config"]["rope"] == {"theta": 1e4}
    assert contents.metadata["generation_config"] == {"do_sample": True}
    last = {"loss": 2.25, "step": 200, "epoch": 0.5, "eval_loss": 2.5}
    assert contents.metadata["trainer_state"] == {
        "global_step": 200,
        "epoch": 1.75,
        "best_metric": 2.5,
        "max_steps": 400,
        "last": last,
    }
    assert [note.partition(":")[0] for note in contents.notes] == ["not read"]
    assert "tokenizer_config.json" in contents.notes[0]
    for name, array in {**A, **B}.items():
        assert (values(named(contents)[name]) == array).all()


@pytest.mark.parametrize("config", [{}, {"config.json": {"hidden_size": 3}}], ids=["no config", "config"])
def test_shards(config: dict[str, Any]) -> None:
    contents = read(folder(sharded(**config)))
    assert contents.format == "huggingface"
    assert contents.metadata["index"] == {"total_size": 36}
    assert contents.notes == ()
    for name, array in {**A, **B}.items():
        assert (values(named(contents)[name]) == array).all()


def test_a_missing_shard_is_named_and_the_rest_is_told() -> None:
    held = sharded()
    del held[SECOND]
    contents = read(folder(held))
    found = named(contents)
    assert set(found) == {*A, *B}
    assert (found["head.weight"].place, found["head.weight"].dtype) == (None, "unknown")
    assert sum(tensor.elements for tensor in contents.tensors) == 6
    assert SECOND in contents.notes[0]
    assert "2 tensors" in contents.notes[0]


def test_an_index_that_names_what_no_shard_has() -> None:
    contents = read(folder({**sharded(), INDEX: index(ghost=FIRST)}))
    assert "1 tensors that no file has: ghost" in contents.notes[0]
    assert named(contents)["ghost"].place is None


@pytest.mark.parametrize(
    "shard", ["../../etc/passwd", "/etc/passwd", "a/../../b", "..", "..\\b", "\\\\server\\b", "a/..", "/", ""]
)
def test_a_shard_outside_of_the_folder_is_refused(shard: str) -> None:
    with pytest.raises(CheckpointUnreadable, match="outside of its folder"):
        read(folder({**sharded(), INDEX: index(evil=shard)}))


@pytest.mark.parametrize("told", [b"", b"[]", {}, {"weight_map": []}, {"weight_map": {"a": 3}}, b"[" * 100_000])
def test_an_index_that_is_none_is_refused(told: Any) -> None:
    with pytest.raises(CheckpointUnreadable):
        read(folder({**sharded(), INDEX: told}))


def test_an_index_of_too_many_files_is_refused() -> None:
    told = {"weight_map": {f"t{n}": f"{n}.safetensors" for n in range(5000)}}
    with pytest.raises(CheckpointUnreadable, match="5,000 files"):
        read(folder({INDEX: told}))


def test_a_damaged_shard_is_refused() -> None:
    held = sharded()
    with pytest.raises(CheckpointUnreadable, match=SECOND):
        read(folder({**held, SECOND: held[SECOND][:-3]}))


def test_tensors_that_two_shards_have_are_told() -> None:
    contents = read(folder({**sharded(), SECOND: save({**A, **B})}))
    assert "1 tensors are in several files" in contents.notes[0]


def test_an_adapter() -> None:
    files = folder(
        {"adapter_config.json": {"peft_type": "LORA", "r": 8}, "adapter_model.safetensors": save(A), "README.md": b"#"}
    )
    contents = read(files)
    assert (contents.format, contents.metadata["adapter_config"]) == ("huggingface", {"peft_type": "LORA", "r": 8})
    assert set(named(contents)) == set(A)


def test_a_folder_without_weights_says_so() -> None:
    contents = read(folder({"config.json": {"a": 1}, "flax_model.msgpack": b"x"}))
    assert contents.tensors == ()
    assert "no weights" in contents.notes[0]


def test_many_shards_are_read_at_once() -> None:
    """Eight reads wait for each other: they can only end if they are there together."""
    names = [f"m-{n}.safetensors" for n in range(8)]
    held: dict[str, bytes] = {name: save({name: np.zeros(1)}) for name in names}
    held[INDEX] = json.dumps({"weight_map": {name: name for name in names}}).encode()
    together = threading.Barrier(8)

    def read_range(name: str, start: int, end: int) -> bytes:
        if name != INDEX:
            together.wait(timeout=20)
        return held[name][start:end]

    files = Files({name: len(data) for name, data in held.items()}, read_range)
    assert set(named(read(files))) == set(names)
