"""A request is checked before anything is launched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.jobs.request import CELL_SCRIPT, TrainRequest, check
from runctl_jupyter.run_record import MachineAsked


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "src" / "train.py").write_text("print(1)")
    (tmp_path / "outside.py").write_text("print(1)")
    return root


def test_a_script_is_named_relative_to_the_project(root: Path) -> None:
    assert check(TrainRequest("train.py"), root, root / "src").script == "src/train.py"


def test_a_cell_becomes_a_file(root: Path) -> None:
    checked = check(TrainRequest(cell="print(2)\n"), root, root)
    assert checked.script == CELL_SCRIPT
    assert checked.extra == {CELL_SCRIPT: b"print(2)\n"}


def test_requirements_are_found_by_themselves(root: Path) -> None:
    assert check(TrainRequest("src/train.py"), root, root).requirements is None
    (root / "requirements.txt").write_text("numpy")
    assert check(TrainRequest("src/train.py"), root, root).requirements == "requirements.txt"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"script": "nope.py"}, "no script nope.py"),
        ({"script": "../outside.py"}, "outside the project"),
        ({"script": None}, "No script"),
        ({"cell": " \n"}, "empty"),
        ({"cell": "x", "script": "a.py"}, "cell was given and a script"),
        ({"script": "src/train.py", "requirements": "r.txt"}, "no requirements file"),
        ({"script": "src/train.py", "on": "a", "asked": MachineAsked(["b"])}, "for one to launch"),
        ({"script": "src/train.py", "env": {"A-B": "1"}}, "A-B"),
        ({"script": "src/train.py", "env": {"RUNCTL_JOB_ID": "1"}}, "set by runctl"),
        ({"script": "src/train.py", "params": {"1x": "1"}}, "1x"),
        ({"script": "src/train.py", "name": "a b"}, "cannot be a name"),
        ({"script": "src/train.py", "checkpoint_dir": "../x"}, "outside the working directory"),
        ({"script": "src/train.py", "checkpoint_dir": "/x"}, "outside the working directory"),
        ({"script": "src/train.py", "max_cost": 0.0}, "allows nothing"),
    ],
)
def test_bad_requests_get_two_lines(root: Path, request_: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as error:
        check(TrainRequest(**request_), root, root)
    assert error.value.to_resolve
    assert error.value.exit_status == 2
