"""What a script needs: its PEP 723 block, a requirements file, or the project's uv.lock or pyproject.toml.

PyPA specifications "Inline script metadata" and "pyproject.toml"; uv documentation, "Locking and syncing".
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Optional

# The reference expression of the specification.
_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
_REQUIRES_PYTHON = re.compile(r"(?m)^requires-python\s*=\s*[\"']([^\"']+)[\"']")
_INCLUDE = re.compile(r"^(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)")
_LOCAL = re.compile(r"^(?:-e\b|--editable\b|\.{1,2}(?:/|$)|/|file:)|@\s*(?:file:|\.{0,2}/)|\.whl\b|\.tar\.gz\b")
_EDITABLE = re.compile(r"^(?:-e\b|--editable\b)")
# uv writes each package's source as one line of this form, so that even Python 3.9, without tomllib, can tell.
_LOCK_SOURCE = re.compile(r"(?m)^source = \{ (\w+) = \"([^\"]*)\"")
# Without tomllib: what looks like a source in the project's own files.
_INLINE_SOURCE = re.compile(r"\{[^}\n]*\b(path|workspace|editable)\s*=")
_BESIDE = (".python-version", "uv.toml")
"""What uv reads besides ``pyproject.toml`` when it makes a project's environment."""


class RequirementsError(Exception):
    """What the script declares cannot be understood; the message is for people."""


class Origin(Enum):
    """Where requirements are written."""

    BLOCK = "block"
    FILE = "file"
    LOCK = "uv.lock"
    PROJECT = "pyproject.toml"


@dataclass(frozen=True)
class Requirements:
    """What to install.

    `source` is the file that ``uv pip install -r`` reads, the script itself for a PEP 723 block; or the ``uv.lock``
    that ``uv sync`` reads.
    """

    source: Path
    text: str
    """Everything that decides what is installed."""
    origin: Origin
    count: Optional[int]
    """How many are listed, None when unknown."""
    requires_python: Optional[str] = None
    local: bool = False
    """Whether files of the project are among them."""
    editable: bool = False
    """Whether the environment points into the working directory, and so cannot be used again."""
    indexes: tuple[str, ...] = ()
    """Package indexes that the lock names and the project's files do not: uv had them from its own settings."""

    @property
    def sees_image(self) -> bool:
        """Whether the script also sees the packages of the machine's image, such as its PyTorch.

        Only with a requirements file, which is seldom the whole truth; the others say all that is wanted.
        """
        return self.origin is Origin.FILE

    @property
    def described(self) -> str:
        """What is installed, for people."""
        if self.origin is Origin.LOCK:
            return "what uv.lock names"
        if self.count is None:
            return "what pyproject.toml names" if self.origin is Origin.PROJECT else "the script's requirements"
        return "1 requirement" if self.count == 1 else f"{self.count} requirements"

    def key(self, *identity: str) -> str:
        """Return the name of the environment that holds these on this machine.

        Parameters
        ----------
        identity
            What else decides: interpreter, architecture, project.
        """
        parts = [self.origin.value, self.text, *identity]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def find_requirements(script: Path, requirements: Optional[Path]) -> Optional[Requirements]:
    """Return what `script` needs, None when it declares nothing.

    Parameters
    ----------
    requirements
        The file that the spec names: the engine has chosen it, so it comes before a block in the script. A
        ``uv.lock`` or ``pyproject.toml`` is the project's, anything else a requirements file.

    Raises
    ------
    RequirementsError
        Two blocks, a block that is not TOML, a requirements file that is not there, a project that says nothing.
    """
    if requirements is None:
        block = None if script.suffix == ".sh" else script_block(script.read_text("utf-8", "replace"))
        return None if block is None else _of_block(script, block)
    try:
        if requirements.name == Origin.LOCK.value:
            return _of_lock(requirements)
        if requirements.name == Origin.PROJECT.value:
            return _of_project(requirements)
        return _of_file(requirements)
    except OSError as error:
        raise RequirementsError(f"the requirements cannot be read: {error.filename}: {error.strerror}") from error


def _of_file(requirements: Path) -> Optional[Requirements]:
    lines = _lines(requirements)
    if not lines:
        return None
    return Requirements(
        source=requirements,
        text="\n".join(lines),
        origin=Origin.FILE,
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
        return Requirements(script, block, Origin.BLOCK, None, requires_python=match.group(1) if match else None)
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
        origin=Origin.BLOCK,
        count=len(dependencies),
        requires_python=requires_python,
        local=any(_LOCAL.search(str(each)) for each in dependencies),
    )


def _of_lock(lock: Path) -> Requirements:
    text = lock.read_text("utf-8", "replace")
    project = lock.with_name(Origin.PROJECT.value)
    if not project.is_file():
        raise RequirementsError("there is a uv.lock without a pyproject.toml beside it: the two belong together")
    beside = _beside(project)
    _parsed(project)  # uv goes on with its defaults where it cannot read its settings
    sources = _LOCK_SOURCE.findall(text)
    kinds = {kind for kind, _ in sources}
    indexes = [url for kind, url in sources if kind == "registry" and "://" in url and url not in beside]
    return Requirements(
        source=lock,
        text="\0".join((text, beside)),
        origin=Origin.LOCK,
        count=None,
        # A project with a build system is itself among them, as `editable = "."`; others are `virtual` and are not.
        local=bool(kinds & {"path", "directory", "editable"}),
        editable="editable" in kinds,
        indexes=tuple(dict.fromkeys(indexes)),
    )


def _of_project(project: Path) -> Optional[Requirements]:
    """Read a ``pyproject.toml`` that has no lock: its dependencies, not the project itself, are installed."""
    beside = _beside(project)
    parsed = _parsed(project)
    if parsed is None:  # uv reads the file all the same; here it is only looked at, with care for what is local
        local = bool(_INLINE_SOURCE.search(beside)) or "dynamic" in beside or "file:" in beside
        editable = bool(re.search(r"\b(?:editable|workspace)\s*=\s*true", beside))
        return Requirements(project, beside, Origin.PROJECT, None, local=local, editable=editable)
    table = parsed.get("project")
    dependencies = table.get("dependencies", []) if isinstance(table, dict) else None
    if not isinstance(table, dict) or not isinstance(dependencies, list):
        raise RequirementsError("pyproject.toml needs a table `[project]` with a list `dependencies`")
    later = table.get("dynamic")
    dynamic = isinstance(later, list) and "dependencies" in later
    if not dependencies and not dynamic and "requires-python" not in table:
        return None
    sources = _project_sources(parsed)
    return Requirements(
        source=project,
        text=beside,
        origin=Origin.PROJECT,
        count=None if dynamic else len(dependencies),
        local=dynamic
        or any("path" in source or "workspace" in source for source in sources)
        or any(_LOCAL.search(str(each)) for each in dependencies),
        editable=any(source.get("editable") or source.get("workspace") for source in sources),
    )


def _parsed(project: Path) -> Optional[dict[str, Any]]:
    """Read ``pyproject.toml``; None before Python 3.11."""
    try:
        import tomllib
    except ImportError:
        return None
    try:
        return tomllib.loads(project.read_text("utf-8", "replace"))
    except tomllib.TOMLDecodeError as error:
        raise RequirementsError(f"pyproject.toml is not TOML: {error}") from error


def _project_sources(parsed: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tables of ``[tool.uv.sources]``: one for each package, or several that exclude each other."""
    found: Any = parsed
    for name in ("tool", "uv", "sources"):
        found = found.get(name) if isinstance(found, dict) else None
    tables = [each if isinstance(each, list) else [each] for each in found.values()] if isinstance(found, dict) else []
    return [source for group in tables for source in group if isinstance(source, dict)]


def _beside(project: Path) -> str:
    """Return the text of ``pyproject.toml`` and of the other files that decide with it."""
    others = (project.with_name(name) for name in _BESIDE)
    texts = [path.read_text("utf-8", "replace") if path.is_file() else "" for path in others]
    return "\0".join([project.read_text("utf-8", "replace"), *texts])


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
