"""`rc.checkpoints` looks into checkpoints: found by any name, described, compared, read, brought and verified."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save, save_file

from runctl_jupyter.display.values import notebook_bundle, value_text
from runctl_jupyter.orchestration import Runctl
from runctl_jupyter.orchestration.checkpoints import difference as difference_module
from runctl_jupyter.orchestration.errors import CheckpointUnreadable, InvalidRequest, JobNotFound, ObjectMissing
from runctl_jupyter.orchestration.storage.crew import Progress
from runctl_jupyter.orchestration.storage.folder import ListableFolder
from runctl_jupyter.run_record import CheckpointFile, CheckpointManifest, JobKeys, LatestCheckpoint
from tests.unit.orchestration.records import Records

JOB = "261130-120000-ab2c"


@pytest.fixture
def rc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runctl:
    """An engine that must not need a record: whatever opens one fails."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return Runctl("local", cwd=tmp_path)


class Saved:
    """A job of target local with checkpoints, as a runner leaves them."""

    def __init__(self, tmp_path: Path) -> None:
        records = Records(tmp_path)
        records.store = ListableFolder(tmp_path / "data" / "runctl-jupyter" / "local" / "record")
        records.record.store = records.store
        records.spec(JOB)
        records.end(JOB)
        self.store = records.store

    def add(self, seq: int, name: str, files: dict[str, bytes], **facts: Any) -> str:
        keys = JobKeys(JOB)
        listed = []
        for path, data in files.items():
            self.store.put(keys.checkpoint_data(1, seq) + path, data)
            listed.append(CheckpointFile(path, len(data), hashlib.sha256(data).hexdigest()))
        size = sum(map(len, files.values()))
        manifest = CheckpointManifest(
            name, 1, seq, f"2026-11-30T12:00:{seq:02d}Z", "safetensors", size, listed, **facts
        )
        self.store.put(keys.checkpoint_manifest(1, seq), manifest.to_json())
        pointer = LatestCheckpoint(1, seq, manifest.created_at)
        self.store.put(keys.latest_checkpoint, pointer.to_json())
        return self.store.uri_of(keys.checkpoint_data(1, seq))


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    return Saved(tmp_path)


def weights(scale: float = 1.0) -> dict[str, np.ndarray[Any, Any]]:
    return {
        "encoder.0.weight": np.arange(12, dtype=np.float32).reshape(3, 4) * np.float32(scale),
        "encoder.0.bias": np.ones(3, np.float16),
        "head.weight": np.arange(6, dtype=np.int64).reshape(2, 3),
    }


def test_info_of_a_file_on_this_computer(rc: Runctl, tmp_path: Path) -> None:
    path = tmp_path / "epoch=2-step=40.safetensors"
    save_file(weights(), path, {"loss": "0.25", "note": "small"})
    info = rc.checkpoints.info(path)
    assert (info.name, info.format, info.step, info.epoch, info.files) == (path.name, "safetensors", 40, 2, 1)
    assert (info.size, info.parameters, info.job_id) == (path.stat().st_size, 21, None)
    assert [(m.name, m.tensors, m.parameters, list(m.dtypes)) for m in info.modules] == [
        ("encoder.0", 2, 15, ["float16", "float32"]),
        ("head", 1, 6, ["int64"]),
    ]
    assert info.metadata["note"] == "small"
    assert {t.name: (t.dtype, tuple(t.shape), t.readable) for t in info.tensors}["encoder.0.weight"] == (
        "float32",
        (3, 4),
        True,
    )
    contract = {"uri", "name", "step", "metrics", "size", "created_at", "format", "complete"}
    assert set(json.loads(json.dumps(info.to_dict()))) > contract
    assert rc.checkpoints.info(path.name).uri == str(path)
    assert "encoder.0.weight" in repr(info.tensor_listing())


def test_what_a_file_says_does_nothing_to_a_terminal(rc: Runctl, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for version, value in (("a", 0.0), ("b", 1.0)):
        save_file({"\x1b[31mw\n.w": np.full(2, value)}, tmp_path / f"{version}.safetensors", {"\x07": "\x1b]0;t\x07"})
    info = rc.checkpoints.info(path)
    diff = rc.checkpoints.diff(path, tmp_path / "b.safetensors")
    shown = [value_text(info), value_text(diff), repr(info.tensor_listing()), *notebook_bundle(info).values()]
    assert not any(character in text for text in shown for character in "\x1b\x07")
    assert "[31mw" in shown[0]


def test_a_file_on_this_computer_needs_no_record(rc: Runctl, tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "a.safetensors")
    rc.checkpoints.info("a.safetensors")
    assert not (tmp_path / "data").exists()


def test_a_job_names_its_newest_and_each_by_name(rc: Runctl, saved: Saved) -> None:
    first = saved.add(0, "run/step-1.safetensors", {"step-1.safetensors": save(weights())}, step=1)
    saved.add(1, "run/step-2.safetensors", {"step-2.safetensors": save(weights(2))}, step=2, metrics={"loss": 0.5})
    newest = rc.checkpoints.info(JOB)
    assert (newest.name, newest.step, newest.metrics, newest.job_id, newest.attempt) == (
        "run/step-2.safetensors",
        2,
        {"loss": 0.5},
        JOB,
        1,
    )
    assert rc.checkpoints.info("digits/latest").name == newest.name
    older = rc.checkpoints.info("digits/run/step-1.safetensors")
    assert (older.name, older.step) == ("run/step-1.safetensors", 1)
    assert rc.checkpoints.info(f"{first}step-1.safetensors").to_dict() == older.to_dict()
    listed = rc.checkpoints.list(JOB)[0]
    assert rc.checkpoints.info(listed).name == older.name


def test_what_is_not_there(rc: Runctl, saved: Saved, tmp_path: Path) -> None:
    saved.add(0, "a.safetensors", {"a.safetensors": save(weights())})
    with pytest.raises(ObjectMissing, match=r"no file or folder .*/gone\.pt"):
        rc.checkpoints.info("./gone.pt")
    with pytest.raises(InvalidRequest, match=r"no file gone\.pt, and no job"):
        rc.checkpoints.info("gone.pt")
    with pytest.raises(JobNotFound):
        rc.checkpoints.info("nobody")
    with pytest.raises(InvalidRequest, match="no complete checkpoint 'b'"):
        rc.checkpoints.info(f"{JOB}/b")
    (tmp_path / "many").mkdir()
    with pytest.raises(ObjectMissing, match="nothing at"):
        rc.checkpoints.info("./many")
    for name in ("a.pt", "b.pt"):
        (tmp_path / "many" / name).write_bytes(b"x")
    with pytest.raises(InvalidRequest, match="not one checkpoint: it has 2 files"):
        rc.checkpoints.info("./many")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(CheckpointUnreadable, match=r"notes\.txt is not a checkpoint by its name"):
        rc.checkpoints.info("notes.txt")


@pytest.mark.parametrize("outside", ["../b", "/etc/passwd", "a/../../b", ""])
def test_a_manifest_that_names_what_is_outside(rc: Runctl, saved: Saved, outside: str) -> None:
    uri = saved.add(0, "a.safetensors", {"a.safetensors": save(weights())})
    keys = JobKeys(JOB)
    found = CheckpointManifest.from_json(saved.store.get(keys.checkpoint_manifest(1, 0)).data)
    object.__setattr__(found, "files", [CheckpointFile(outside, 1, "0" * 64)])
    saved.store.put(keys.checkpoint_manifest(1, 0), found.to_json())
    with pytest.raises(CheckpointUnreadable, match="no file of a checkpoint"):
        rc.checkpoints.download(f"{uri}a.safetensors", "there")


def test_diff_of_formats_types_and_shapes(rc: Runctl, tmp_path: Path) -> None:
    a = {
        "same": np.array([1.0, np.nan, np.inf]),
        "moved": np.array([3.0, 4.0], np.float32),
        "narrow": np.array([1.0, 2.0], np.float32),
        "shape": np.zeros((2, 2)),
        "gone": np.zeros(1),
        "whole": np.array([1, 2, 3]),
    }
    b = a | {
        "moved": np.array([3.0, 4.5], np.float32),
        "narrow": np.array([1.0, 2.0], ml_dtypes.bfloat16),
        "shape": np.zeros(4),
        "new": np.zeros(1),
    }
    del b["gone"]
    np.savez(tmp_path / "a.npz", **a)
    save_file({name: np.ascontiguousarray(value) for name, value in b.items()}, tmp_path / "b.safetensors")
    diff = rc.checkpoints.diff("./a.npz", "./b.safetensors")
    found = {row.name: row for row in diff.differences}
    assert {name: row.what for name, row in found.items()} == {
        "gone": "only in a",
        "new": "only in b",
        "moved": "changed",
        "narrow": "type",
        "shape": "shape",
    }
    assert diff.equal == 2
    assert (found["moved"].norm, found["moved"].relative, found["moved"].largest) == (0.5, 0.1, 0.5)
    assert (found["narrow"].norm, found["narrow"].a, found["narrow"].b) == (0.0, "float32 [2]", "bfloat16 [2]")
    assert diff.norm == 0.5
    assert "moved" in repr(diff.listing())
    json.dumps(diff.to_dict())
    structure = rc.checkpoints.diff("./a.npz", "./b.safetensors", values=False)
    assert {row.name for row in structure.differences} == {"gone", "new", "narrow", "shape"}


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 500), st.integers(0, 2**32 - 1))
def test_diff_in_pieces_is_the_diff_of_all(elements: int, piece: int, seed: int) -> None:
    from runctl_jupyter.orchestration.checkpoints.difference import _compare_all
    from runctl_jupyter.orchestration.contents.model import Tensor

    class Memory:
        def __init__(self, values: np.ndarray[Any, Any]) -> None:
            self.values = values

        def read(self, start: int, stop: int) -> bytes:
            return self.values[start:stop].tobytes()

    draw = np.random.default_rng(seed)
    x, y = (draw.standard_normal(elements).astype(np.float32) for _ in range(2))
    pair = tuple(Tensor("w", "float32", (elements,), Memory(values)) for values in (x, y))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(difference_module, "_PIECE", piece)
        seen: list[Progress] = []
        sums = _compare_all([pair], seen.append)["w"]  # type: ignore[list-item]
    change = y.astype(float) - x
    assert np.isclose(sums.change, change @ change)
    assert np.isclose(sums.before, x.astype(float) @ x)
    assert np.isclose(sums.largest, np.abs(change).max())
    assert seen[-1] == Progress(0, 1, 8 * elements, 8 * elements)


def test_one_tensor_is_one_range_read(rc: Runctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = np.arange(300_000, dtype=np.float32).reshape(3, 100_000)
    save_file({"a": np.zeros(100_000, np.float32), "big": big}, tmp_path / "m.safetensors")
    read: list[tuple[int, int]] = []
    part = ListableFolder.get_part

    def noted(self: ListableFolder, key: str, start: int, end: int) -> Any:
        read.append((start, end))
        return part(self, key, start, end)

    monkeypatch.setattr(ListableFolder, "get_part", noted)
    found = rc.checkpoints.tensor("./m.safetensors", "big")
    assert np.array_equal(found, big)
    assert found.flags.writeable
    assert [end - start for start, end in read][-1:] == [big.nbytes]
    with pytest.raises(InvalidRequest, match=r"no tensor 'bog'\.\nIt has big"):
        rc.checkpoints.tensor("./m.safetensors", "bog")


def test_load_into_memory(rc: Runctl, tmp_path: Path) -> None:
    narrow = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    save_file({**weights(), "narrow": narrow, "empty": np.zeros((0, 3))}, tmp_path / "m.safetensors")
    found = rc.checkpoints.load("./m.safetensors")
    assert {name: (value.dtype, value.shape) for name, value in found.items()} == {
        name: (value.dtype, value.shape)
        for name, value in {**weights(), "narrow": narrow, "empty": np.zeros((0, 3))}.items()
    }
    assert all(np.array_equal(found[name], value) for name, value in weights().items())
    assert found["narrow"].tolist() == [1.5, -2.0]
    assert set(rc.checkpoints.load("./m.safetensors", "encoder.*")) == {"encoder.0.weight", "encoder.0.bias"}
    with pytest.raises(InvalidRequest, match=r"no model tensor 'decoder\.\*'"):
        rc.checkpoints.load("./m.safetensors", ["decoder.*"])


def test_a_file_replaced_while_it_is_read(rc: Runctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a": np.zeros(100_000, np.float32)}, path)
    part = ListableFolder.get_part

    def replacing(self: ListableFolder, key: str, start: int, end: int) -> Any:
        found = part(self, key, start, end)
        save_file({"a": np.ones(100_000, np.float32)}, path)
        os.utime(path, ns=(0, end))  # two writes of one moment cannot be told apart
        return found

    monkeypatch.setattr(ListableFolder, "get_part", replacing)
    with pytest.raises(CheckpointUnreadable, match=r"was replaced while it was read\.\nTry again"):
        rc.checkpoints.tensor(path, "a")


def test_download_is_verified(rc: Runctl, saved: Saved, tmp_path: Path) -> None:
    files = {"model.safetensors": save(weights()), "config.json": b"{}", "deep/state.bin": b"\x00" * 10}
    uri = saved.add(0, "run/checkpoint-5", files, step=5)
    seen: list[Progress] = []
    moved = rc.checkpoints.download(JOB, tmp_path / "here", on_progress=seen.append)
    target = tmp_path / "here" / "checkpoint-5"
    assert (moved.files, moved.destination) == (3, str(target))
    assert {p.relative_to(target).as_posix(): p.read_bytes() for p in target.rglob("*") if p.is_file()} == files
    size = sum(map(len, files.values()))
    assert seen[-1] == Progress(3, 3, size, size)
    saved.store.path(f"{uri.removeprefix(saved.store.uri + '/')}deep/state.bin").write_bytes(b"\x01" * 10)
    with pytest.raises(CheckpointUnreadable, match=r"state\.bin is not as it was saved"):
        rc.checkpoints.download(JOB, tmp_path / "there")
    assert not (tmp_path / "there" / "checkpoint-5" / "deep" / "state.bin").exists()
