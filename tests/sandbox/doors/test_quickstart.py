"""The demo, and the quickstart notebook in a kernel in which a user would sit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

MONEY = "02_machines_and_money.ipynb"
NOTEBOOKS = Path(__file__).parents[3] / "notebooks"
Shown = Mapping[str, Any]
"""Outputs of each cell, by its first line."""


@pytest.fixture
def run_notebook(terminal: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Shown]:
    """Run a notebook top to bottom in a new kernel, as a user would."""

    def run(name: str) -> Shown:
        for variable, value in terminal.env.items():
            monkeypatch.setenv(variable, value)
        for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
            monkeypatch.setenv(variable, str(terminal.folder.parent / variable.lower()))
        notebook = nbformat.read(NOTEBOOKS / name, as_version=4)  # type: ignore[no-untyped-call]  # nbformat
        client = NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(terminal.folder)}})
        client.execute()
        return {cell.source.splitlines()[0]: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}

    return run


@pytest.mark.timeout(600)
def test_demo_and_a_second_one_downloads_nothing(terminal: Any) -> None:
    downloads = []
    for _ in range(2):
        out, _ = terminal.run("demo", "--epochs", "8", timeout=300)
        text = out.decode()
        downloads.append("Downloading" in text)
        assert re.search(r"^epoch=8 loss=\S+ accuracy=0\.9", text, re.MULTILINE)
        assert float(text.rsplit("test accuracy: ", 1)[1].split()[0]) > 0.9
        assert "epoch-008.safetensors" in text
        assert "list price of m5.large" in text
        assert "is terminated; it ended itself" in text
        assert "jupyter lab" in text
    assert [i for i in terminal.json("list") if i["state"] != "terminated"] == []
    # What makes the second one faster; seconds would depend on what else the computer does.
    assert downloads == [True, False]


@pytest.mark.timeout(600)
def test_quickstart_notebook(run_notebook: Callable[[str], Shown]) -> None:
    shown = run_notebook("01_quickstart.ipynb")
    (card,) = shown["%%runctl train --on dev --name digits -- --epochs 10"]
    assert "✓ succeeded  digits" in card["data"]["text/plain"]
    assert len(card["data"]["text/html"].encode()) < 20 * 1024
    (ended,) = shown["%runctl wait digits"]
    assert "✓ succeeded" in ended["data"]["text/plain"]
    tail = shown["%runctl logs digits --tail 16"][0]["data"]["text/plain"]
    assert len(tail.splitlines()) == 16
    accuracy = re.search(r"^test accuracy: (\S+)$", tail, re.MULTILINE)
    assert accuracy is not None
    assert float(accuracy[1]) > 0.9
    assert "epoch-010.safetensors" in shown["saved = %runctl checkpoints list digits"][0]["data"]["text/plain"]
    inside = shown["inside = %runctl checkpoints info digits"][0]["data"]
    assert "epoch-010.safetensors" in inside["text/plain"]
    assert "4,810 in 4 tensors" in inside["text/plain"]
    (diff,) = shown["%runctl checkpoints diff digits/epoch-001.safetensors digits"]
    assert "4 tensors differ" in diff["data"]["text/plain"]
    (shapes,) = shown["from runctl_jupyter import Runctl"]
    assert "'weight0': (64, 64)" in shapes["data"]["text/plain"]
    assert "terminated" in shown["%runctl terminate dev --wait"][0]["data"]["text/plain"]


@pytest.mark.timeout(300)
def test_machines_and_money_notebook(run_notebook: Callable[[str], Shown]) -> None:
    shown = {line: outputs[-1]["data"]["text/plain"] for line, outputs in run_notebook(MONEY).items()}
    plan = shown["%runctl create --gpu A10G:1 --spot --dry-run"]
    assert "g5.xlarge spot: 1 A10G" in plan
    assert "costs at most" in plan
    (created,) = [text for line, text in shown.items() if "--fallback on-demand" in line]
    assert "running" in created
    assert "g5.xlarge spot" not in created
    assert "g5.xlarge" in created
    assert "NVIDIA A10G" in shown["%runctl processes trainer"]
    assert "protected" in shown["%runctl protect trainer"]
    assert "at list prices" in shown["%runctl cost --by instance"]
    assert "a month" in shown["%runctl resources summary"]
    assert "terminated" in shown["%runctl terminate trainer --wait"]
    assert "Nothing to remove" in shown["%runctl resources cleanup"]
