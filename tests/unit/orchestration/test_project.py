"""Which files travel: the same as git says, and a guard that names what is big."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runctl_jupyter.orchestration.config import SyncSettings
from runctl_jupyter.orchestration.errors import InvalidRequest, ProjectTooBig
from runctl_jupyter.orchestration.storage.project import project_files

GIT = shutil.which("git")
PATTERNS = ["*.log", "/a", "b/", "!b/keep.log", "a/**/c", "**/d", "?x", "[ab].py", "!a.py", "#c", "a b", "c/*", "!c/e"]


def make(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def names(root: Path) -> list[str]:
    return [file.path for file in project_files(root, SyncSettings())]


def test_ignored_folders_do_not_travel_and_negation_works(tmp_path: Path) -> None:
    make(
        tmp_path,
        {
            ".gitignore": "data/\n*.log\n!keep.log\n",
            "train.py": "",
            "data/big.bin": "x",
            "a.log": "",
            "keep.log": "",
            "sub/.gitignore": "*.tmp\n!b.log\n",
            "sub/x.tmp": "",
            "sub/b.log": "",
            ".git/config": "",
            "__pycache__/a.pyc": "",
        },
    )
    assert names(tmp_path) == [".gitignore", "keep.log", "sub/.gitignore", "sub/b.log", "train.py"]


def test_rules_of_the_repository_above_apply(tmp_path: Path) -> None:
    make(tmp_path, {".git/HEAD": "", ".gitignore": "*.ckpt\n", "exp/a.ckpt": "", "exp/train.py": ""})
    assert names(tmp_path / "exp") == ["train.py"]


def test_runctlignore_is_for_what_git_keeps(tmp_path: Path) -> None:
    make(tmp_path, {".runctlignore": "docs/\n", "docs/a.md": "", "t.py": ""})
    assert names(tmp_path) == [".runctlignore", "t.py"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    patterns=st.lists(
        st.sampled_from(PATTERNS),
        max_size=5,
    )
)
def test_the_same_files_as_git(tmp_path_factory: pytest.TempPathFactory, patterns: list[str]) -> None:
    assert GIT, "git decides what is right here: install it"
    root = tmp_path_factory.mktemp("repo")
    tree = [
        "a.py",
        "b.py",
        "a/c",
        "a/x/c",
        "b/keep.log",
        "b/z",
        "c/e",
        "c/f",
        "c/d/g",
        "ax",
        "d/h",
        "q.log",
        "a b",
        "#c",
    ]
    tree = [name for name in tree if name not in ("a/c", "a/x/c")] + ["a/c", "a/x/c"]
    make(root, {**dict.fromkeys(tree, "x"), ".gitignore": "\n".join(patterns) + "\n"})
    git = ["git", "-C", str(root), "-c", "core.excludesFile="]
    subprocess.run([*git, "init", "-q"], check=True)
    told = subprocess.run(
        [*git, "ls-files", "-z", "-co", "--exclude-standard"], check=True, capture_output=True, text=True
    ).stdout
    assert names(root) == sorted(name for name in told.split("\0") if name)


def test_a_big_project_is_refused_and_the_biggest_is_named(tmp_path: Path) -> None:
    make(tmp_path, {"t.py": ""})
    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / "x.bin").open("wb") as big:
        big.truncate(3_000_000)
    with pytest.raises(ProjectTooBig, match=r"data/ 3\.0 MB") as error:
        project_files(tmp_path, SyncSettings(max_mb=2))
    assert ".gitignore" in error.value.to_resolve


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    make(tmp_path, {f"many/{i}": "" for i in range(30)})
    with pytest.raises(ProjectTooBig, match="more than 20 files"):
        project_files(tmp_path, SyncSettings(max_files=20))


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no folder"):
        project_files(tmp_path / "nowhere", SyncSettings())
