"""What prune removes, and what it never removes, whatever it is asked; what a crash between leaves."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runctl_jupyter.display.card import view_of
from runctl_jupyter.display.values import notebook_bundle, value_text
from runctl_jupyter.orchestration.costs.storage_prices import usd_per_month
from runctl_jupyter.orchestration.errors import InvalidRequest, StorageUnavailable
from runctl_jupyter.orchestration.model import PruneReport
from runctl_jupyter.orchestration.storage.folder import ListableFolder
from runctl_jupyter.run_record import JobKeys, JobState, ResumeFrom, StoreError
from runctl_jupyter.run_record.layout import TOMBSTONE
from tests.unit.orchestration.shelves import Shelves
from tests.unit.orchestration.test_catalogue import DCP, HF, in_folder


@pytest.fixture
def shelves(tmp_path: Path) -> Shelves:
    return Shelves(tmp_path)


def gone(report: PruneReport) -> list[str]:
    return [each.name for each in report.remove]


def why(report: PruneReport) -> dict[str, str]:
    return {each.checkpoint.name: each.reason for each in report.keep}


def below(shelves: Shelves, job_id: str = "j-1") -> list[str]:
    root = shelves.store.root / JobKeys(job_id).checkpoints_prefix
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def saved(shelves: Shelves, count: int, **facts: Any) -> None:
    shelves.job("j-1")
    for seq in range(count):
        shelves.save("j-1", 1, seq, **{name: values[seq] for name, values in facts.items()})


def test_the_last_stay_and_the_bytes_of_the_others_go(shelves: Shelves) -> None:
    saved(shelves, 5)
    shelves.store.put(JobKeys("j-1").attempt(1).chunk(0), b"log")
    before = below(shelves)
    shown = shelves.catalogue.prune("j-1", keep_last=2)
    assert gone(shown) == ["step_0.pt", "step_1.pt", "step_2.pt"]
    assert shown.dry_run
    assert below(shelves) == before
    done = shelves.catalogue.prune("j-1", keep_last=2, dry_run=False)
    assert gone(done) == gone(shown)
    assert done.bytes == 3
    assert below(shelves) == ["1-00003.json", "1-00003/step_3.pt", "1-00004.json", "1-00004/step_4.pt", "latest.json"]
    assert shelves.store.get(JobKeys("j-1").attempt(1).chunk(0)).data == b"log"
    assert [c.name for c in shelves.catalogue.of_job("j-1")] == ["step_3.pt", "step_4.pt"]
    assert gone(shelves.catalogue.prune("j-1", keep_last=2, dry_run=False)) == []


def test_the_best_by_a_metric_stay_and_so_does_the_latest(shelves: Shelves) -> None:
    losses = [{"val_loss": value} for value in (0.9, 0.2, 0.5, 0.1, 0.7)]
    saved(shelves, 5, metrics=losses)
    report = shelves.catalogue.prune("j-1", keep_best=2)
    assert gone(report) == ["step_0.pt", "step_2.pt"]
    assert why(report) == {
        "step_1.pt": "best 2 by val_loss", "step_3.pt": "best 1 by val_loss", "step_4.pt": "the latest",
    }  # fmt: skip
    greatest = shelves.catalogue.prune("j-1", keep_best=1, metric="val_loss", mode="max")
    assert gone(greatest) == ["step_1.pt", "step_2.pt", "step_3.pt"]
    with pytest.raises(InvalidRequest, match="'bleu'") as raised:
        shelves.catalogue.prune("j-1", keep_best=1, metric="bleu")
    assert "val_loss" in raised.value.to_resolve


def test_each_kth_stays_the_same_however_often(shelves: Shelves) -> None:
    saved(shelves, 10)
    for _ in range(3):
        shelves.catalogue.prune("j-1", keep_every=4, dry_run=False)
        assert [c.seq for c in shelves.catalogue.of_job("j-1")] == [0, 4, 8, 9]


def test_rules_add_up(shelves: Shelves) -> None:
    saved(shelves, 10, metrics=[{"acc": 1.0 if n == 3 else 0.5} for n in range(10)])
    shelves.catalogue.prune("j-1", keep_last=2, keep_best=1, keep_every=5, dry_run=False)
    assert [c.seq for c in shelves.catalogue.of_job("j-1")] == [0, 3, 5, 8, 9]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({}, "which checkpoints stay"),
        ({"keep_last": 0}, "--keep-last 0"),
        ({"keep_every": -1}, "--keep-every -1"),
        ({"keep_last": 1, "metric": "acc"}, "--keep-best alone"),
        ({"keep_best": 1}, "no|No checkpoint"),
        ({"keep_best": 1, "metric": "zeal"}, "direction|less or more"),
    ],
)
def test_rules_that_say_nothing_remove_nothing(shelves: Shelves, rules: dict[str, Any], words: str) -> None:
    saved(shelves, 3)
    before = below(shelves)
    with pytest.raises(InvalidRequest, match=words):
        shelves.catalogue.prune("j-1", **rules, dry_run=False)
    assert below(shelves) == before


@pytest.mark.parametrize("state", [None, JobState.STARTING, JobState.RUNNING])
def test_a_job_that_has_not_ended_keeps_all(shelves: Shelves, state: JobState | None) -> None:
    shelves.job("j-1", state)
    for seq in range(3):
        shelves.save("j-1", 1, seq)
    before = below(shelves)
    for source in ("j-1", shelves.store.uri, f"{shelves.store.uri}/jobs/j-1/checkpoints"):
        report = shelves.catalogue.prune(source, keep_last=1, dry_run=False)
        assert gone(report) == []
        assert why(report)["step_0.pt"] == f"its job is {state or 'queued'}"
    assert below(shelves) == before


def test_a_job_that_runs_again_keeps_those_of_its_earlier_attempts(shelves: Shelves) -> None:
    saved(shelves, 3)
    shelves.job("j-1", JobState.RUNNING, attempt=2)
    assert gone(shelves.catalogue.prune("j-1", keep_last=1)) == []


@pytest.mark.parametrize("state", [None, JobState.RUNNING])
def test_what_another_job_goes_on_from_stays(shelves: Shelves, state: JobState | None) -> None:
    saved(shelves, 4)
    shelves.job("j-2", state, resume_from=ResumeFrom("j-1", 1, 1))
    report = shelves.catalogue.prune("j-1", keep_last=1, dry_run=False)
    assert gone(report) == ["step_0.pt", "step_2.pt"]
    assert why(report)["step_1.pt"] == "job j-2 goes on from it"
    shelves.job("j-3", state, resume_from=ResumeFrom("j-1"))
    assert gone(shelves.catalogue.prune("j-1", keep_last=1)) == []


def test_what_a_job_goes_on_from_stays_wherever_it_lies(shelves: Shelves) -> None:
    for step in range(3):
        shelves.write({f"step_{step}.pt": b"1"})
    shelves.job("j-1", JobState.RUNNING, resume_from=ResumeFrom(uri=f"{shelves.folder}/step_0.pt"))
    assert gone(shelves.catalogue.prune(str(shelves.folder), keep_last=1)) == ["step_1.pt"]


@pytest.mark.parametrize("place", ["data_uri", "output_uri"])
def test_what_a_job_reads_and_where_it_writes_stay(shelves: Shelves, place: str) -> None:
    for step in range(3):
        shelves.write({f"a/step_{step}.pt": b"1", f"b/step_{step}.pt": b"1"})
    shelves.job("j-1", JobState.RUNNING, **{place: f"{shelves.folder}/a"})
    report = shelves.catalogue.prune(str(shelves.folder), keep_last=1, dry_run=False)
    assert gone(report) == ["b/step_0.pt", "b/step_1.pt"]


def test_a_job_that_cannot_be_read_keeps_all(shelves: Shelves) -> None:
    saved(shelves, 3)
    shelves.store.put(JobKeys("j-1").attempt(1).status, b"{")
    assert gone(shelves.catalogue.prune(shelves.store.uri, keep_last=1)) == []


def test_a_project_is_pruned_job_by_job(shelves: Shelves) -> None:
    saved(shelves, 3)
    shelves.job("j-2")
    shelves.save("j-2", 1, 0)
    report = shelves.catalogue.prune(shelves.store.uri, keep_last=1, dry_run=False)
    assert [(c.job_id, c.seq) for c in report.remove] == [("j-1", 0), ("j-1", 1)]
    assert below(shelves, "j-2") == ["1-00000.json", "1-00000/step_0.pt", "latest.json"]


def test_in_a_folder_only_checkpoints_count(shelves: Shelves) -> None:
    others = {"log.txt": b"1", "data.npy": b"1", "train.npz": b"1", "features.h5": b"1", "step_9.pt.tmp": b"1"}
    shelves.write({**{f"step_{n}.pt": b"1" for n in (1, 2, 3, 10)}, **others})
    shelves.catalogue.prune(str(shelves.folder), keep_last=2, dry_run=False)
    assert shelves.left() == sorted(["step_3.pt", "step_10.pt", *others])


def test_the_best_and_the_last_by_name_are_no_part_of_the_series(shelves: Shelves) -> None:
    for n in (1, 2, 3):
        shelves.write({f"epoch={n}-step={n}0.ckpt": b"1"}, at=n)
    shelves.write({"best.ckpt": b"1"}, at=1)
    shelves.write({"last.ckpt": b"1"}, at=4)
    shelves.catalogue.prune(str(shelves.folder), keep_last=1, dry_run=False)
    assert shelves.left() == ["best.ckpt", "epoch=3-step=30.ckpt", "last.ckpt"]


def test_files_without_steps_are_ordered_by_time(shelves: Shelves) -> None:
    for at, name in enumerate(("m_9.pt", "m-3.pth", "0001.safetensors")):
        shelves.write({name: b"1"}, at=at)
    assert gone(shelves.catalogue.prune(str(shelves.folder), keep_last=1)) == ["m_9.pt", "m-3.pth"]


def test_models_of_their_own_stay(shelves: Shelves) -> None:
    models = ["best.pt", "llama-7b.safetensors", "model.pt", "resnet50.pth", "whole.ckpt"]
    shelves.write(dict.fromkeys(models, b"1"))
    shelves.write({f"step_{n}.pt": b"1" for n in range(3)}, at=1)
    shelves.write({f"run/epoch-{n}/model.pt": b"1" for n in range(3)}, at=1)
    report = shelves.catalogue.prune(str(shelves.folder), keep_last=1)
    assert {name for name in why(report) if "no number" in why(report)[name]} == set(models)
    assert set(gone(report)) == {"step_0.pt", "step_1.pt", "run/epoch-0/model.pt", "run/epoch-1/model.pt"}


def test_folders_go_as_a_whole_and_unknown_things_in_one_keep_it(shelves: Shelves) -> None:
    for step in (1, 2, 3, 4):
        shelves.write(in_folder(f"out/checkpoint-{step}", HF), at=step)
        shelves.write(in_folder(f"dist/step-{step}", DCP), at=step)
    shelves.write({"out/checkpoint-2/thesis.docx": b"1", "out/log.txt": b"1"})
    report = shelves.catalogue.prune(str(shelves.folder), keep_last=1, dry_run=False)
    assert gone(report) == ["dist/step-1", "dist/step-2", "dist/step-3", "out/checkpoint-1", "out/checkpoint-3"]
    assert "thesis.docx" in why(report)["out/checkpoint-2"]
    assert {name.split("/")[1] for name in shelves.left()} == {"checkpoint-2", "checkpoint-4", "log.txt", "step-4"}
    assert not (shelves.folder / "out/checkpoint-1").exists()


def test_models_beside_each_other_are_no_series(shelves: Shelves) -> None:
    for name in ("unet", "vae", "text_encoder"):
        shelves.write(in_folder(f"sd/{name}", HF))
    assert gone(shelves.catalogue.prune(str(shelves.folder), keep_last=1, dry_run=False)) == []


@pytest.mark.parametrize("moment", range(3))
def test_a_crash_leaves_what_the_next_prune_finishes(
    shelves: Shelves, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    saved(shelves, 3)
    for step in (1, 2, 3):
        shelves.write(in_folder(f"checkpoint-{step}", HF))
    for source, step in (("j-1", 2), (str(shelves.folder), 3)):
        crashed(shelves, monkeypatch, source, moment)
        still = shelves.catalogue.list(source)
        assert [c.step for c in still if c.latest] == [step], "the latest is whole"
        assert all(c.name in (f"step_{c.step}.pt", f"checkpoint-{c.step}") for c in still), "no part passes for a whole"
        for each in still:
            assert each.size == sum(p.stat().st_size for p in parts(Path(each.uri)))
        report = shelves.catalogue.prune(source, keep_last=1, dry_run=False)
        assert report.leftovers or moment == 0, "what is left is named"
        assert shelves.catalogue.prune(source, keep_last=1).leftovers == []
    assert below(shelves) == ["1-00002.json", "1-00002/step_2.pt", "latest.json"]
    assert shelves.left() == sorted(in_folder("checkpoint-3", HF))


def parts(path: Path) -> list[Path]:
    return [each for each in path.iterdir() if each.name != TOMBSTONE] if path.is_dir() else [path]


def crashed(shelves: Shelves, monkeypatch: pytest.MonkeyPatch, source: str, moment: int) -> None:
    """Prune with a store that fails from a certain delete on, after half of it."""
    delete, count = ListableFolder.delete, iter(range(100))

    def half(store: ListableFolder, keys: Sequence[str]) -> None:
        if next(count) < moment:
            return delete(store, keys)
        delete(store, keys[: len(keys) // 2])
        raise StoreError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(ListableFolder, "delete", half)
        with pytest.raises(StorageUnavailable):
            shelves.catalogue.prune(source, keep_last=1, dry_run=False)


def test_a_training_that_runs_again_over_a_half_removed_folder_is_left_alone(shelves: Shelves) -> None:
    shelves.write(in_folder("checkpoint-1", {TOMBSTONE: b"{}", "optimizer.pt": b"1"}), at=10)
    assert shelves.catalogue.prune(str(shelves.folder), keep_last=1).leftovers == [f"{shelves.folder}/checkpoint-1/"]
    shelves.write(in_folder("checkpoint-1", HF), at=20)
    report = shelves.catalogue.prune(str(shelves.folder), keep_last=1, dry_run=False)
    assert report.leftovers == []
    assert [c.name for c in shelves.catalogue.list(str(shelves.folder))] == ["checkpoint-1"]


def test_dotted_files_of_a_record_go_too(shelves: Shelves) -> None:
    shelves.job("j-1")
    for seq in range(2):
        shelves.save("j-1", 1, seq, DCP)
    shelves.catalogue.prune("j-1", keep_last=1, dry_run=False)
    assert not (shelves.store.root / JobKeys("j-1").checkpoint_data(1, 0)).exists()


def test_a_manifest_cannot_name_what_lies_elsewhere(shelves: Shelves) -> None:
    shelves.write({"mine.txt": b"mine"})
    saved(shelves, 2)
    key = JobKeys("j-1").checkpoint_manifest(1, 0)
    manifest = json.loads(shelves.store.get(key).data)
    manifest["files"].append({"path": "../../../../../folder/mine.txt", "size": 4, "sha256": "0"})
    shelves.store.put(key, json.dumps(manifest).encode())
    shelves.catalogue.prune("j-1", keep_last=1, dry_run=False)
    assert shelves.left() == ["mine.txt"]
    assert [c.seq for c in shelves.catalogue.of_job("j-1")] == [1]


def test_a_report_reads_well(shelves: Shelves) -> None:
    saved(shelves, 3)
    report = shelves.catalogue.prune("j-1", keep_last=1)
    text = value_text(report)
    assert "2 checkpoints would be removed, 2 B, on this computer; 1 stay." in text
    assert "--yes" in text
    assert "the latest" in text
    assert set(report.to_dict()) >= {"source", "dry_run", "remove", "keep", "bytes", "usd_per_month", "region"}
    json.dumps(report.to_dict())
    assert "<table>" in notebook_bundle(report)["text/html"]
    assert "--yes" not in value_text(shelves.catalogue.prune("j-1", keep_last=1, dry_run=False))
    assert "Nothing to remove" in value_text(shelves.catalogue.prune("j-1", keep_last=1))


def test_a_card_counts_what_is_left(shelves: Shelves) -> None:
    saved(shelves, 3)
    shelves.records.end("j-1", checkpoint_count=3)
    job = shelves.records.job("j-1")
    assert view_of(job, checkpoints=shelves.catalogue.of_job("j-1")).checkpoint_count == 3
    shelves.catalogue.prune("j-1", keep_last=1, dry_run=False)
    assert view_of(job, checkpoints=shelves.catalogue.of_job("j-1")).checkpoint_count == 1


def test_what_storing_costs() -> None:
    assert usd_per_month(10 << 30, "us-east-1") == pytest.approx(0.23)
    assert usd_per_month(10 << 30, "mars-north-1") is None
    assert usd_per_month(10 << 30, None) is None


STATES = st.sampled_from([None, *JobState])
RULES = st.fixed_dictionaries(
    {},
    optional={
        "keep_last": st.integers(1, 6),
        "keep_best": st.integers(1, 6),
        "keep_every": st.integers(1, 6),
    },
).filter(bool)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[tuple[JobState | None, list[tuple[int, bool, float]]]], set[str]]:
    """Jobs: state, and of each checkpoint the number, whether it is complete, a metric; and files of a folder."""
    one = st.tuples(st.integers(0, 12), st.booleans(), st.floats(0, 1))
    jobs = draw(
        st.lists(st.tuples(STATES, st.lists(one, max_size=8, unique_by=lambda each: each[0])), min_size=1, max_size=3)
    )
    names = ("step_1.pt", "step_2.pt", "step_3.ckpt", "x/epoch=1.ckpt", "x/epoch=2.ckpt", "log.txt", "a.npy", "b.h5",
             "step_4.pt.part", "d/step-1/.metadata", "d/step-1/0.distcp", "d/step-2/0.distcp",
             "d/step-2/notes")  # fmt: skip
    return jobs, draw(st.sets(st.sampled_from(names)))


@given(worlds(), RULES, st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_prune_never_removes_what_must_stay(
    world: tuple[list[tuple[JobState | None, list[tuple[int, bool, float]]]], set[str]],
    rules: dict[str, int],
    data: st.DataObject,
) -> None:
    jobs, names = world
    with tempfile.TemporaryDirectory() as folder:
        shelves = Shelves(Path(folder))
        must_stay: set[Path] = set()
        for number, (state, checkpoints) in enumerate(jobs):
            job_id = f"j-{number}"
            shelves.job(job_id, state)
            whole = sorted(seq for seq, complete, _ in checkpoints if complete)
            for seq, complete, metric in sorted(checkpoints):
                prefix = shelves.save(job_id, 1, seq, manifest=complete, metrics={"loss": metric})
                runs = state is None or not state.ended
                if runs or not complete or seq == whole[-1]:
                    must_stay.add(shelves.store.root / prefix / f"step_{seq}.pt")
        shelves.write(dict.fromkeys(names, b"1"))
        unrecognised = ("log.txt", "a.npy", "b.h5", "step_4.pt.part", "d/step-2/0.distcp", "d/step-2/notes")
        must_stay |= {shelves.folder / name for name in names if name in unrecognised}
        sources = [*(f"j-{number}" for number in range(len(jobs))), shelves.store.uri, str(shelves.folder), folder]
        source = data.draw(st.sampled_from(sources))
        latest = [c.uri for c in shelves.catalogue.list(str(shelves.folder)) if c.latest]
        other = everything(Path(folder)) if source.startswith("j-") else set()
        try:
            report = shelves.catalogue.prune(source, dry_run=False, **rules)
        except InvalidRequest:
            assert "keep_best" in rules, "the only rule that can be impossible"
            return
        assert {path for path in must_stay if not path.exists()} == set()
        assert [uri for uri in latest if not Path(uri).exists()] == []
        assert all(not Path(each.uri).exists() for each in report.remove)
        assert all(Path(each.checkpoint.uri).exists() for each in report.keep)
        if source.startswith("j-"):
            prefix = str(shelves.store.root / JobKeys(source).checkpoints_prefix)
            removed = other - everything(Path(folder))
            assert all(str(path).startswith(prefix) for path in removed), "nothing outside the source"


def everything(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}
