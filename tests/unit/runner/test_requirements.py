"""What a script declares it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from runctl_jupyter.runner.requirements import RequirementsError, find_requirements, script_block
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
    assert (found.inline, found.count, found.requires_python, found.source) == (True, 2, ">=3.10", path)


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


def test_the_block_comes_before_the_file(tmp_path: Path) -> None:
    requirements = write(tmp_path, "requirements.txt", "torch\n")
    found = find_requirements(write(tmp_path, "a.py", BLOCK), requirements)
    assert found is not None
    assert found.inline


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
