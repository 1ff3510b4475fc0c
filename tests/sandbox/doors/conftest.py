"""A sandbox of this test session's own, and the terminal in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Terminal:
    """Runs ``runctl`` lines in a folder, as a user would."""

    folder: Path
    env: Mapping[str, str]
    on: tuple[str, ...] = ()
    """What a launching line says of the machine."""

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a line; its output can be read from pipes."""
        return subprocess.Popen(
            [sys.executable, "-m", "runctl_jupyter", *words], cwd=self.folder, env=dict(self.env),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *words: str, status: int = 0, timeout: float = 120) -> tuple[bytes, str]:
        """Run a line to its end and return stdout and stderr."""
        done = subprocess.run(
            [sys.executable, "-m", "runctl_jupyter", *words], cwd=self.folder, env=dict(self.env), capture_output=True,
            timeout=timeout, check=False,
        )  # fmt: skip
        error = done.stderr.decode()
        assert done.returncode == status, (words, done.returncode, done.stdout[-2000:], error)
        return done.stdout, error

    def json(self, *words: str) -> Any:
        """Run a line with ``--json`` and return what it printed."""
        out, _ = self.run(*words, "--json")
        return json.loads(out)


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A terminal whose sandbox starts at the first line that needs it, and ends with the module."""
    home = tmp_path_factory.mktemp("doors")
    folder = home / "project"
    folder.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNCTL_", "AWS_", "XDG_"))}
    mode = os.environ.get("RUNCTL_TEST_MODE")
    env = {
        **kept, "HOME": str(home), "RUNCTL_SANDBOX_HOME": str(home / "sandbox"), "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    terminal = Terminal(folder, env)
    if mode is not None:
        terminal.run("sandbox", "start", "--mode", mode)
    yield terminal
    terminal.run("sandbox", "stop")


@pytest.fixture(params=["sandbox", "local"])
def place(request: pytest.FixtureRequest, terminal: Terminal) -> Terminal:
    """A terminal with a machine to run jobs on: an instance of the sandbox, and this computer."""
    if request.param == "local":
        return replace(terminal, env={**terminal.env, "RUNCTL_TARGET": "local"})
    return replace(terminal, on=("--on", request.getfixturevalue("machine")))


@pytest.fixture(scope="module")
def machine(terminal: Terminal) -> Iterator[str]:
    """An instance that is ready."""
    created = terminal.json("create", "m5.large", "--name", "dev", "--wait")
    assert created["state"] == "running"
    yield created["id"]
    terminal.run("terminate", created["id"], "--wait", "--force")
