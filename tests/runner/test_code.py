"""The project as it is laid out on the machine: every byte, in its folder, and nowhere else."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest

from runctl_jupyter.run_record import CodeFile, CodeTree, blob_key
from runctl_jupyter.runner.code import CodeError, lay_out
from runctl_jupyter.runner.files import BLOCK, FolderFiles

FILES = {
    "train.py": b"print(1)\n",
    "empty": b"",
    "deep/er/big.bin": bytes(range(256)) * (BLOCK // 256) + b"and more",
    "deep/run.sh": b"#!/bin/sh\n",
}


class Project:
    """A record with one project in one pack, and a machine."""

    def __init__(self, folder: Path, files: dict[str, bytes]) -> None:
        self.store, self.blobs, self.work = FolderFiles(folder / "record"), folder / "blobs", folder / "work"
        for each in (self.blobs, self.work):
            each.mkdir()
        pack = b"".join(files.values())
        self.pack = hashlib.sha256(pack).hexdigest()
        self.store.put(blob_key(self.pack), pack)
        rows, offset = [], 0
        for path, data in files.items():
            mode = 0o755 if path.endswith(".sh") else 0o644
            rows.append(CodeFile(path, mode, len(data), hashlib.sha256(data).hexdigest(), self.pack, offset))
            offset += len(data)
        tree = CodeTree(rows).to_json()
        self.tree = hashlib.sha256(tree).hexdigest()
        self.store.put(blob_key(self.tree), tree)

    def lay_out(self) -> dict[str, bytes]:
        lay_out(self.store, self.tree, self.blobs, self.work)
        found = (path for path in self.work.rglob("*") if path.is_file())
        return {path.relative_to(self.work).as_posix(): path.read_bytes() for path in found}


def test_every_byte_and_mode_arrives(tmp_path: Path) -> None:
    project = Project(tmp_path, FILES)
    assert project.lay_out() == FILES
    assert stat.S_IMODE((project.work / "deep/run.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((project.work / "train.py").stat().st_mode) == 0o644


def test_what_lies_there_is_replaced_and_no_link_is_followed(tmp_path: Path) -> None:
    project = Project(tmp_path, FILES)
    other = tmp_path / "other"
    other.write_bytes(b"not the project's")
    (project.work / "train.py").symlink_to(other)
    (project.work / "empty").hardlink_to(other)
    assert project.lay_out() == FILES
    assert other.read_bytes() == b"not the project's"


@pytest.mark.parametrize("damage", [b"", b"x" * 3, b"x" * sum(map(len, FILES.values()))])
def test_a_damaged_pack_on_the_disk_is_fetched_anew(tmp_path: Path, damage: bytes) -> None:
    project = Project(tmp_path, FILES)
    (project.blobs / project.pack).write_bytes(damage)
    assert project.lay_out() == FILES


@pytest.mark.parametrize("path", ["../out", "/out", "a/../../out", "", "a//b", "./a", "a/"])
def test_no_file_is_written_when_one_would_lie_outside(tmp_path: Path, path: str) -> None:
    project = Project(tmp_path, {"train.py": b"1", path: b"2"})
    with pytest.raises(CodeError):
        project.lay_out()
    assert list(project.work.iterdir()) == []
    assert not (tmp_path / "out").exists()
