"""Checkpoints when the store fails between data, manifest and pointer: none is lost, doubled or written over."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from runctl_jupyter.run_record import CheckpointManifest, JobKeys, LatestCheckpoint, NotFound, StoreError
from runctl_jupyter.runner.checkpoint_files import candidates, is_whole
from runctl_jupyter.runner.checkpoints import CheckpointUploader
from runctl_jupyter.runner.files import FolderFiles
from runctl_jupyter.runner.resume import candidates_for_resume
from tests.runner.machines import until

KEYS = JobKeys("job-1")


class UnsteadyStore(FolderFiles):
    """Before or after the next write of a key that ends as told, the connection is lost."""

    lose_before = ""
    lose_after = ""

    def put(
        self,
        key: str,
        data: bytes,
        *,
        create_only: bool = False,
        if_etag: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        if self.lose_before and key.endswith(self.lose_before):
            raise StoreError("connection lost", transient=True)
        etag = super().put(key, data, create_only=create_only, if_etag=if_etag, metadata=metadata)
        if self.lose_after and key.endswith(self.lose_after):
            self.lose_after = ""
            raise StoreError("connection lost", transient=True)
        return etag


class Folder:
    """A checkpoint folder that is watched."""

    def __init__(self, at: Path) -> None:
        self.store = UnsteadyStore(at / "record")
        self.path = at / "checkpoints"
        self.path.mkdir()
        self.said: list[str] = []

    def watch(self, *, again: bool = False) -> CheckpointUploader:
        found = CheckpointUploader(
            self.store, KEYS, 1, self.path, 0.02, self.said.append, self.path.parent / "saved.json", again=again
        )
        found.start()
        return found

    def write(self, name: str, data: bytes) -> None:
        temporary = self.path / f"{name}.tmp"
        temporary.write_bytes(data)
        temporary.rename(self.path / name)

    def manifests(self) -> list[CheckpointManifest]:
        found: list[CheckpointManifest] = []
        try:
            while True:
                key = KEYS.checkpoint_manifest(1, len(found))
                found.append(CheckpointManifest.from_json(self.store.get(key).data))
        except NotFound:
            return found

    def check(self) -> None:
        """What is visible is whole."""
        for manifest in self.manifests():
            for file in manifest.files:
                data = self.store.get(KEYS.checkpoint_data(1, manifest.seq) + file.path).data
                assert hashlib.sha256(data).hexdigest() == file.sha256

    def latest(self) -> int:
        return LatestCheckpoint.from_json(self.store.get(KEYS.latest_checkpoint).data).seq


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def finish(uploader: CheckpointUploader) -> list[str]:
    return uploader.finish(time.monotonic() + 10)


def test_what_was_synced_with_the_project_is_not_this_jobs(folder: Folder) -> None:
    folder.write("old.bin", b"of an earlier run")
    uploader = folder.watch()
    folder.write("new.bin", b"new")
    assert finish(uploader) == []
    assert [m.name for m in folder.manifests()] == ["new.bin"]


@pytest.mark.parametrize("moment", ["lose_before", "lose_after"])
@pytest.mark.parametrize("key", ["1-00000.json", "latest.json"])
def test_a_lost_connection_is_made_good(folder: Folder, moment: str, key: str) -> None:
    setattr(folder.store, moment, key)
    uploader = folder.watch()
    folder.write("a.bin", b"a")
    until(lambda: list(folder.store.root.glob("jobs/*/checkpoints/1-00000/a.bin")))
    folder.store.lose_before = ""
    assert finish(uploader) == []
    assert [m.name for m in folder.manifests()] == ["a.bin"]
    assert uploader.count == 1
    assert sum("saved" in line for line in folder.said) == 1
    assert folder.latest() == 0
    folder.check()


def test_a_manifest_that_was_stored_unnoticed_keeps_its_data(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to the manifest is lost, and before the next try the script writes the file anew."""
    seen: list[bytes] = []
    written = folder.store.put

    def put(key: str, data: bytes, **condition: object) -> str:
        if key == KEYS.checkpoint_manifest(1, 0) and not seen:
            seen.append(data)
            written(key, data, **condition)  # type: ignore[arg-type]
            folder.write("last.bin", b"second, and longer")
            raise StoreError("connection lost", transient=True)
        return written(key, data, **condition)  # type: ignore[arg-type]

    monkeypatch.setattr(folder.store, "put", put)
    uploader = folder.watch()
    folder.write("last.bin", b"first")
    until(lambda: seen)
    assert finish(uploader) == []
    assert [m.size for m in folder.manifests()] == [5, 18]
    assert folder.latest() == 1
    folder.check()


def test_a_next_runner_writes_behind_a_gap_and_never_into_it(folder: Folder) -> None:
    first = folder.watch()
    for count, name in enumerate(("a.bin", "b.bin"), 1):
        folder.write(name, name.encode())
        until(lambda: first.count == count)  # noqa: B023
    assert finish(first) == []
    folder.store.path(KEYS.checkpoint_manifest(1, 0)).unlink()  # as pruned
    (folder.path.parent / "saved.json").unlink()
    second = folder.watch(again=True)
    folder.write("c.bin", b"c")
    assert finish(second) == []
    names = folder.store.names(KEYS.checkpoints_prefix)
    assert sorted(names) == ["1-00001.json", "1-00002.json", "1-00003.json", "latest.json"]
    saved = {n: CheckpointManifest.from_json(folder.store.get(KEYS.checkpoint_manifest(1, n)).data) for n in (1, 2, 3)}
    assert saved[1].name == "b.bin"
    assert {saved[2].name, saved[3].name} == {"a.bin", "c.bin"}, "what is not stored any more is stored anew"
    assert folder.store.get(KEYS.checkpoint_data(1, 1) + "b.bin").data == b"b.bin"
    assert saved[folder.latest()].name == "c.bin"


def test_a_store_that_stays_away_is_a_problem_with_a_name(folder: Folder) -> None:
    folder.store.lose_before = ".json"
    uploader = folder.watch()
    folder.write("a.bin", b"a")
    (problem,) = uploader.finish(time.monotonic() + 0.3)
    assert "a.bin" in problem
    assert folder.manifests() == []


def test_the_newest_comes_first_when_time_is_short_and_stays_the_latest(folder: Folder) -> None:
    uploader = CheckpointUploader(
        folder.store, KEYS, 1, folder.path, 0.02, folder.said.append, folder.path.parent / "saved.json"
    )
    for step in (1, 2, 3):
        folder.write(f"step_{step}.bin", b"x" * step)
        until(lambda: time.time() - (folder.path / f"step_{step}.bin").stat().st_mtime > 0.02)  # noqa: B023
    uploader.start()
    assert uploader.finish(time.monotonic() + 10, urgent=True) == []
    found = folder.manifests()
    assert {m.step for m in found} == {1, 2, 3}
    assert found[folder.latest()].step == 3


def test_what_was_written_within_a_tick_of_the_clock_keeps_its_order(folder: Folder) -> None:
    uploader = CheckpointUploader(
        folder.store, KEYS, 1, folder.path, 60.0, folder.said.append, folder.path.parent / "saved.json"
    )
    for step in (1, 2, 3):
        folder.write(f"step_{step}.bin", b"x" * step)
        os.utime(folder.path / f"step_{step}.bin", (1_700_000_000, 1_700_000_000))
    assert uploader.finish(time.monotonic() + 10, urgent=True) == []
    found = folder.manifests()
    assert found[folder.latest()].step == 3
    offered = [each.seq for each in candidates_for_resume(folder.store, KEYS.job_id)]
    assert [next(m.step for m in found if m.seq == seq) for seq in offered] == [3, 2, 1]


@pytest.mark.parametrize("name", ["part.distcp.tmp", "model.partial"])
def test_a_folder_with_a_file_on_its_way_is_not_whole(tmp_path: Path, name: str) -> None:
    (tmp_path / "step_1").mkdir()
    for file in (".metadata", "0.distcp", name, "gone.lock"):
        (tmp_path / "step_1" / file).write_bytes(b"x")
    (candidate,) = candidates(tmp_path)
    assert candidate.format == "dcp"
    assert not is_whole(candidate)
    (tmp_path / "step_1" / name).rename(tmp_path / "step_1" / "1.distcp")
    (candidate,) = candidates(tmp_path)
    assert is_whole(candidate)
    assert [path.name for path in candidate.files] == [".metadata", "0.distcp", "1.distcp"]
