"""How a target is reached: which region, bucket and endpoint, with whose credentials.

The sandbox is found the way Jupyter finds a kernel: by a connection file that the sandbox writes. The engine
reads the file, starts the sandbox as a program when nothing answers, and from there on sees only AWS.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel

from runctl_jupyter.orchestration.config import Settings
from runctl_jupyter.orchestration.errors import TargetUnavailable
from runctl_jupyter.orchestration.folders import data_dir

_START_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Connection:
    """What AWS clients need. With an empty `env`, boto3's own chain decides."""

    target: str
    region: str | None
    bucket: str | None
    profile: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables an ordinary AWS client would need: endpoint and keys of the sandbox."""
    mode: str | None = None


def connect(settings: Settings, *, start_sandbox: bool = True) -> Connection:
    """Return how to reach the target of `settings`.

    Parameters
    ----------
    start_sandbox
        Start the sandbox when it is the target and not running.

    Raises
    ------
    TargetUnavailable
        The sandbox does not run, or cannot be started, or the target is local and has no AWS.
    """
    if settings.target == "local":
        raise TargetUnavailable(
            "Target local runs jobs on this computer; it has no instances and no bucket.",
            "Choose another target: runctl use sandbox, or runctl use aws.",
        )
    if settings.target == "aws":
        aws = settings.aws
        return Connection("aws", aws.region, aws.bucket, profile=aws.profile)
    sandbox = _running_sandbox()
    if sandbox is None:
        if not start_sandbox:
            raise TargetUnavailable(
                "The sandbox is not running.",
                "It starts with the first job: put %%runctl train over a cell, or: runctl sandbox start",
            )
        sandbox = _start_sandbox()
    return Connection("sandbox", sandbox.region, sandbox.bucket, env=sandbox.env, mode=sandbox.mode)


def sandbox_home() -> Path:
    """Return the folder where the sandbox writes its connection file."""
    home = os.environ.get("RUNCTL_SANDBOX_HOME")
    return Path(home) if home else data_dir() / "sandbox"


class _ConnectionFile(BaseModel):
    """What the sandbox says of itself; it may say more."""

    pid: int
    endpoint_url: str
    region: str
    bucket: str
    mode: str
    env: dict[str, str]


def _running_sandbox() -> _ConnectionFile | None:
    try:
        found = _ConnectionFile.model_validate_json((sandbox_home() / "connection.json").read_bytes())
        os.kill(found.pid, 0)
        address = urlsplit(found.endpoint_url)
        socket.create_connection((address.hostname, address.port), timeout=2).close()
    except (OSError, ValueError):
        # No file, half a file, a dead process or nobody listening: all mean that it has to be started.
        return None
    return found


def _start_sandbox() -> _ConnectionFile:
    command = [sys.executable, "-m", "runctl_jupyter.sandbox", "start", "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_START_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise TargetUnavailable(
            f"The sandbox did not start within {_START_TIMEOUT_S:.0f} s.", "See: runctl sandbox status"
        ) from error
    if done.returncode != 0:
        what, _, advice = done.stderr.strip().partition("\n")
        raise TargetUnavailable(what or "The sandbox could not be started.", advice or "See: runctl sandbox status")
    return _ConnectionFile.model_validate_json(done.stdout)
