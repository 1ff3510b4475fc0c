"""The Python the script runs with: the machine's own, or an environment with what the script needs.

Environments are kept by what is in them and used again by later jobs; a complete one costs a few file reads.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from runctl_jupyter.runner import uv
from runctl_jupyter.runner.child import ChildProcess
from runctl_jupyter.runner.folders import RootFolders
from runctl_jupyter.runner.locks import turn
from runctl_jupyter.runner.log import JobLog
from runctl_jupyter.runner.output_pipe import OutputPipe, into
from runctl_jupyter.runner.requirements import Origin, Requirements
from runctl_jupyter.runner.stops import Stopped, StopSignal
from runctl_jupyter.runner.unsaved import Unsaved

DLAMI_PYTHON = Path("/opt/pytorch/bin/python")
"""The environment with PyTorch of AWS's deep learning images (DLAMI release notes, PyTorch 2.x)."""
_MARKER = ".complete"
_TAIL_BYTES = 8192


class EnvironmentFailed(Exception):
    """The environment could not be made; the message is for people."""


@dataclass(frozen=True)
class ScriptPython:
    """An interpreter and the environment it belongs to, if one was made for it."""

    executable: str
    environment: Optional[Path] = None

    @property
    def programs(self) -> str:
        """Folder whose programs (``torchrun``) belong to the interpreter."""
        return str(Path(self.executable).parent)


def machine_python(environ: Mapping[str, str]) -> str:
    """Return the interpreter that this machine offers to scripts."""
    told = environ.get("RUNCTL_PYTHON")
    if told:
        return told
    if os.access(DLAMI_PYTHON, os.X_OK):
        return str(DLAMI_PYTHON)
    return shutil.which("python3", path=environ.get("PATH")) or sys.executable


class EnvironmentMaker:
    """Finds or makes environments.

    Parameters
    ----------
    base
        The machine's own interpreter, from `machine_python`.
    environ
        What programs on this machine start with.
    project
        Names the synced project: part of the key when requirements lie inside it.
    attempt
        Names the attempt: part of the key when the environment points into its folder.
    """

    def __init__(
        self,
        folders: RootFolders,
        log: JobLog,
        stop: StopSignal,
        *,
        base: str,
        environ: Mapping[str, str],
        project: str,
        attempt: str,
    ) -> None:
        self._base = base
        self._folders = folders
        self._unsaved = Unsaved(folders)
        self._log = log
        self._stop = stop
        self._environ = environ
        self._project = project
        self._attempt = attempt

    def python_for(self, needs: Optional[Requirements], work: Path) -> ScriptPython:
        """Return the interpreter for a script; installs what it needs if that has not been done before.

        Raises
        ------
        EnvironmentFailed
            It could not be made. Everything that was printed is in the log.
        Stopped
            The job was told to end.
        """
        base = self._base
        if needs is None:
            return ScriptPython(base)
        place = self._folders.environments / self._key(needs, base)
        python = place / "bin" / "python"
        try:
            if not self._complete(place):
                with self._locked(place):
                    if not self._complete(place):
                        self._make(needs, base, place, work)
        finally:
            self._unsaved.save(place)
        return ScriptPython(str(python), place)

    def _complete(self, place: Path) -> bool:
        return _finished(place) and self._unsaved.survived(place)

    def _key(self, needs: Requirements, base: str) -> str:
        real = os.path.realpath(base)
        try:
            # Stands for the version: running the interpreter to ask would cost more than all the rest.
            status = Path(real).stat()
        except OSError as error:
            raise EnvironmentFailed(f"there is no Python at {base}: {error.strerror}") from error
        identity = [base, real, str(status.st_size), str(status.st_mtime_ns), os.uname().machine]
        if needs.local:
            identity.append(self._project)
        if needs.editable:
            identity.append(self._attempt)
        return needs.key(*identity)

    def _locked(self, place: Path) -> AbstractContextManager[None]:
        """Hold the environment's lock: two jobs that need the same wait for one installation."""

        def waits() -> None:
            self._log.say("waiting for another job that installs the same requirements")

        return turn(place.with_suffix(".lock"), self._stop, waits)

    def _make(self, needs: Requirements, base: str, place: Path, work: Path) -> None:
        began = time.monotonic()
        self._unsaved.begin(place)
        if place.exists():
            shutil.rmtree(place)
        environ = uv.environ_for(self._environ, self._folders.uv_cache)
        program = uv.find(environ, self._folders.tools)
        if program is None:
            self._log.say("installing uv")
            self._run(uv.install_command(base, self._folders.tools), work, environ, "uv could not be installed")
            program = uv.find(environ, self._folders.tools)
            if program is None:
                raise EnvironmentFailed("uv could not be installed: pip left no program")
        self._log.say(f"installing {needs.described} with {uv.version(program)}")
        if needs.origin in (Origin.LOCK, Origin.PROJECT):
            self._install_project(program, needs, place, uv.prefer(environ, base))
        else:
            wanted = needs.requires_python or base
            self._run(uv.venv_command(program, place, wanted), work, uv.prefer(environ, base), "no fitting Python")
            if needs.sees_image:
                self._see_through(base, place)
            if needs.count != 0:
                command = uv.install_requirements_command(program, place, needs.source)
                self._run(command, work, environ, "the requirements could not be installed")
        (place / _MARKER).touch()
        self._log.say(f"requirements installed in {time.monotonic() - began:.1f} s")

    def _install_project(self, program: str, needs: Requirements, place: Path, environ: Mapping[str, str]) -> None:
        """Make the environment of a ``pyproject.toml``, from its lock where it has one.

        Everything runs in the project's folder: there uv finds its settings, and local packages by their paths.
        """
        folder = needs.source.parent
        if needs.origin is Origin.LOCK:
            check = uv.lock_check_environ(environ, needs.indexes)
            code, said = self._finish(uv.lock_check_command(program), folder, check, "uv.lock", lambda _: None)
            if code and uv.says_stale(said):
                raise EnvironmentFailed("uv.lock does not fit pyproject.toml: run `uv lock`, then launch again")
        self._run(uv.venv_command(program, place, None), folder, environ, "no fitting Python")
        if needs.origin is Origin.LOCK:
            into = uv.project_environ(environ, place)
            self._run(uv.sync_command(program), folder, into, "uv.lock could not be installed")
        elif needs.count != 0:
            command = uv.install_requirements_command(program, place, needs.source)
            self._run(command, folder, environ, "what pyproject.toml names could not be installed")

    def _see_through(self, base: str, place: Path) -> None:
        """Let an environment made from a requirements file see what the image brings, such as its PyTorch.

        A ``.pth`` file, because ``--system-site-packages`` does not reach the packages of a base that is
        itself a virtual environment, as on AWS's deep learning images.
        """
        try:
            packages = uv.site_packages(base)
        except (OSError, subprocess.CalledProcessError) as error:
            raise EnvironmentFailed(f"the Python at {base} does not run: {error}") from error
        for own in place.glob("lib/python*/site-packages"):
            (own / "runctl-image.pth").write_text("\n".join(packages) + "\n")

    def _run(self, argv: list[str], folder: Path, environ: Mapping[str, str], what: str) -> None:
        """Run an installer with its output in the log."""
        code, said = self._finish(argv, folder, environ, what, self._log.write_own)
        if code:
            raise EnvironmentFailed(f"{what}: {uv.complaint(said)}")

    def _finish(
        self, argv: list[str], folder: Path, environ: Mapping[str, str], what: str, write: Callable[[bytes], None]
    ) -> tuple[int, str]:
        """Run a program to its end; return its exit code and the last that it said."""
        tail = bytearray()

        def keep(data: bytes) -> None:
            write(data)
            tail.extend(data)
            del tail[:-_TAIL_BYTES]

        try:
            output = OutputPipe(into(keep))
            child = ChildProcess(argv, folder=folder, environ=environ, output=output, stop=self._stop)
        except OSError as error:
            raise EnvironmentFailed(f"{what}: {argv[0]} could not be started: {error.strerror}") from error
        finished = child.wait()
        child.end()
        if not finished:
            raise Stopped
        return child.return_code or 0, bytes(tail).decode("utf-8", "replace")


def _finished(place: Path) -> bool:
    """Whether everything was installed and the interpreter is still there."""
    return (place / _MARKER).exists() and (place / "bin" / "python").exists()
