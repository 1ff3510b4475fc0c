"""The script: how it is started, what it sees, and what its end means."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from runctl_jupyter.run_record import JobSpec
from runctl_jupyter.runner.environment import ScriptPython

_SECRETS = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"})


@dataclass(frozen=True)
class ScriptPlaces:
    """Folders a script is told about."""

    work: Path
    outputs: Path
    checkpoints: Path
    data: Optional[Path] = None
    """None when the job has no ``--data-s3``."""
    resume_from: Optional[Path] = None
    """None when nothing is gone on from."""


def command(spec: JobSpec, work: Path, python: ScriptPython) -> list[str]:
    """Return the command line of the script, whose file must be there.

    Python runs unbuffered; a ``.sh`` file runs by its ``#!`` line, or with ``sh`` when it has none.
    """
    script = work / spec.script
    if script.suffix != ".sh":
        return [python.executable, "-u", spec.script, *spec.arguments]
    with script.open("rb") as stream:
        has_shebang = stream.read(2) == b"#!"
    if not has_shebang:
        return ["sh", spec.script, *spec.arguments]
    script.chmod(script.stat().st_mode | 0o100)
    return [str(script), *spec.arguments]


def machine_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the machine's environment without what belongs to the runner: its keys, settings and import path."""
    kept = {name: value for name, value in environ.items() if name not in _SECRETS and not name.startswith("RUNCTL_")}
    own = Path(__file__).resolve().parents[2]
    paths = [path for path in kept.pop("PYTHONPATH", "").split(os.pathsep) if path and Path(path).resolve() != own]
    if paths:
        kept["PYTHONPATH"] = os.pathsep.join(paths)
    return kept


def script_environ(
    spec: JobSpec,
    attempt: int,
    base: Mapping[str, str],
    own: Mapping[str, str],
    python: ScriptPython,
    places: ScriptPlaces,
    *,
    home: Path,
) -> dict[str, str]:
    """Return what the script sees of its job.

    Parameters
    ----------
    base
        The machine's environment, from `machine_environ`.
    own
        The job's variables, with secrets in place of their names.
    home
        HOME, where the machine gives none (SSM gives none).
    """
    environ = dict(base)
    environ.setdefault("HOME", str(home))
    environ["PATH"] = f"{python.programs}{os.pathsep}{environ.get('PATH', os.defpath)}"
    if python.environment is not None:
        environ["VIRTUAL_ENV"] = str(python.environment)
    environ["PYTHONUNBUFFERED"] = "1"
    environ["PYTHONUTF8"] = "1"
    environ.update(own)
    environ["RUNCTL_JOB_ID"] = spec.id
    environ["RUNCTL_ATTEMPT"] = str(attempt)
    environ["RUNCTL_OUTPUT_DIR"] = str(places.outputs)
    environ["RUNCTL_CHECKPOINT_DIR"] = str(places.checkpoints)
    if places.data is not None:
        environ["RUNCTL_DATA_DIR"] = str(places.data)
    if places.resume_from is not None:
        environ["RUNCTL_RESUME_FROM"] = str(places.resume_from)
    environ["RUNCTL_PARAMS"] = json.dumps(spec.params)
    for name, value in spec.params.items():
        environ[f"RUNCTL_PARAM_{re.sub(r'[^A-Z0-9_]', '_', name.upper())}"] = value
    return environ


def exit_code(return_code: int) -> int:
    """Return the exit code as shells count: 128 and the signal's number for a signal."""
    return return_code if return_code >= 0 else 128 - return_code
