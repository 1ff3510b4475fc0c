"""How uv is found, asked and understood (uv documentation, "The pip interface")."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

_MOST_COMPLAINT = 400


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


def venv_command(program: str, python: str, place: Path, requires_python: Optional[str]) -> list[str]:
    """Return what makes an environment: of `python`, or of one that `requires_python` allows."""
    wanted = requires_python or python
    return [program, "venv", "--quiet", "--python", wanted, "--python-preference", "system", str(place)]


def install_requirements_command(program: str, place: Path, source: Path) -> list[str]:
    """Return what installs the requirements of a file, or of a script's PEP 723 block, into an environment."""
    return [program, "pip", "install", "--python", str(place / "bin" / "python"), "-r", str(source)]


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
