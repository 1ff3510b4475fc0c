"""What a script needs: its PEP 723 block, or a requirements file (PyPA "Inline script metadata")."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

# The reference expression of the specification.
_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
_REQUIRES_PYTHON = re.compile(r"(?m)^requires-python\s*=\s*[\"']([^\"']+)[\"']")
_INCLUDE = re.compile(r"^(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)")
_LOCAL = re.compile(r"^(?:-e\b|--editable\b|\.{1,2}(?:/|$)|/|file:)|@\s*(?:file:|\.{0,2}/)|\.whl\b|\.tar\.gz\b")
_EDITABLE = re.compile(r"^(?:-e\b|--editable\b)")


class RequirementsError(Exception):
    """What the script declares cannot be understood; the message is for people."""


@dataclass(frozen=True)
class Requirements:
    """What to install.

    `source` is the file that ``uv pip install -r`` reads: the script itself for a PEP 723 block.
    """

    source: Path
    text: str
    """Everything that decides what is installed."""
    inline: bool
    """Whether it is a PEP 723 block: then nothing but what is listed should be seen by the script."""
    count: Optional[int]
    """How many are listed, None when unknown."""
    requires_python: Optional[str] = None
    local: bool = False
    """Whether files of the project are among them."""
    editable: bool = False
    """Whether the environment points into the working directory, and so cannot be used again."""

    def key(self, *identity: str) -> str:
        """Return the name of the environment that holds these on this machine.

        Parameters
        ----------
        identity
            What else decides: interpreter, architecture, project.
        """
        parts = ["inline" if self.inline else "file", self.text, *identity]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def find_requirements(script: Path, requirements: Optional[Path]) -> Optional[Requirements]:
    """Return what `script` needs, None when it declares nothing. A block in the script comes first.

    Raises
    ------
    RequirementsError
        Two blocks, a block that is not TOML, a requirements file that is not there.
    """
    block = None if script.suffix == ".sh" else script_block(script.read_text("utf-8", "replace"))
    if block is not None:
        return _of_block(script, block)
    if requirements is None:
        return None
    try:
        lines = _lines(requirements)
    except OSError as error:
        raise RequirementsError(f"the requirements cannot be read: {error.filename}: {error.strerror}") from error
    if not lines:
        return None
    return Requirements(
        source=requirements,
        text="\n".join(lines),
        inline=False,
        count=sum(not line.startswith("-") or bool(_EDITABLE.match(line)) for line in lines),
        local=any(_LOCAL.search(line) for line in lines),
        editable=any(_EDITABLE.match(line) for line in lines),
    )


def script_block(text: str) -> Optional[str]:
    """Return the TOML of the ``script`` block, None when there is none.

    Raises
    ------
    RequirementsError
        There are two.
    """
    found = [match for match in _BLOCK.finditer(text.replace("\r\n", "\n")) if match.group("type") == "script"]
    if len(found) > 1:
        raise RequirementsError("the script has two `# /// script` blocks: keep one")
    if not found:
        return None
    lines = found[0].group("content").splitlines(keepends=True)
    return "".join(line[2:] if line.startswith("# ") else line[1:] for line in lines)


def _of_block(script: Path, block: str) -> Optional[Requirements]:
    try:
        import tomllib
    except ImportError:  # before Python 3.11: uv reads the block, only the version is needed here
        match = _REQUIRES_PYTHON.search(block)
        return Requirements(script, block, inline=True, count=None, requires_python=match.group(1) if match else None)
    try:
        parsed: dict[str, Any] = tomllib.loads(block)
    except tomllib.TOMLDecodeError as error:
        raise RequirementsError(f"the script's `# /// script` block is not TOML: {error}") from error
    dependencies = parsed.get("dependencies", [])
    requires_python = parsed.get("requires-python")
    if not isinstance(dependencies, list) or not isinstance(requires_python, (str, type(None))):
        raise RequirementsError(
            "the script's `# /// script` block needs a list `dependencies` and a text `requires-python`"
        )
    if not dependencies and requires_python is None:
        return None
    return Requirements(
        source=script,
        text=block,
        inline=True,
        count=len(dependencies),
        requires_python=requires_python,
        local=any(_LOCAL.search(str(each)) for each in dependencies),
    )


def _lines(path: Path, seen: frozenset[str] = frozenset()) -> list[str]:
    """Return the meaningful lines of a requirements file and of those it includes."""
    real = os.path.realpath(path)
    if real in seen:
        return []
    found = []
    for raw in path.read_text("utf-8", "replace").splitlines():
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        if not line:
            continue
        found.append(line)
        include = _INCLUDE.match(line)
        if include and "://" not in include.group(1):
            found += _lines(path.parent / include.group(1), seen | {real})
    return found
