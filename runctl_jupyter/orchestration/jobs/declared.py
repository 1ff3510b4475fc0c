"""Which distributions a job's own requirements install, as far as its files name them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runctl_jupyter.orchestration.variables.needs import requirement_names

_BLOCK = re.compile(r"(?ms)^# /// script$\s(.*?)^# ///$")  # PyPA, "Inline script metadata"


def declared_distributions(source: str, requirements: Path | None) -> frozenset[str]:
    """Return the names in a script's PEP 723 block or in its requirements file; none where they cannot be read.

    Parameters
    ----------
    source
        Text of the script.
    requirements
        ``requirements.txt``, ``uv.lock`` or ``pyproject.toml``; None to look at the block.
    """
    if requirements is None:
        found = _BLOCK.search(source.replace("\r\n", "\n"))
        block = "\n".join(line.removeprefix("#").removeprefix(" ") for line in found[1].splitlines()) if found else ""
        return requirement_names(_toml(block).get("dependencies", []))
    text = requirements.read_text("utf-8", "replace")
    if requirements.name == "uv.lock":
        return requirement_names(package["name"] for package in _toml(text).get("package", []))
    if requirements.name == "pyproject.toml":
        return requirement_names(_toml(text).get("project", {}).get("dependencies", []))
    return requirement_names(text.splitlines())


def _toml(text: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}  # the machine's installer says what is wrong with it
