"""The engine in a sandbox of the session's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runctl_jupyter.orchestration import Instance, Runctl
from runctl_jupyter.sandbox.connection import Connection

Engine = Callable[[dict[str, str]], Runctl]


@pytest.fixture
def engine(sandbox: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Make a `Runctl` for a project with these files."""
    monkeypatch.setenv("RUNCTL_SANDBOX_HOME", sandbox.home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def make(files: dict[str, str]) -> Runctl:
        project = tmp_path / "project"
        for name, text in files.items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(text)
        project.mkdir(exist_ok=True)
        return Runctl(target="sandbox", cwd=project)

    return make


@pytest.fixture(scope="module")
def dev(sandbox: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance that takes jobs, for a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNCTL_SANDBOX_HOME", sandbox.home)
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("dev-data")))
        rc = Runctl(target="sandbox", cwd=tmp_path_factory.mktemp("dev"))
        instance = rc.instances.create("m5.large", wait=True)
        assert isinstance(instance, Instance)
        yield instance
        rc.instances.terminate(instance.id, wait=True, force=True)
