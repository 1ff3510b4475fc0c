"""Control groups are laid out as the version in use wants them (a tree of plain files stands for the kernel's)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runctl_jupyter.sandbox.hosts.limits import LimitGroups, Limits

PARENT = f"sbx-tag-{os.getpid()}"
LIMITS = Limits(memory_mib=512, processes=100)


def test_version_2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    groups = LimitGroups("tag", tmp_path)
    groups.prepare()
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert (tmp_path / f"{PARENT}/cgroup.subtree_control").read_text() == "+memory +pids"
    machine = tmp_path / f"{PARENT}/i-1"
    machine.mkdir()
    (machine / "memory.swap.max").write_text("max")
    assert groups.create("i-1", LIMITS) == [machine / "cgroup.procs"]
    written = {path.name: path.read_text() for path in machine.iterdir()}
    assert written == {"memory.max": str(512 << 20), "memory.swap.max": "0", "pids.max": "100"}


def test_version_2_without_swap_accounting(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("memory pids")
    groups = LimitGroups("tag", tmp_path)
    groups.prepare()
    groups.create("i-1", LIMITS)
    assert {path.name for path in (tmp_path / f"{PARENT}/i-1").iterdir()} == {"memory.max", "pids.max"}


def test_version_1(tmp_path: Path) -> None:
    for controller in ("memory", "pids"):
        (tmp_path / controller).mkdir()
    groups = LimitGroups("tag", tmp_path)
    groups.prepare()
    joined = groups.create("i-1", LIMITS)
    assert joined == [tmp_path / name / f"{PARENT}/i-1/cgroup.procs" for name in ("memory", "pids")]
    assert (tmp_path / f"memory/{PARENT}/i-1/memory.limit_in_bytes").read_text() == str(512 << 20)
    assert (tmp_path / f"pids/{PARENT}/i-1/pids.max").read_text() == "100"


def test_no_control_groups_at_all(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such control group hierarchy"):
        LimitGroups("tag", tmp_path).prepare()


def test_sweep_takes_the_groups_of_dead_sandboxes_only(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / "cgroup.controllers").write_text("memory pids")
    dead, alive = tmp_path / f"sbx-other-{ended.pid}", tmp_path / f"sbx-another-{os.getppid()}"
    for parent in (dead, alive):
        (parent / "i-1").mkdir(parents=True)
    LimitGroups("tag", tmp_path).sweep()
    assert [path.name for path in tmp_path.glob("sbx-*")] == [alive.name]
    assert (alive / "i-1").is_dir()
