"""Code sync: what is stored gives the project back, and only what is new moves."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runctl_jupyter.orchestration.config import SyncSettings
from runctl_jupyter.orchestration.storage.code_sync import Synced, sync_project
from runctl_jupyter.orchestration.storage.folder import ListableFolder
from runctl_jupyter.orchestration.storage.project import project_files
from runctl_jupyter.run_record import CodeTree, blob_key

OLD = 1_600_000_000


class Project:
    def __init__(self, tmp_path: Path) -> None:
        self.root, self.cache = tmp_path / "project", tmp_path / "cache"
        self.store = ListableFolder(tmp_path / "store")
        self.root.mkdir()

    def write(self, name: str, data: bytes, at: int = OLD) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (at, at))

    def sync(self, **extra: bytes) -> Synced:
        return sync_project(
            self.store, self.root, project_files(self.root, SyncSettings()), cache_dir=self.cache, extra=extra
        )

    def restored(self, synced: Synced) -> dict[str, bytes]:
        tree = CodeTree.from_json(self.store.get(blob_key(synced.tree)).data)
        out = {}
        for file in tree.files:
            data = self.store.get(blob_key(file.pack)).data[file.offset : file.offset + file.size]
            assert hashlib.sha256(data).hexdigest() == file.sha256
            out[file.path] = data
        return out

    def blobs(self) -> set[str]:
        return {o.key for o in self.store.walk("blobs/")}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_everything_comes_back(project: Project) -> None:
    files = {
        "train.py": b"print(1)",
        "src/a b/\xc3\xbc.py".encode().decode("latin-1"): b"x",
        "empty": b"",
        "copy": b"x",
    }
    for name, data in files.items():
        project.write(name, data)
    assert project.restored(project.sync(**{"cell.py": b"cell"})) == {**files, "cell.py": b"cell"}


def test_an_unchanged_project_moves_nothing(project: Project) -> None:
    project.write("a.py", b"a")
    project.write("b.py", b"b")
    first = project.sync()
    before = project.blobs()
    again = project.sync()
    assert (again.tree, again.uploaded) == (first.tree, 0)
    assert project.blobs() == before


def test_one_changed_file_moves_its_own_bytes_only(project: Project) -> None:
    for i in range(50):
        project.write(f"m{i}.py", b"%03d" % i * 100)
    project.sync()
    project.write("m7.py", b"new", at=OLD + 1)
    synced = project.sync()
    assert synced.uploaded == 3
    assert project.restored(synced)["m7.py"] == b"new"
    assert len(project.restored(synced)) == 50


def test_a_removed_file_is_gone_from_the_tree(project: Project) -> None:
    project.write("a.py", b"a")
    project.write("b.py", b"b")
    project.sync()
    (project.root / "b.py").unlink()
    assert project.restored(project.sync()) == {"a.py": b"a"}


def test_a_change_that_keeps_size_and_recent_time_is_seen(project: Project) -> None:
    """As git's racy entries: a file written just before it was hashed is hashed again."""
    path = project.root / "a.py"
    path.write_bytes(b"1111")
    stamp = path.stat().st_mtime_ns
    project.sync()
    path.write_bytes(b"2222")
    os.utime(path, ns=(stamp, stamp))
    assert project.restored(project.sync()) == {"a.py": b"2222"}


def test_packs_lost_from_the_store_are_uploaded_again(project: Project) -> None:
    project.write("a.py", b"a")
    project.sync()
    for key in project.blobs():
        project.store.path(key).unlink()
    assert project.restored(project.sync()) == {"a.py": b"a"}


def test_a_lost_or_broken_cache_costs_an_upload_only(project: Project) -> None:
    project.write("a.py", b"a")
    first = project.sync()
    for file in project.cache.iterdir():
        file.write_text("{not json")
    assert project.sync().tree == first.tree


def test_many_small_syncs_are_packed_anew(project: Project) -> None:
    synced = project.sync()
    for i in range(20):
        project.write(f"m{i}.py", b"%d" % i, at=OLD + i)
        synced = project.sync()
    tree = CodeTree.from_json(project.store.get(blob_key(synced.tree)).data)
    assert len(tree.packs) <= 13
    assert len(project.restored(synced)) == 20


def test_a_file_that_grows_or_goes_while_it_is_synced_is_taken_as_it_is_then(project: Project) -> None:
    for name in ("train.py", "grows.log", "goes.tmp"):
        project.write(name, b"first ")
    found = project_files(project.root, SyncSettings())
    project.write("grows.log", b"first and more")
    (project.root / "goes.tmp").unlink()
    synced = sync_project(project.store, project.root, found, cache_dir=project.cache)
    assert project.restored(synced) == {"train.py": b"first ", "grows.log": b"first and more"}
    project.write("grows.log", b"first ")
    assert project.restored(project.sync())["grows.log"] == b"first "


def test_syncs_of_one_project_at_once_do_not_disturb_each_other(project: Project) -> None:
    for i in range(200):
        project.write(f"m{i}.py", b"%d" % i)
    with ThreadPoolExecutor(8) as pool:
        trees = {synced.tree for synced in pool.map(lambda _: project.sync(), range(40))}
    assert len(trees) == 1
    assert [file.suffix for file in project.cache.iterdir()] == [".json"]


def test_a_cache_that_cannot_be_written_does_not_keep_a_job_from_its_launch(project: Project) -> None:
    project.write("a.py", b"a")
    project.cache.write_text("a file where the folder would be")
    assert project.restored(project.sync()) == {"a.py": b"a"}
