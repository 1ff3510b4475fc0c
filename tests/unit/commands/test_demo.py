"""The demo's script and notebook, and what `demo` asks the engine for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.commands import Choice, Request, Story, invoke
from runctl_jupyter.commands.demo import NOTEBOOK, SCRIPT, quickstart_notebook
from runctl_jupyter.orchestration import Runctl


def test_the_notebook_trains_the_demos_script() -> None:
    path = quickstart_notebook()
    assert path is not None
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    training = next(cell for cell in cells if cell.startswith("%%runctl train"))
    assert training.partition("\n")[2] == SCRIPT.read_text(encoding="utf-8").rstrip("\n")
    assert path.name == NOTEBOOK
    assert all(cell["outputs"] == [] for cell in notebook["cells"] if cell["cell_type"] == "code")


def test_the_script_learns_and_saves_without_runctl(project: Path) -> None:
    from safetensors import safe_open

    env = {name: value for name, value in os.environ.items() if not name.startswith("RUNCTL_")}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--epochs", "8"], cwd=project, env=env, capture_output=True, text=True,
        timeout=120, check=True,
    )  # fmt: skip
    epochs = re.findall(r"^epoch=(\d+) loss=(\S+) accuracy=(\S+)$", done.stdout, re.MULTILINE)
    assert [int(epoch) for epoch, _, _ in epochs] == list(range(1, 9))
    losses = [float(loss) for _, loss, _ in epochs]
    assert losses[-1] < losses[0] / 2
    assert float(done.stdout.rsplit("test accuracy: ", 1)[1]) > 0.9
    saved = sorted(path.name for path in (project / "checkpoints").iterdir())
    assert saved == [f"epoch-{epoch:03d}.safetensors" for epoch in range(1, 9)]
    with safe_open(project / "checkpoints" / saved[-1], framework="numpy") as file:
        assert {"step", "epoch", "accuracy"} <= set(file.metadata())
        assert set(file.keys()) == {"weight0", "weight1", "bias0", "bias1"}


class Door:
    """Remembers which target a line wanted."""

    kind = "terminal"
    prompt = "runctl"

    def __init__(self) -> None:
        self.chosen: list[Choice] = []
        self.launching: list[Any] = []

    def runctl(self, choice: Choice) -> Runctl:
        self.chosen.append(choice)
        return Runctl(choice.target)


@pytest.mark.parametrize(("line", "target"), [("demo", "sandbox"), ("--target local demo", "local")])
def test_a_demo_bills_nobody_who_did_not_say_so(monkeypatch: pytest.MonkeyPatch, line: str, target: str) -> None:
    monkeypatch.setenv("RUNCTL_TARGET", "aws")
    door: Any = Door()
    assert isinstance(invoke(line.split(), Request(door)).value, Story)
    assert [choice.target for choice in door.chosen] == [target]
