"""What the script runs with, as its own interpreter and the instance metadata tell."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from typing import Any, Callable, Optional

from runctl_jupyter.run_record import ResolvedEnvironment
from runctl_jupyter.runner.environment import ScriptPython
from runctl_jupyter.runner.imds import Imds, ImdsError

_TIMEOUT_S = 60.0
"""A big environment on a cold network disk takes a while; nobody waits for it."""
# The first distribution of a name on the path is the one that is imported.
_ASKED = """
import json, platform, sys
found = {}
try:
    from importlib.metadata import distributions
    for each in distributions():
        try:
            name, version = each.metadata["Name"], each.version
        except Exception:
            continue
        if name and version:
            found.setdefault(name.lower().replace("_", "-").replace(".", "-"), (name, version))
except ImportError:
    pass
told = {"python": platform.python_version(), "platform": platform.platform(), "packages": dict(found.values())}
sys.stdout.write("\\n" + json.dumps(told) + "\\n")
"""


def resolved_environment(python: ScriptPython, imds: Optional[Imds], environ: Mapping[str, str]) -> ResolvedEnvironment:
    """Return what is known; what an odd machine does not tell is left out.

    Parameters
    ----------
    environ
        What the script starts with: it decides, with ``PYTHONPATH`` and the user's own packages, what is imported.
    """
    told = _ask(python.executable, environ)
    found = told.get("packages")
    packages: dict[str, Any] = found if isinstance(found, dict) else {}
    return ResolvedEnvironment(
        python=str(told.get("python", "")),
        executable=python.executable,
        platform=str(told.get("platform") or platform.platform()),
        packages={name: str(packages[name]) for name in sorted(packages, key=str.lower)},
        image_id=_of_metadata(imds.image_id) if imds else None,
        instance_type=_of_metadata(imds.instance_type) if imds else None,
    )


def _ask(executable: str, environ: Mapping[str, str]) -> dict[str, Any]:
    try:
        # In the root folder: with -c, Python imports from the working directory first. Not -I, which would hide
        # PYTHONPATH and the user's own packages from this, but not from the script.
        done = subprocess.run(
            [executable, "-c", _ASKED],
            env=dict(environ),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
        )
        told = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return {}
    return told if isinstance(told, dict) else {}


def _of_metadata(ask: Callable[[], Optional[str]]) -> Optional[str]:
    try:
        return ask()
    except ImdsError:
        return None
