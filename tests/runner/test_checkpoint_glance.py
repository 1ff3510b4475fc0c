"""A glance at the checkpoint folder: it must see whatever a look would find new."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runctl_jupyter.runner.checkpoint_files import glance


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("step_1.pt", "run/checkpoint-2/model.bin", "run/checkpoint-2/config.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"weights")
        os.utime(tmp_path / name, (1e9, 1e9))
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    return tmp_path


def rewrite(path: Path) -> None:
    path.write_bytes(b"weighty")


CHANGES: dict[str, Callable[[Path], object]] = {
    "another": lambda folder: (folder / "step_2.pt").touch(),
    "written anew, of the same size": lambda folder: rewrite(folder / "step_1.pt"),
    "replaced": lambda folder: (folder / "run/checkpoint-2/model.bin").replace(folder / "step_1.pt"),
    "in a folder": lambda folder: rewrite(folder / "run/checkpoint-2/model.bin"),
    "renamed": lambda folder: (folder / "run").rename(folder / "walk"),
    "removed": lambda folder: (folder / "step_1.pt").unlink(),
    "behind a link": lambda folder: (folder / "nowhere").touch(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_it_sees_every_change(folder: Path, change: Callable[[Path], object]) -> None:
    before = glance(folder)
    assert glance(folder) == before
    change(folder)
    assert glance(folder) != before


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert glance(tmp_path / "checkpoints") == frozenset()
