"""A checkpoint that was stored in part and then given up: nothing of it is found among another's files."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from runctl_jupyter.run_record import CheckpointManifest, JobKeys, StoreError
from runctl_jupyter.runner.checkpoints import CheckpointUploader
from runctl_jupyter.runner.files import FolderFiles, StoredFile
from tests.runner.machines import until

KEYS = JobKeys("job-1")


class Unreachable(FolderFiles):
    """Takes no file of this name."""

    name = "second.bin"
    refused = 0

    def put_file(self, key: str, path: Path) -> StoredFile:
        if key.endswith(self.name):
            self.refused += 1
            raise StoreError("connection lost", transient=True)
        return super().put_file(key, path)


def checkpoint(folder: Path, name: str, *files: str) -> Path:
    part = folder / f"{name}.tmp"
    part.mkdir(parents=True)
    for file in ("config.json", *files):
        (part / file).write_text(f"{name} {file}")
    return part.rename(folder / name)


def stored(store: FolderFiles) -> list[str]:
    prefix = store.path(KEYS.checkpoint_data(1, 0).rstrip("/"))
    return sorted(each.name for each in prefix.rglob("*")) if prefix.exists() else []


def test_the_next_checkpoint_is_only_itself(tmp_path: Path) -> None:
    store, folder = Unreachable(tmp_path / "record"), tmp_path / "checkpoints"
    uploader = CheckpointUploader(store, KEYS, 1, folder, 0.02, lambda _: None, tmp_path / "saved.json")
    uploader.start()
    given_up = checkpoint(folder, "checkpoint-1", "first.bin", "second.bin")
    until(lambda: store.refused > 0)
    assert "first.bin" in stored(store)
    shutil.rmtree(given_up)  # as trainers do that keep the last few
    checkpoint(folder, "checkpoint-2", "weights.bin")
    until(lambda: uploader.count == 1)
    uploader.finish(time.monotonic() + 10)
    manifest = CheckpointManifest.from_json(store.get(KEYS.checkpoint_manifest(1, 0)).data)
    assert manifest.name == "checkpoint-2"
    assert stored(store) == ["config.json", "weights.bin"] == sorted(file.path for file in manifest.files)


def test_what_was_given_up_is_removed_at_the_end(tmp_path: Path) -> None:
    store, folder = Unreachable(tmp_path / "record"), tmp_path / "checkpoints"
    uploader = CheckpointUploader(store, KEYS, 1, folder, 0.02, lambda _: None, tmp_path / "saved.json")
    uploader.start()
    given_up = checkpoint(folder, "checkpoint-1", "first.bin", "second.bin")
    until(lambda: store.refused > 0)
    shutil.rmtree(given_up)
    assert uploader.finish(time.monotonic() + 10) == []
    assert stored(store) == []
