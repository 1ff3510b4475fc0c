"""Start, stop and find the sandbox process. Light to import: moto and boto3 are loaded by the server only.

The server is a detached process in its own session that outlives its starter. There is one per home: starters
take turns by ``start.lock`` and the server holds ``server.lock`` for its whole life, so the kernel frees it even
after a crash.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from runctl_jupyter.sandbox.connection import (
    Connection,
    Health,
    connection_path,
    default_home,
    probe,
    read_connection,
)

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
NEEDED_MODULES = ("moto", "flask", "flask_cors", "boto3", "psutil")


class SandboxError(Exception):
    """The sandbox could not be started or stopped. Two lines: what failed, what to do."""


@dataclass(frozen=True)
class Status:
    """Whether a sandbox runs in a home, and what it says."""

    home: Path
    connection: Connection | None = None
    health: Health | None = None

    @property
    def running(self) -> bool:
        """Whether a sandbox answers."""
        return self.connection is not None and self.health is not None


@dataclass(frozen=True)
class StartOptions:
    """Knobs of a new server; None leaves the server's default (or its environment variable) in force."""

    pace: float | None = None
    """Multiplier of AWS-like delays; 0 is as fast as the hosts are."""
    idle_hours: float | None = None
    """Hours without a request and without a live instance after which the server ends itself."""
    max_instances: int | None = None

    def arguments(self) -> list[str]:
        """Give the command line arguments that stand for the options that are set."""
        named = {"--pace": self.pace, "--idle-hours": self.idle_hours, "--max-instances": self.max_instances}
        return [word for name, value in named.items() if value is not None for word in (name, str(value))]


def status(home: Path | None = None) -> Status:
    """Say whether the sandbox of `home` runs; never starts one."""
    home = home or default_home()
    connection = read_connection(home)
    if connection is None:
        return Status(home)
    return Status(home, connection, probe(connection))


def start(home: Path | None = None, mode: str | None = None, options: StartOptions | None = None) -> Connection:
    """Start the sandbox of `home`, or find the one that runs; returns when it answers.

    Parameters
    ----------
    home
        Folder of its state; default `default_home`.
    mode
        ``plain`` or ``isolated``; None takes the one that runs, or plain for a new one.
    options
        Knobs for a new server; without effect on one that runs.

    Raises
    ------
    SandboxError
        It did not start, another mode runs already, or its dependencies are missing.
    """
    home = (home or default_home()).absolute()
    _require_dependencies()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(home / "start.lock", timeout=START_TIMEOUT_S):
            found = status(home)
            if found.running and found.connection is not None:
                return _check_mode(found.connection, mode)
            _end_unresponsive(home)
            return _launch(home, mode, options or StartOptions())
    except Timeout as error:
        raise SandboxError(
            f"Another start of the sandbox in {home} has not finished for {START_TIMEOUT_S:.0f} s.\n"
            f"Read {home / 'sandbox.log'}, then run `runctl sandbox stop`."
        ) from error
    except OSError as error:
        raise SandboxError(
            f"The sandbox cannot use its folder {home}: {error.strerror}.\n"
            "Set RUNCTL_SANDBOX_HOME to a folder you may write to."
        ) from error


def stop(home: Path | None = None) -> bool:
    """End the sandbox of `home`: its instances lose power, their disks and all S3 objects stay.

    Returns
    -------
    bool
        Whether one was running. False is not an error.

    Raises
    ------
    SandboxError
        It still runs after a minute.
    """
    home = home or default_home()
    if not home.exists():
        return False
    return _end_server(home)


def _require_dependencies() -> None:
    missing = [name for name in NEEDED_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise SandboxError(
            f"The sandbox needs {', '.join(missing)}, not installed here.\npip install 'runctl-jupyter[sandbox]'"
        )


def _check_mode(connection: Connection, mode: str | None) -> Connection:
    if mode is not None and mode != connection.mode:
        raise SandboxError(
            f"A sandbox in {connection.mode} mode runs already (pid {connection.pid}).\n"
            f"Run `runctl sandbox stop` first, then start it in {mode} mode."
        )
    return connection


def _launch(home: Path, mode: str | None, options: StartOptions) -> Connection:
    """Spawn the server and wait for one line from it on a pipe: ``ready``, or why not."""
    reading, writing = os.pipe()
    package_root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "runctl_jupyter.sandbox", "serve", "--home", str(home)]
    command += ["--ready-fd", str(writing), *(["--mode", mode] if mode else []), *options.arguments()]
    with (home / "sandbox.log").open("ab") as log:
        # `serve` forks: the process waited for here ends at once and the server belongs to nobody.
        launcher = subprocess.run(
            command, cwd=package_root, env=_server_environment(), pass_fds=[writing], check=False,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading, "r", encoding="utf-8") as pipe:
        answer = pipe.read().strip()
    connection = read_connection(home)
    if answer == "ready" and connection is not None:
        return connection
    raise SandboxError(
        answer if "\n" in answer else
        f"The sandbox did not start{f' (exit code {launcher.returncode})' if launcher.returncode else ''}.\n"
        f"Read {home / 'sandbox.log'}; `runctl sandbox start` tries again."
    )  # fmt: skip


def _server_environment() -> dict[str, str]:
    """Environment of the server: nothing of the user's AWS or moto set-up may reach it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
    return {
        **kept,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def _server_lock_is_free(home: Path) -> bool:
    try:
        FileLock(home / "server.lock").acquire(timeout=0).lock.release(force=True)
    except Timeout:
        return False
    return True


def _server_pid(home: Path) -> int | None:
    """Pid of the process that holds ``server.lock``; it writes it down as soon as it has the lock."""
    try:
        return int((home / "server.pid").read_text("ascii"))
    except (OSError, ValueError):
        return None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _end_unresponsive(home: Path) -> None:
    """Before a new server: remove a stale connection and end one that holds the lock but does not answer."""
    if _server_lock_is_free(home):
        connection_path(home).unlink(missing_ok=True)
    else:
        _end_server(home)


def _end_server(home: Path) -> bool:
    """Ask the holder of ``server.lock`` to end, and wait until the kernel has freed the lock."""
    if _server_lock_is_free(home):
        connection_path(home).unlink(missing_ok=True)
        return False
    deadline = time.monotonic() + STOP_TIMEOUT_S
    asked = False
    while time.monotonic() < deadline:
        pid = _server_pid(home)
        if not asked and pid is not None:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                return True
            asked = True
        if _server_lock_is_free(home) and (pid is None or not _runs(pid)):
            return True
        time.sleep(0.02)
    raise SandboxError(
        f"The sandbox (pid {_server_pid(home)}) has not ended after {STOP_TIMEOUT_S:.0f} s.\n"
        f"Read {home / 'sandbox.log'}; as a last resort `kill -9 {_server_pid(home)}`, the next start sweeps up."
    )
