"""What a script declares it needs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runctl_jupyter.runner.requirements import Origin, Requirements, RequirementsError, find_requirements, script_block
from runctl_jupyter.runner.uv import complaint

BLOCK = """# /// script
# requires-python = ">=3.10"
# dependencies = [
#   "numpy<3",
#   "rich",
# ]
#
# [tool.uv]
# exclude-newer = "2026-01-01T00:00:00Z"
# ///
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("before", ["", "#!/usr/bin/env python3\n", '"""Doc."""\nimport os\n'])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_block_is_found_wherever_it_stands(tmp_path: Path, before: str, line_end: str) -> None:
    path = tmp_path / "train.py"
    path.write_bytes((before + BLOCK + "print(1)\n").replace("\n", line_end).encode())
    found = find_requirements(path, None)
    assert found is not None
    assert (found.origin, found.count, found.requires_python, found.source) == (Origin.BLOCK, 2, ">=3.10", path)


@pytest.mark.parametrize(
    "text",
    [
        "print('# /// script')\n",
        "# /// other\n# a = 1\n# ///\n",
        "# /// script\nprint(1)\n# ///\n",
        " # /// script\n # ///\n",
    ],
)
def test_what_is_no_block(text: str) -> None:
    assert script_block(text) is None


def test_two_blocks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequirementsError, match="two"):
        find_requirements(write(tmp_path, "a.py", BLOCK + "\n" + BLOCK), None)


@pytest.mark.parametrize("line", ["# dependencies = [", "# dependencies = 3", "# requires-python = 3.10"])
def test_a_broken_block_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(RequirementsError, match="block"):
        find_requirements(write(tmp_path, "a.py", f"# /// script\n{line}\n# ///\n"), None)


def test_what_the_spec_names_comes_before_the_block(tmp_path: Path) -> None:
    requirements = write(tmp_path, "requirements.txt", "torch\n")
    found = find_requirements(write(tmp_path, "a.py", BLOCK), requirements)
    assert found is not None
    assert (found.origin, found.source) == (Origin.FILE, requirements)


def test_a_file_with_nothing_in_it_needs_nothing(tmp_path: Path) -> None:
    assert find_requirements(write(tmp_path, "a.py", ""), write(tmp_path, "r.txt", "# only words\n\n")) is None


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequirementsError, match=r"nowhere\.txt"):
        find_requirements(write(tmp_path, "a.py", ""), tmp_path / "nowhere.txt")


def test_what_is_included_decides_too(tmp_path: Path) -> None:
    script = write(tmp_path, "a.py", "")
    top = write(tmp_path, "r.txt", "-r base.txt\nrich # nice\n")
    write(tmp_path, "base.txt", "numpy==1\n-r r.txt\n")
    first = find_requirements(script, top)
    write(tmp_path, "base.txt", "numpy==2\n-r r.txt\n")
    second = find_requirements(script, top)
    assert first is not None
    assert second is not None
    assert first.key("x") != second.key("x")
    assert first.key("x") != first.key("y")


@pytest.mark.parametrize(
    ("line", "local", "editable"),
    [
        ("numpy>=1", False, False),
        ("--extra-index-url https://example.org/simple", False, False),
        ("./pkg", True, False),
        ("-e .", True, True),
        ("--editable ./pkg", True, True),
        ("pkg @ file:///somewhere/pkg", True, False),
        ("wheels/pkg-1-py3-none-any.whl", True, False),
    ],
)
def test_what_lies_in_the_project(tmp_path: Path, line: str, local: bool, editable: bool) -> None:
    found = find_requirements(write(tmp_path, "a.py", ""), write(tmp_path, "r.txt", f"rich\n{line}\n"))
    assert found is not None
    assert (found.local, found.editable) == (local, editable)


def test_an_installers_complaint_in_one_line() -> None:
    old = (
        "Using Python 3.11\n  \u00d7 No solution found when resolving dependencies:\n"
        "  ╰─▶ Because nosuch was not found\n      it is unsatisfiable.\n\nhint: look\n"
    )
    assert (
        complaint(old)
        == "No solution found when resolving dependencies: Because nosuch was not found it is unsatisfiable."
    )
    new = "error: No solution found\n  cause: Because nosuch was not found.\n\nhint: look\n"
    assert complaint(new) == "No solution found Because nosuch was not found."
    assert complaint("") == "it failed without a word"
    assert complaint("pip: broken pipe\n") == "pip: broken pipe"


LOCK = """version = 1
requires-python = ">=3.9"

[[package]]
name = "app"
source = { virtual = "." }

[[package]]
name = "numpy"
source = { registry = "https://pypi.org/simple" }

[[package]]
name = "torch"
source = { registry = "https://download.pytorch.org/whl/cu128" }
"""
PROJECT = '[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = ["numpy", "torch"]\n'
TORCH_INDEX = '[[tool.uv.index]]\nname = "torch"\nurl = "https://download.pytorch.org/whl/cu128"\n'


def needs_of(folder: Path, requirements: str = "uv.lock", **files: str) -> Requirements:
    named = {"uv.lock": files.get("lock", LOCK), "pyproject.toml": files.get("project", PROJECT)}
    for name, text in named.items():
        write(folder, name, text)
    if "python" in files:
        write(folder, ".python-version", files["python"])
    found = find_requirements(write(folder, "a.py", ""), folder / requirements)
    assert found is not None
    return found


def test_a_lock_is_told_by_its_name(tmp_path: Path) -> None:
    found = needs_of(tmp_path, project=PROJECT + TORCH_INDEX)
    assert (found.origin, found.source, found.count) == (Origin.LOCK, tmp_path / "uv.lock", None)
    assert (found.local, found.editable, found.sees_image) == (False, False, False)
    assert found.indexes == ("https://pypi.org/simple",)


@pytest.mark.parametrize("source", ['editable = "."', 'path = "wheels/a.whl"', 'directory = "../a"'])
def test_what_a_lock_takes_from_the_project(tmp_path: Path, source: str) -> None:
    found = needs_of(tmp_path, lock=LOCK.replace('virtual = "."', source))
    assert (found.local, found.editable) == (True, source.startswith("editable"))


def test_lock_project_and_python_decide(tmp_path: Path) -> None:
    keys = [
        needs_of(tmp_path).key("x"),
        needs_of(tmp_path, lock=LOCK + "\n").key("x"),
        needs_of(tmp_path, project=PROJECT + "[tool.uv]\ndefault-groups = []\n").key("x"),
        needs_of(tmp_path, "pyproject.toml").key("x"),
        needs_of(tmp_path, python="3.12").key("x"),
        needs_of(tmp_path, python="3.12").key("y"),
    ]
    assert len(set(keys)) == len(keys)
    assert needs_of(tmp_path, python="3.12").key("y") == keys[-1]


@pytest.mark.parametrize(
    ("text", "count", "local", "editable"),
    [
        (PROJECT, 2, False, False),
        (PROJECT + '[tool.hatch.version]\npath = "a.py"\n', 2, False, False),
        (PROJECT + '[tool.uv.sources]\nnumpy = { path = "n" }\n', 2, True, False),
        (PROJECT + '[tool.uv.sources]\nnumpy = [{ path = "n", editable = true, marker = "x" }]\n', 2, True, True),
        (PROJECT + "[tool.uv.sources]\nnumpy = { workspace = true }\n", 2, True, True),
        (PROJECT.replace('"numpy"', '"n @ file:///n"'), 2, True, False),
        ('[project]\nname = "a"\ndynamic = ["dependencies"]\n', None, True, False),
        ('tool = 1\n[project]\nname = "a"\nrequires-python = ">=3.9"\n', 0, False, False),
    ],
)
def test_a_project_without_a_lock(tmp_path: Path, text: str, count: int | None, local: bool, editable: bool) -> None:
    found = needs_of(tmp_path, "pyproject.toml", project=text)
    assert (found.origin, found.count, found.local, found.editable) == (Origin.PROJECT, count, local, editable)
    assert not found.sees_image


def test_a_project_that_asks_for_nothing_needs_nothing(tmp_path: Path) -> None:
    script, project = write(tmp_path, "a.py", ""), write(tmp_path, "pyproject.toml", '[project]\nname = "a"\n')
    assert find_requirements(script, project) is None


@pytest.mark.parametrize(
    ("files", "named", "said"),
    [
        ({"uv.lock": LOCK}, "uv.lock", "without a pyproject.toml"),
        ({}, "uv.lock", r"cannot be read: .*uv\.lock"),
        ({"pyproject.toml": "[tool.ruff]\n"}, "pyproject.toml", r"\[project\]"),
        ({"pyproject.toml": "[project\n"}, "pyproject.toml", "not TOML"),
        ({"pyproject.toml": '[project]\ndependencies = "numpy"\n'}, "pyproject.toml", "list"),
    ],
)
def test_a_project_that_cannot_be_understood_is_named(
    tmp_path: Path, files: dict[str, str], named: str, said: str
) -> None:
    for name, text in files.items():
        write(tmp_path, name, text)
    with pytest.raises(RequirementsError, match=said):
        find_requirements(write(tmp_path, "a.py", ""), tmp_path / named)


@pytest.mark.parametrize(
    ("more", "local", "editable"),
    [
        ("", False, False),
        ('[tool.uv.sources]\nnumpy = { path = "n" }\n', True, False),
        ("[tool.uv.sources]\nnumpy = { workspace = true }\n", True, True),
    ],
)
def test_a_project_before_python_3_11(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, local: bool, editable: bool
) -> None:
    monkeypatch.setitem(sys.modules, "tomllib", None)
    found = needs_of(tmp_path, "pyproject.toml", project=PROJECT + more)
    assert (found.count, found.local, found.editable) == (None, local, editable)
    assert found.described == "what pyproject.toml names"
