"""How uv is found, asked and understood (uv documentation, "The pip interface" and "Locking and syncing")."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

_MOST_COMPLAINT = 400
_LOCK_IS_STALE = "needs to be updated"
_INDEXES = frozenset({"UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"})


def find(environ: Mapping[str, str], tools: Path) -> Optional[str]:
    """Return the uv program: on PATH, beside the runner's own Python, or in the runner's tools."""
    on_path = shutil.which("uv", path=environ.get("PATH"))
    if on_path:
        return on_path
    known = (Path(sys.executable).parent / "uv", tools / "bin" / "uv")
    return next((str(path) for path in known if os.access(path, os.X_OK)), None)


def install_command(python: str, tools: Path) -> list[str]:
    """Return what installs uv into `tools`; a target folder needs no rights and no ``--break-system-packages``."""
    return [python, "-m", "pip", "install", "--disable-pip-version-check", "--target", str(tools), "uv"]


def environ_for(environ: Mapping[str, str], cache: Path) -> dict[str, str]:
    """Return what uv starts with."""
    ours = {name: value for name, value in environ.items() if name not in ("VIRTUAL_ENV", "PYTHONHOME")}
    ours.setdefault("UV_CACHE_DIR", str(cache))
    ours["NO_COLOR"] = "1"
    ours["UV_NO_PROGRESS"] = "1"
    return ours


def prefer(environ: Mapping[str, str], python: str) -> dict[str, str]:
    """Let uv look at the folder of `python` first when it chooses an interpreter by version."""
    return {**environ, "PATH": f"{Path(python).parent}{os.pathsep}{environ.get('PATH', os.defpath)}"}


def venv_command(program: str, place: Path, python: Optional[str]) -> list[str]:
    """Return what makes an environment: of `python`, or of one of a version that it allows.

    Without `python` uv takes what the project wants in whose folder it runs: its ``.python-version``, else the
    ``requires-python`` of its ``pyproject.toml``.
    """
    wanted = ["--python", python] if python else []
    return [program, "venv", "--quiet", *wanted, "--python-preference", "system", str(place)]


def install_requirements_command(program: str, place: Path, source: Path) -> list[str]:
    """Return what installs the requirements of a file, or of a script's PEP 723 block, into an environment."""
    return [program, "pip", "install", "--python", str(place / "bin" / "python"), "-r", str(source)]


def sync_command(program: str) -> list[str]:
    """Return what installs a project's lock, to be run in the project's folder with `project_environ`.

    As the lock says, without looking for newer versions; without the ``dev`` group, which is for people.
    """
    return [program, "sync", "--frozen", "--no-dev", "--python-preference", "system"]


def project_environ(environ: Mapping[str, str], place: Path) -> dict[str, str]:
    """Let uv install a project into the environment at `place` instead of the project's ``.venv``."""
    return {**environ, "UV_PROJECT_ENVIRONMENT": str(place)}


def lock_check_command(program: str) -> list[str]:
    """Return what finds out whether a lock fits its ``pyproject.toml``: without the network, when it does."""
    return [program, "lock", "--locked", "--python-preference", "system"]


def lock_check_environ(environ: Mapping[str, str], indexes: Sequence[str]) -> dict[str, str]:
    """Let uv check a lock against the indexes that it was made with.

    A lock made with another index looks stale to uv. That may be so on purpose, on either side: the user has a
    mirror in the settings of the computer, or this machine has.
    """
    ours = {name: value for name, value in environ.items() if name not in _INDEXES}
    if indexes:
        ours["UV_DEFAULT_INDEX"] = indexes[0]
    if indexes[1:]:
        ours["UV_INDEX"] = " ".join(indexes[1:])
    return ours


def says_stale(output: str) -> bool:
    """Whether the check of a lock says that it does not fit; other failures say nothing about the lock."""
    return _LOCK_IS_STALE in output


def version(program: str) -> str:
    """Return e.g. ``uv 0.9.2``."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return " ".join(done.stdout.split()[:2]) or "uv"


def site_packages(python: str) -> list[str]:
    """Return the folders in which `python` has its packages.

    Raises
    ------
    subprocess.CalledProcessError
        It does not run.
    """
    asked = (
        "import json,site,sysconfig;p=sysconfig.get_paths();"
        "print(json.dumps([p['purelib'],p['platlib'],*site.getsitepackages()]))"
    )
    done = subprocess.run([python, "-I", "-c", asked], capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout)
    return list(dict.fromkeys(found))


def complaint(output: str) -> str:
    """Return what an installer's output says went wrong, as one line."""
    lines = [re.sub(r"^[\s\u00d7╰├─▶│|]+", "", line).strip() for line in output.splitlines()]
    start = next((i for i, line in enumerate(lines) if line.lower().startswith("error")), None)
    if start is None:
        start = next((i for i, line in enumerate(output.splitlines()) if "\u00d7" in line), None)
    if start is None:
        return next((line for line in reversed(lines) if line), "it failed without a word")[:_MOST_COMPLAINT]
    said: list[str] = []
    for line in lines[start:]:
        if line.lower().startswith(("hint:", "help:")) or (said and not line):
            break
        said.append(re.sub(r"^(?:error|cause):\s*", "", line, flags=re.IGNORECASE))
    return " ".join(said)[:_MOST_COMPLAINT]
