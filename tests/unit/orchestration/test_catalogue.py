"""What is a checkpoint, whole or not, and what is told of it: in a record, in any folder."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runctl_jupyter.orchestration.checkpoints.found import find
from runctl_jupyter.orchestration.checkpoints.metric import chosen
from runctl_jupyter.orchestration.errors import InvalidRequest, JobNotFound
from runctl_jupyter.orchestration.model import Checkpoint
from runctl_jupyter.orchestration.storage.listed import ListedObject
from runctl_jupyter.run_record import JobKeys
from runctl_jupyter.run_record.layout import TOMBSTONE
from tests.unit.orchestration.shelves import START, Shelves

HF: dict[str, Any] = {"config.json": {}, "model.safetensors": b"weights", "optimizer.pt": b"o"}
INDEX: dict[str, Any] = {
    "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
}
DCP: dict[str, Any] = {".metadata": b"m", "__0_0.distcp": b"0", "__1_0.distcp": b"1"}


@pytest.fixture
def shelves(tmp_path: Path) -> Shelves:
    return Shelves(tmp_path)


def in_folder(folder: str, files: dict[str, Any]) -> dict[str, Any]:
    return {f"{folder}/{name}": data for name, data in files.items()}


def told(shelves: Shelves, source: str | None = None, **options: Any) -> dict[str, str]:
    """Name, and format with what distinguishes it."""
    found = shelves.catalogue.list(source or str(shelves.folder), **options)
    return {c.name: c.format + ("" if c.complete else " incomplete") for c in found}


def marked(checkpoints: Any, flag: str) -> list[str]:
    return [c.name for c in checkpoints if getattr(c, flag)]


def test_a_jobs_checkpoints_come_from_their_manifests(shelves: Shelves) -> None:
    shelves.job("j-1")
    shelves.save("j-1", 1, 0, metrics={"val_loss": 0.5})
    shelves.save("j-1", 1, 3, {"a.bin": b"12", "b.bin": b"345"}, metrics={"val_loss": 0.1})
    shelves.save("j-1", 2, 0, metrics={"val_loss": 0.3})
    found = shelves.catalogue.list("1")
    assert [(c.job_id, c.attempt, c.seq, c.step, c.size) for c in found] == [
        ("j-1", 1, 0, 0, 1), ("j-1", 1, 3, 3, 5), ("j-1", 2, 0, 0, 1),
    ]  # fmt: skip
    assert [c.latest for c in found] == [False, False, True]
    assert [c.best for c in found] == [False, True, False]
    assert found[1].uri == shelves.store.uri_of("jobs/j-1/checkpoints/1-00003/")
    assert Path(found[0].uri).read_bytes() == b"0"
    assert set(found.to_dict()[0]) >= {"uri", "name", "step", "metrics", "size", "created_at", "format", "complete"}
    assert "attempt" in repr(found)
    assert "job" not in repr(found).splitlines()[0].split()


def test_data_without_a_manifest_is_not_complete(shelves: Shelves) -> None:
    shelves.job("j-1")
    shelves.save("j-1", 1, 0)
    shelves.save("j-1", 1, 1, manifest=False)
    shelves.save("j-1", 1, 2, {"a": b"1", "b": b"22"}, manifest=False)
    shelves.save("j-1", 1, 3)
    shelves.store.put(JobKeys("j-1").checkpoint_manifest(1, 3), b"{")
    assert [c.seq for c in shelves.catalogue.list("j-1")] == [0]
    every = shelves.catalogue.list("j-1", complete=None)
    assert sorted((c.seq, c.complete, c.size) for c in every) == [
        (0, True, 1),
        (1, False, 1),
        (2, False, 3),
        (3, False, 1),
    ]
    assert marked(every, "latest") == ["step_0.pt"]


def test_the_whole_project_is_all_its_jobs(shelves: Shelves) -> None:
    for job_id in ("j-1", "j-2"):
        shelves.job(job_id)
    shelves.save("j-1", 1, 0, at=5)
    shelves.save("j-2", 1, 0, at=1)
    shelves.save("j-2", 1, 1, at=9)
    found = shelves.catalogue.list()
    assert [(c.job_id, c.seq, c.latest) for c in found] == [("j-2", 0, False), ("j-1", 0, True), ("j-2", 1, True)]
    assert [c.seq for c in shelves.catalogue.list(limit=1)] == [1]
    assert "j-2" in repr(found)


@pytest.mark.parametrize(
    "below", ["", "/jobs", "/jobs/", "/jobs/j-1", "/jobs/j-1/checkpoints/", "/jobs/j-1/checkpoints/1-00001"]
)
def test_an_address_in_the_record_shows_its_manifests(shelves: Shelves, below: str) -> None:
    shelves.job("j-1")
    shelves.save("j-1", 1, 0)
    shelves.save("j-1", 1, 1, metrics={"loss": 2.0})
    found = shelves.catalogue.list(shelves.store.uri + below)
    assert found[-1].job_id == "j-1"
    assert found[-1].metrics == {"loss": 2.0}
    assert len(found) == (1 if below.endswith("1-00001") else 2)


def test_another_record_is_recognised_in_a_folder_with_other_things(shelves: Shelves, tmp_path: Path) -> None:
    other = (
        Shelves(tmp_path / "folder" / "colleague") if (tmp_path / "folder" / "colleague").mkdir() is None else shelves
    )
    other.job("theirs")
    other.save("theirs", 1, 0, metrics={"acc": 0.5})
    other.save("theirs", 1, 1, manifest=False)
    other.store.put("jobs/theirs/outputs/last.pt", b"an output")
    shelves.write({"mine_3.pt": b"1"})
    found = shelves.catalogue.list(str(shelves.folder))
    assert sorted((c.job_id or "", c.name) for c in found) == [("", "mine_3.pt"), ("theirs", "step_0.pt")]


@pytest.mark.parametrize(
    "name",
    ["step_100.pt", "m.pth", "epoch=3-step=100.ckpt", "a.safetensors", "w.npz", "net.keras", "net.H5", "net.onnx"],
)
def test_single_files_are_told_by_their_names(shelves: Shelves, name: str) -> None:
    shelves.write({f"run/{name}": b"1", "run/notes.txt": b"1", "run/log": b"1", "run/data.npy": b"1", "run/.pt": b"1"})
    found = shelves.catalogue.list("folder/")
    assert [c.name for c in found] == [f"run/{name}"]
    assert found[0].job_id is None
    assert found[0].attempt is None
    assert Path(found[0].uri) == shelves.folder / "run" / name


def test_lightnings_names_tell_step_epoch_and_metrics(shelves: Shelves) -> None:
    shelves.write({"epoch=3-step=100-val_loss=0.25.ckpt": b"1", "epoch=4-step=120-val_loss=0.125-v1.ckpt": b"1"})
    first, second = shelves.catalogue.list(str(shelves.folder))
    assert (first.epoch, first.step, first.metrics) == (3, 100, {"val_loss": 0.25})
    assert (second.epoch, second.step, second.metrics) == (4, 120, {"val_loss": 0.125})
    assert (second.best, second.latest, first.best, first.latest) == (True, True, False, False)


@pytest.mark.parametrize("name", ["step_1.pt.tmp", "step_1.pt.part", "step_1.pt.partial", "empty_1.pt"])
def test_what_is_being_written_is_not_complete(shelves: Shelves, name: str) -> None:
    shelves.write({name: b"" if "empty" in name else b"1"})
    assert told(shelves) == {}
    assert told(shelves, complete=None) == {name: "torch incomplete"}


def test_folders_of_transformers(shelves: Shelves) -> None:
    state = {"global_step": 500, "log_history": [{"epoch": 1.0, "eval_loss": 0.5}, {"epoch": 2.0, "eval_loss": 0.4}]}
    shelves.write(
        in_folder("out/checkpoint-500", {**HF, "trainer_state.json": state, "global_step500/mp_rank_00.pt": b"1"})
    )
    shelves.write(in_folder("out/checkpoint-600", HF))
    shelves.write(in_folder("out", {**HF, "runs/events.1": b"e"}))
    found = {c.name: c for c in shelves.catalogue.list(str(shelves.folder))}
    assert set(found) == {"out", "out/checkpoint-500", "out/checkpoint-600"}
    one = found["out/checkpoint-500"]
    assert (one.format, one.step, one.epoch, one.metrics) == ("huggingface", 500, 2, {"eval_loss": 0.4})
    assert one.uri == f"{shelves.folder}/out/checkpoint-500/"
    assert one.size == sum(p.stat().st_size for p in (shelves.folder / "out/checkpoint-500").rglob("*") if p.is_file())
    assert found["out/checkpoint-600"].step == 600


def test_a_folder_can_itself_be_the_checkpoint(shelves: Shelves) -> None:
    shelves.write(in_folder("out/checkpoint-500", HF))
    (found,) = shelves.catalogue.list("folder/out/checkpoint-500")
    assert (found.name, found.uri) == ("checkpoint-500", f"{shelves.folder}/out/checkpoint-500/")


def test_a_sharded_folder_is_whole_when_the_index_says_so(shelves: Shelves) -> None:
    parts = {"config.json": {}, "model.safetensors.index.json": INDEX, "model-00001-of-00002.safetensors": b"1"}
    shelves.write(in_folder("m", parts))
    assert told(shelves) == {}
    assert told(shelves, complete=None) == {"m": "huggingface incomplete"}
    shelves.write({"m/model-00002-of-00002.safetensors": b""})
    assert told(shelves) == {}
    shelves.write({"m/model-00002-of-00002.safetensors": b"2"})
    assert told(shelves) == {"m": "huggingface"}


@pytest.mark.parametrize(
    "index", [b"{", b"[]", b'{"weight_map": {}}', b'{"weight_map": [1]}', b'{"weight_map": {"a": 3}}', b"[" * 100_000]
)
def test_a_lying_index_is_not_complete(shelves: Shelves, index: bytes) -> None:
    shelves.write(in_folder("m", {**HF, "model.safetensors.index.json": index}))
    assert told(shelves, complete=None) == {"m": "huggingface incomplete"}


@pytest.mark.parametrize(
    "state", [b"{", b"[]", b'{"log_history": 3}', b'{"global_step": "NaN", "log_history": [[]]}', b"[" * 100_000]
)
def test_a_lying_state_tells_nothing(shelves: Shelves, state: bytes) -> None:
    shelves.write(in_folder("checkpoint-7", {**HF, "trainer_state.json": state}))
    (found,) = shelves.catalogue.list(str(shelves.folder))
    assert (found.step, found.metrics) == (7, {})


def test_folders_of_distributed_checkpoints(shelves: Shelves) -> None:
    shelves.write(in_folder("step-10", DCP))
    shelves.write(in_folder("step-20", {"__0_0.distcp": b"0"}))
    shelves.write(in_folder("step-30", {".metadata": b"m"}))
    shelves.write(in_folder("step-40", {**DCP, "__2_0.distcp.tmp": b"2"}))
    assert told(shelves) == {"step-10": "dcp"}
    assert told(shelves, complete=None) == {
        "step-10": "dcp", "step-20": "dcp incomplete", "step-30": "dcp incomplete", "step-40": "dcp incomplete",
    }  # fmt: skip


def test_marked_folders_within_a_checkpoint_are_its_parts(shelves: Shelves) -> None:
    pipeline = {"model_index.json": {}, **in_folder("unet", HF), **in_folder("vae", HF)}
    shelves.write(in_folder("sd", pipeline))
    shelves.write(in_folder("checkpoint-1", {"trainer_state.json": {}, **in_folder("pytorch_model_fsdp_0", DCP)}))
    assert told(shelves) == {"checkpoint-1": "huggingface", "sd/unet": "huggingface", "sd/vae": "huggingface"}


def test_a_project_with_a_config_is_no_checkpoint(shelves: Shelves) -> None:
    shelves.write({"config.json": b"{}", "train.py": b"1", "data/train.csv": b"1", "ckpt/step_1.pt": b"1"})
    assert told(shelves) == {"ckpt/step_1.pt": "torch"}


def test_hidden_folders_are_left_alone(shelves: Shelves) -> None:
    shelves.write({".git/step_1.pt": b"1", ".venv/x/step_1.pt": b"1", "step_2.pt": b"1"})
    (shelves.folder / "gone.pt").symlink_to(shelves.folder / "nowhere")
    assert told(shelves) == {"step_2.pt": "torch"}


def test_a_single_file_can_be_asked_for(shelves: Shelves) -> None:
    shelves.write({"step_1.pt": b"1", "step_2.pt": b"22"})
    (found,) = shelves.catalogue.list("folder/step_2.pt")
    assert (found.uri, found.size) == (f"{shelves.folder}/step_2.pt", 2)


def test_the_order_is_that_of_the_steps_unless_times_say_they_began_anew(shelves: Shelves) -> None:
    for step, at in ((10, 3), (2, 0), (9, 5)):
        shelves.write({f"step_{step}.pt": b"1"}, at=at)
    found = shelves.catalogue.list(str(shelves.folder))
    assert [c.step for c in found] == [2, 9, 10]
    assert marked(found, "latest") == ["step_10.pt"]
    shelves.write({"step_1.pt": b"1"}, at=500)
    assert marked(shelves.catalogue.list(str(shelves.folder)), "latest") == ["step_1.pt"]


def test_runs_beside_each_other_have_each_their_newest(shelves: Shelves) -> None:
    for name in ("a/step_1.pt", "a/step_2.pt", "b/epoch-1/model.pt", "b/epoch-2/model.pt"):
        shelves.write({name: b"1"})
    assert marked(shelves.catalogue.list(str(shelves.folder)), "latest") == ["a/step_2.pt", "b/epoch-2/model.pt"]


def test_a_name_is_a_job_before_it_is_a_folder(shelves: Shelves) -> None:
    shelves.write({"step_1.pt": b"1"})
    assert [c.job_id for c in shelves.catalogue.list("folder")] == [None]
    shelves.job("x-folder")
    shelves.save("x-folder", 1, 0)
    assert [c.job_id for c in shelves.catalogue.list("folder")] == ["x-folder"]
    assert [c.job_id for c in shelves.catalogue.list("./folder")] == [None]


def test_what_is_not_there_is_said(shelves: Shelves) -> None:
    with pytest.raises(JobNotFound):
        shelves.catalogue.list("nothing")
    with pytest.raises(InvalidRequest, match="no folder"):
        shelves.catalogue.list("./nothing")
    with pytest.raises(InvalidRequest, match="newest 0"):
        shelves.catalogue.list(limit=0)
    assert str(shelves.folder) in repr(shelves.catalogue.list(str(shelves.folder)))
    shelves.job("j-1")
    assert "RUNCTL_CHECKPOINT_DIR" in repr(shelves.catalogue.of_job("j-1")) == repr(shelves.catalogue.list("j-1"))


NAMES = st.sampled_from(
    ["config.json", ".metadata", "__0_0.distcp", "model.safetensors", "model-00001-of-00002.safetensors", "x.pt.tmp",
     "model.safetensors.index.json", "x.pt", "trainer_state.json", "adapter_config.json", TOMBSTONE, "a.npy", "log",
     "e=1.ckpt", "..", " ", "\u00fc.pt"]
)  # fmt: skip
PLACES = st.lists(st.sampled_from(["checkpoint-1", "step_2", "unet", "a b", "..", "0"]), max_size=4).map("/".join)


@given(st.sets(st.tuples(PLACES, NAMES), max_size=25), st.sampled_from(["", "p/", "p/checkpoint-1/"]), st.data())
@settings(max_examples=200, deadline=None)
def test_no_file_is_of_two_checkpoints(names: set[tuple[str, str]], prefix: str, data: st.DataObject) -> None:
    keys = {prefix + f"{place}/{name}".lstrip("/") for place, name in names}
    listed = [
        ListedObject(key, data.draw(st.integers(0, 2)), START + timedelta(seconds=data.draw(st.integers(0, 2))))
        for key in sorted(keys)
    ]
    found = list(find(listed, prefix))
    files = [file.key for each in found for file in each.files]
    assert len(files) == len(set(files))
    assert set(files) <= keys
    for each in found:
        assert each.path.startswith(prefix)
        assert all(file.key.startswith(each.path) for file in each.files)
        assert set(each.marks) <= {file.key for file in each.files}
        # In a folder they may lie beside what makes it one.
        assert not each.whole or each.is_folder or not each.path.endswith((".tmp", ".npy"))
        assert not (each.whole and each.left_over)


def test_a_hundred_thousand_files_are_looked_through() -> None:
    keys = [f"p/run-{n % 100}/step_{n}/{name}" for n in range(50_000) for name in ("model.pt", "log.txt")]
    found = list(find((ListedObject(key, 1, START) for key in keys), "p/"))
    assert len(found) == 50_000


@pytest.mark.parametrize(
    ("names", "best"),
    [
        ({"lr", "val_loss", "train_loss"}, ("val_loss", "min")),
        ({"accuracy"}, ("accuracy", "max")),
        ({"eval/acc1", "loss"}, ("eval/acc1", "max")),
        ({"power", "confidence", "certainty", "lr"}, None),
    ],
)
def test_the_usual_metric(names: set[str], best: tuple[str, str] | None) -> None:
    one = Checkpoint("u", "n", 1, dict.fromkeys(names, 1.0), 1, START, "torch", True)
    metric = chosen([one], None, None)
    assert (None if metric is None else (metric.name, metric.mode)) == best


def test_a_metric_of_ones_own_needs_its_direction(shelves: Shelves) -> None:
    shelves.job("j-1")
    for seq, value in enumerate((3.0, 1.0, float("nan"), 2.0)):
        shelves.save("j-1", 1, seq, metrics={"zeal": value})
    with pytest.raises(InvalidRequest, match="'zeal'"):
        shelves.catalogue.list("j-1", metric="zeal")
    assert marked(shelves.catalogue.list("j-1", metric="zeal", mode="min"), "best") == ["step_1.pt"]
    assert marked(shelves.catalogue.list("j-1", metric="zeal", mode="max"), "best") == ["step_0.pt"]
    assert marked(shelves.catalogue.list("j-1"), "best") == []
