"""Going on in the background: out of reach of what started the runner.

SSM's agent waits until a command's pipes are closed and kills the command's process group; a detached runner
has neither. Under systemd it becomes a unit of its own, in a control group that the agent does not own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

_SYSTEMD = Path("/run/systemd/system")  # exists when systemd is PID 1: sd_booted(3)
_STOP_S = 120
# What the agent's environment may hold that the runner needs; no keys, which `systemctl show` would tell.
_PASSED = re.compile(
    r"^(?:PATH|HOME|LANG|LC_\w+|TMPDIR|PYTHONPATH|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|\w+_(?:PROXY|proxy)"
    r"|(?:RUNCTL|UV|PIP)_\w+|AWS_(?!ACCESS_KEY_ID$|SECRET_ACCESS_KEY$|SESSION_TOKEN$|SECURITY_TOKEN$)\w+)$"
)
_READY = b"ready "


class DetachFailed(Exception):
    """The runner could not be put into the background."""


class UnitRefused(Exception):
    """systemd did not take the runner as a unit; a container may have its files but not its services."""


def detach(argv: Sequence[str], job_id: str, attempt: int, log: Path) -> Optional[int]:
    """Go on in the background.

    Parameters
    ----------
    argv
        The runner's arguments, ``--detach`` among them.
    log
        File that takes the runner's own output.

    Returns
    -------
    int or None
        In the process that was started: the background process's id. None in the background process.

    Raises
    ------
    DetachFailed
        There is no background process.
    """
    program = shutil.which("systemd-run")
    if program and _SYSTEMD.is_dir() and os.geteuid() == 0:
        try:
            return _as_unit(program, argv, unit_name(job_id, attempt), log)
        except UnitRefused as error:
            sys.stderr.write(f"no unit ({error}); going on as a plain process\n")
    return _as_daemon(log)


def unit_name(job_id: str, attempt: int) -> str:
    """Return the unit's name; systemd allows few characters in it."""
    return f"runctl-{re.sub(r'[^A-Za-z0-9_.-]', '-', job_id)}-{attempt}.service"


def unit_command(
    program: str,
    python: str,
    entry: Sequence[str],
    argv: Sequence[str],
    *,
    unit: str,
    log: Path,
    folder: Path,
    environ: Mapping[str, str],
) -> list[str]:
    """Return the ``systemd-run`` command line (systemd-run(1), systemd.service(5), systemd.kill(5))."""
    properties = {
        "Type": "exec",  # systemd-run then returns only when the program runs
        "KillMode": "mixed",  # SIGTERM to the runner, which ends the training with grace; SIGKILL to all at the end
        "TimeoutStopSec": str(_STOP_S),
        "Restart": "on-abnormal",  # a keeper that was killed: the next saves what this one leaves
        "OOMPolicy": "continue",  # the training may be killed for memory; the runner stays to say so
        "After": "network-online.target",  # at shutdown: stopped before the network, so the end can be stored
        "WorkingDirectory": str(folder),
        "StandardOutput": f"append:{log}",
        "StandardError": f"append:{log}",
    }
    passed = sorted(name for name in environ if _PASSED.match(name))
    return [
        program,
        f"--unit={unit}",
        "--collect",
        "--quiet",
        *(f"--property={name}={value}" for name, value in properties.items()),
        *(f"--setenv={name}" for name in passed),
        python,
        *entry,
        *(argument for argument in argv if argument != "--detach"),
    ]


def _as_unit(program: str, argv: Sequence[str], unit: str, log: Path) -> int:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DetachFailed(str(error)) from error
    command = unit_command(
        program, sys.executable, entry(), argv, unit=unit, log=log, folder=Path.cwd(), environ=os.environ
    )
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnitRefused(done.stderr.strip() or f"systemd-run ended with {done.returncode}")
    shown = subprocess.run(
        ["systemctl", "show", "--property=MainPID", "--value", unit], capture_output=True, text=True, check=False
    )
    return int(shown.stdout.strip() or 0)


def entry() -> list[str]:
    """Return how this very program was started: the bundle's ``main.py``, or the installed package."""
    started = Path(sys.argv[0])
    return [str(started.absolute())] if started.name == "main.py" else ["-m", "runctl_jupyter.runner"]


def _as_daemon(log: Path) -> Optional[int]:
    reading, writing = os.pipe()
    first = os.fork()
    if first:
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(first, 0)
        if not answer.startswith(_READY):
            raise DetachFailed(answer.decode("utf-8", "replace") or "it ended without a word")
        return int(answer[len(_READY) :])
    os.setsid()
    if os.fork():
        os._exit(0)
    os.close(reading)
    try:
        _turn_away(log, keep=writing)
        os.write(writing, _READY + str(os.getpid()).encode())
    except OSError as error:
        os.write(writing, str(error).encode())
        os._exit(1)
    os.close(writing)
    return None


def _turn_away(log: Path, keep: int) -> None:
    """Let go of every file of the starter; whoever waits for its pipes to close must not wait for this process."""
    log.parent.mkdir(parents=True, exist_ok=True)
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    limit = os.sysconf("SC_OPEN_MAX")
    os.closerange(3, keep)
    os.closerange(keep + 1, min(limit if limit > 0 else 65536, 65536))
