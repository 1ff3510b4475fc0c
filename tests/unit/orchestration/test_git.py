"""What git says of a project, whatever state git is in."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from runctl_jupyter.orchestration.storage.git import GitState, git_state, without_credentials
from tests.unit.orchestration.repositories import GIT, Project, needs_git


@pytest.fixture(autouse=True)
def no_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "project")
    made.git("init", "-q", "-b", "main")
    return made


@needs_git
def test_a_clean_project_is_its_commit(project: Project) -> None:
    commit = project.commit(**{"fit.py": b"1\n"})
    project.git("remote", "add", "origin", "https://me:ghp_secret@example.com/me/project.git")
    assert project.state() == GitState(commit, "main", "https://example.com/me/project.git", None)
    project.git("checkout", "-q", "--detach")
    assert project.state().branch is None


@needs_git
def test_the_exact_source_can_be_had_again(project: Project, tmp_path: Path) -> None:
    before = {
        "fit.py": b"a\nb\nc\n", "same.py": b"same", "gone.py": b"gone\n", "p/a b \u00fc.py": b"no end",
        "image.bin": bytes(range(256)) * 40, "mode.sh": b"#!/bin/sh\n",
    }  # fmt: skip
    commit = project.commit(**before)
    project.write("fit.py", b"a\nB\nc")
    project.write("p/a b \u00fc.py", b"--- a/x\n+++ b/x\ndiff --git a/x b/x\n")
    project.write("image.bin", bytes(range(255, -1, -1)) * 40)
    project.write("new/module.py", b"new\n")
    (project.root / "gone.py").unlink()
    (project.root / "mode.sh").chmod(0o755)
    difference = project.difference()

    again = tmp_path / "again"
    project.git("clone", "-q", ".", str(again))
    (tmp_path / "patch").write_bytes(difference)
    subprocess.run([str(GIT), "apply", str(tmp_path / "patch")], cwd=again, check=True)
    assert project.git("rev-parse", "HEAD") == commit
    for path in ("fit.py", "same.py", "image.bin", *[name for name in before if name.startswith("p/")]):
        assert (again / path).read_bytes() == (project.root / path).read_bytes()
    assert os.access(again / "mode.sh", os.X_OK)
    assert b"\n# deleted: gone.py\n" in difference
    assert b"\n# untracked: new/module.py\n" in difference


@needs_git
def test_a_project_in_a_folder_of_a_repository(project: Project, tmp_path: Path) -> None:
    project.commit(**{"sub/fit.py": b"1\n", "other/x.py": b"1\n"})
    project.write("sub/fit.py", b"2\n")
    project.write("other/x.py", b"outside\n")
    difference = project.difference("sub")
    assert b"outside" not in difference
    project.git("stash", "-q")
    (tmp_path / "patch").write_bytes(difference)
    subprocess.run([str(GIT), "apply", str(tmp_path / "patch")], cwd=project.root / "sub", check=True)
    assert (project.root / "sub/fit.py").read_bytes() == b"2\n"


@needs_git
def test_what_does_not_travel_and_secrets_are_not_in_it(project: Project) -> None:
    project.commit(**{
        ".runctlignore": b"private/\n", ".gitignore": b"*.local\n", "private/a.py": b"1", "x.local": b"1",
        ".env": b"A=1", "conf/prod.env": b"A=1", "key.pem": b"1", "__pycache__/x.py": b"1", "fit.py": b"1\n",
    })  # fmt: skip
    for path in ("private/a.py", "x.local", ".env", "conf/prod.env", "key.pem", "__pycache__/x.py"):
        project.write(path, b"hunter2")
    project.write("untracked.local", b"hunter2")
    difference = project.difference()
    assert b"hunter2" not in difference
    assert b"# changed, not kept: .env\n" in difference
    assert b"# changed, not kept: conf/prod.env\n" in difference
    assert b"private" not in difference
    assert b"untracked" not in difference
    (project.root / ".env").unlink()
    assert b"A=1" not in project.difference()


@needs_git
def test_settings_of_the_user_do_not_change_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.commit(**{"fit.py": b"1\n"})
    project.write("fit.py", b"2\n")
    plain = project.difference()
    for name, value in (
        ("color.ui", "always"), ("diff.external", "false"), ("diff.noprefix", "true"), ("diff.mnemonicPrefix", "true"),
        ("core.pager", "false"), ("core.quotePath", "true"),
    ):  # fmt: skip
        project.git("config", name, value)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    assert project.difference() == plain
    assert plain.endswith(b"-1\n+2\n")


@needs_git
def test_the_index_is_left_alone(project: Project) -> None:
    project.commit(**{"fit.py": b"1\n"})
    index = project.root / ".git/index"
    os.utime(project.root / "fit.py", (1, 1))  # git would note the new time in its index
    before = index.read_bytes()
    (project.root / ".git/index.lock").touch()  # somebody commits at this moment
    assert project.difference() == b""
    assert index.read_bytes() == before


@needs_git
def test_submodules(project: Project, tmp_path: Path) -> None:
    inner = Project(tmp_path / "inner")
    inner.git("init", "-q", "-b", "main")
    inner.commit(**{"lib.py": b"1\n"})
    project.commit(**{"fit.py": b"1\n"})
    project.git("submodule", "add", "-q", str(inner.root), "vendor")
    project.commit()
    assert project.difference() == b""
    submodule = Project(project.root / "vendor")
    submodule.commit(**{"lib.py": b"2\n"})
    difference = project.difference()
    assert b"# another commit of the submodule: vendor\n" in difference
    assert b"untracked" not in difference


@needs_git
def test_a_conflict_and_what_is_staged(project: Project) -> None:
    project.commit(**{"fit.py": b"0\n"})
    project.git("checkout", "-q", "-b", "other")
    project.commit(**{"fit.py": b"1\n"})
    project.git("checkout", "-q", "main")
    project.commit(**{"fit.py": b"2\n"})
    with pytest.raises(subprocess.CalledProcessError):
        project.git("merge", "-q", "other")
    project.write("staged.py", b"staged\n")
    project.git("add", "staged.py")
    difference = project.difference()
    assert b"+<<<<<<< HEAD" in difference
    assert b"+staged\n" in difference


@needs_git
def test_what_is_too_large_says_so(project: Project) -> None:
    project.commit(**{"fit.py": b"0\n"})
    project.write("fit.py", b"x" * 5000)
    difference = project.difference(most_bytes=2000)
    assert difference == b"# runctl: what differs from the commit is not kept: it has more than 0.002 MB.\n"
    assert b"x" * 5000 in project.difference(most_bytes=20_000)


@needs_git
def test_thousands_of_changes_and_names(project: Project) -> None:
    names = [f"a-rather-long-folder-name/{'m' * 40}{i:04d}.py" for i in range(1200)]
    project.commit(**dict.fromkeys(names, b"0\n"))
    for name in names:
        project.write(name, b"1\n")
        project.write(f"new/{name[-8:]}", b"1\n")
    difference = project.difference(limit_s=60)
    assert difference.count(b"\ndiff --git ") == 1200
    assert difference.count(b"\n# untracked: ") == 1000
    assert b"\n# and 200 more\n" in difference


@needs_git
def test_names_of_any_kind(project: Project) -> None:
    project.commit()
    project.write("a\nb.py", b"1")
    project.write(os.fsdecode(b"\xff.py"), b"1")
    difference = project.difference()
    assert b'# untracked: "a\\nb.py"\n' in difference
    assert difference.count(b"\n") == 3


def test_without_repository(tmp_path: Path) -> None:
    assert git_state(tmp_path, []) is None


@needs_git
def test_without_a_commit(project: Project) -> None:
    project.write("fit.py", b"1")
    assert git_state(project.root, ["fit.py"]) is None


@needs_git
@pytest.mark.parametrize("broken", ["HEAD", "index", "objects"])
def test_a_broken_repository(project: Project, broken: str) -> None:
    project.commit(**{"fit.py": b"0\n"})
    project.write("fit.py", b"1\n")
    path = project.root / ".git" / broken
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.write_bytes(b"\x00garbage")
    state = git_state(project.root, ["fit.py"])
    assert state is None or b"is not kept" in (state.difference or b"")


@needs_git
def test_a_machine_without_git(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project.commit()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(project.root, []) is None


def put_git(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    program = folder / "git"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@needs_git
def test_a_slow_git_is_given_up_with_its_children(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.commit()
    # A child that keeps the pipe open after git itself is gone.
    put_git(tmp_path / "bin", f"sleep 600 & echo $! > {tmp_path}/pid; wait", monkeypatch)
    began = time.monotonic()
    assert git_state(project.root, [], limit_s=1.0) is None
    assert time.monotonic() - began < 60
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 30
    while _alive(child):
        assert time.monotonic() < deadline, "its child is left"
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


@needs_git
@pytest.mark.parametrize("behaviour", ["exit 129", "sleep 600"])
def test_a_git_that_only_knows_the_commit(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    commit = project.commit(**{"fit.py": b"0\n"})
    put_git(tmp_path / "bin", f'case "$*" in *--raw*) {behaviour};; *) exec {GIT} "$@";; esac', monkeypatch)
    state = git_state(project.root, ["fit.py"], limit_s=5.0 if behaviour.startswith("exit") else 2.0)
    assert state is not None
    assert state.commit == commit
    assert (state.difference or b"").startswith(b"# runctl: what differs from the commit is not kept: git d")


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://example.com/a/b.git", "https://example.com/a/b.git"),
        ("https://user:pass@example.com/a", "https://example.com/a"),
        ("https://ghp_token@example.com:8443/@scope/a", "https://example.com:8443/@scope/a"),
        ("https://user:p@ss@example.com/a", "https://example.com/a"),
        ("https://user:pa/ss@example.com/a", None),
        ("https://example.com/a?private_token=x#y", "https://example.com/a"),
        ("https://u:p@[::1]:80/a", "https://[::1]:80/a"),
        ("ssh://git@example.com:22/a", "ssh://git@example.com:22/a"),
        ("ssh://git:pass@example.com/a", "ssh://example.com/a"),
        ("git@example.com:a/b.git", "git@example.com:a/b.git"),
        ("/srv/git/a.git", "/srv/git/a.git"),
        ("file:///srv/a.git", "file:///srv/a.git"),
        ("codecommit::us-east-1://profile@repo", "codecommit::us-east-1://repo"),
        ("ext::sh -c 'curl -u me:pass example.com'", None),
        ("ext::sh -c curl://me:pass@example.com", None),
    ],
)
def test_remotes_without_credentials(url: str, kept: str | None) -> None:
    assert without_credentials(url) == kept


@needs_git
def test_the_branchs_own_remote_is_meant(project: Project) -> None:
    project.commit()
    assert project.state().remote is None
    project.git("remote", "add", "fork", "https://example.com/fork")
    assert project.state().remote == "https://example.com/fork"
    project.git("remote", "add", "origin", "https://example.com/origin")
    assert project.state().remote == "https://example.com/origin"
    project.git("config", "branch.main.remote", "fork")
    assert project.state().remote == "https://example.com/fork"
