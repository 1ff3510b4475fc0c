"""What comes before the script: its project, data, checkpoint, environment, variables and secrets."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Callable, Optional, TypeVar

from runctl_jupyter.run_record import ResumeFrom, StoreError
from runctl_jupyter.run_record.secrets import is_secret_name
from runctl_jupyter.runner import training
from runctl_jupyter.runner.attempt import Attempt
from runctl_jupyter.runner.backoff import persist
from runctl_jupyter.runner.code import CodeError, content_of, lay_out
from runctl_jupyter.runner.data import DataError, fetch_data
from runctl_jupyter.runner.environment import (
    EnvironmentFailed,
    EnvironmentMaker,
    ScriptPython,
    machine_python,
)
from runctl_jupyter.runner.log import JobLog
from runctl_jupyter.runner.requirements import RequirementsError, find_requirements
from runctl_jupyter.runner.resume import ResumeError, fetch_checkpoint, latest_of
from runctl_jupyter.runner.secrets import SecretFailed, resolve_secrets
from runctl_jupyter.runner.stops import Stopped
from runctl_jupyter.runner.variables import VariablesError, cell_command, fetch_inputs

T = TypeVar("T")

_WHEN_REFUSED = "Check the address, and what the machine's role may read."
_WHEN_FAILED = "Launch again; if it stays so, look at the machine's disk and its way to S3."


class NotPrepared(Exception):
    """What the script needs could not be brought; `kind` is that of the cause, the message is for people."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Prepared:
    """All that is needed to start the script."""

    argv: list[str]
    environ: Mapping[str, str]
    python: ScriptPython


class Preparation:
    """Brings what the script needs, in phases that the status names.

    Parameters
    ----------
    enter
        Called with the name of each phase.
    """

    def __init__(self, attempt: Attempt, log: JobLog, enter: Callable[[str], None]) -> None:
        self._attempt, self._log, self._enter = attempt, log, enter
        self._base_environ = training.machine_environ(attempt.machine.environ)
        self._project = ""

    def run(self) -> Prepared:
        """Bring everything.

        Raises
        ------
        NotPrepared
            Something could not be had.
        Stopped
            The job was told to end.
        """
        attempt, spec, folders = self._attempt, self._attempt.spec, self._attempt.folders
        self._lay_out_code()
        data = self._bring("data", self._data) if spec.data_uri is not None else None
        resume_from = self._bring("resume", self._checkpoint) if self._resumes() else None
        if spec.inputs:
            self._bring("inputs", self._inputs)
        self._enter("environment")
        python = self._environment()
        places = training.ScriptPlaces(
            folders.work, folders.outputs, checkpoint_folder(attempt), data=data, resume_from=resume_from
        )
        environ = training.script_environ(
            spec, attempt.number, self._base_environ, self._own_environ(), python, places, home=attempt.root.root
        )
        return Prepared(self._command(python), environ, python)

    def _command(self, python: ScriptPython) -> list[str]:
        spec, folders = self._attempt.spec, self._attempt.folders
        if not (spec.cell or spec.inputs or spec.outputs):
            return training.command(spec, folders.work, python)
        inputs = folders.inputs if spec.inputs else None
        # A runner that was killed may have begun; what it has left is not this one's.
        shutil.rmtree(folders.variables, ignore_errors=True)
        return cell_command(
            python.executable,
            spec.script,
            spec.arguments,
            inputs=inputs,
            outputs=folders.variables,
            names=spec.outputs,
        )

    def _inputs(self) -> None:
        attempt = self._attempt
        fetch_inputs(attempt.store, attempt.spec.inputs, attempt.root.blobs, attempt.folders.inputs)

    def _resumes(self) -> bool:
        spec = self._attempt.spec
        return spec.resume_from is not None or (spec.resume == "latest" and self._attempt.number > 1)

    def _bring(self, kind: str, fetch: Callable[[], T]) -> T:
        """Do what needs the store for long, until it is done; `kind` names the phase and the cause of a failure."""
        attempt = self._attempt
        self._enter(kind)
        try:
            began, patience = time.monotonic(), attempt.patience
            return persist(
                fetch,
                until=began + patience.bring_s,
                until_refused=began + patience.begin_s,
                pause=attempt.stop.pause,
            )
        except (DataError, ResumeError, VariablesError, StoreError, OSError) as error:
            if attempt.stop.reason is not None:
                raise Stopped from error
            raise NotPrepared(kind, _with_advice(error)) from error

    def _data(self) -> Path:
        attempt, target = self._attempt, self._attempt.folders.data
        manifest = fetch_data(
            attempt.store,
            attempt.spec.data_uri or "",
            attempt.root.data_cache,
            target,
            say=self._log.say,
            stop=attempt.stop,
        )
        attempt.store.put(attempt.keys.data, manifest.to_json())
        return target

    def _checkpoint(self) -> Optional[Path]:
        """Bring the checkpoint to go on from; None when the job has not saved one yet."""
        attempt, resume = self._attempt, self._attempt.spec.resume_from
        if resume is None:
            if latest_of(attempt.store, attempt.spec.id) is None:
                self._log.say("there is no checkpoint to go on from: the script begins anew")
                return None
            resume = ResumeFrom(job_id=attempt.spec.id)
        return fetch_checkpoint(
            attempt.store, resume, attempt.spec.id, attempt.folders.resume, say=self._log.say, stop=attempt.stop
        )

    def _own_environ(self) -> Mapping[str, str]:
        """Return the job's variables; secrets are looked up now and kept nowhere."""
        attempt, machine, env = self._attempt, self._attempt.machine, self._attempt.spec.env
        if not any(is_secret_name(value) for value in env.values()):
            return env
        if machine.credentials is None or machine.region is None:
            raise NotPrepared("secret", "this computer has no AWS role that could read the job's secrets")
        try:
            return resolve_secrets(
                env,
                machine.credentials,
                machine.region,
                endpoint=machine.endpoint,
                until=time.monotonic() + attempt.patience.begin_s,
                pause=attempt.stop.pause,
            )
        except SecretFailed as error:
            if attempt.stop.reason is not None:
                raise Stopped from error
            raise NotPrepared("secret", str(error)) from error

    def _lay_out_code(self) -> None:
        attempt, work = self._attempt, self._attempt.folders.work
        tree = attempt.spec.tree
        try:
            if tree is not None:
                laid_out = persist(
                    lambda: lay_out(attempt.store, tree, attempt.root.blobs, work),
                    until=time.monotonic() + attempt.patience.begin_s,
                    pause=attempt.stop.pause,
                )
                self._project = content_of(laid_out)
            script = PurePosixPath(attempt.spec.script)
            if script.is_absolute() or ".." in script.parts or not (work / script).is_file():
                raise CodeError(f"there is no script {attempt.spec.script} in the project")
            checkpoint_folder(attempt).mkdir(parents=True, exist_ok=True)
        except (CodeError, StoreError, OSError) as error:
            if attempt.stop.reason is not None:
                raise Stopped from error
            raise NotPrepared("code", f"the project could not be brought here: {error}") from error

    def _environment(self) -> ScriptPython:
        attempt = self._attempt
        spec, work = attempt.spec, attempt.folders.work
        try:
            needs = find_requirements(work / spec.script, work / spec.requirements if spec.requirements else None)
            maker = EnvironmentMaker(
                attempt.root,
                self._log,
                attempt.stop,
                base=machine_python(attempt.machine.environ),
                environ=self._base_environ,
                project=self._project,
                attempt=f"{spec.id}/{attempt.number}",
            )
            return maker.python_for(needs, work)
        except (EnvironmentFailed, RequirementsError, OSError) as error:
            raise NotPrepared("environment", str(error)) from error


def _with_advice(error: Exception) -> str:
    """Return what failed and what to do, in two lines; an error of our own says both."""
    what = str(error)
    if "\n" in what:
        return what
    refused = isinstance(error, StoreError) and not error.transient
    return f"{what.rstrip('.')}.\n{_WHEN_REFUSED if refused else _WHEN_FAILED}"


def checkpoint_folder(attempt: Attempt) -> Path:
    """Return ``RUNCTL_CHECKPOINT_DIR``.

    Raises
    ------
    CodeError
        It would lie outside the working directory.
    """
    folder = PurePosixPath(attempt.spec.checkpoint_dir)
    if folder.is_absolute() or ".." in folder.parts or not folder.parts:
        raise CodeError(f"the checkpoint folder must lie in the project: {attempt.spec.checkpoint_dir!r}")
    return attempt.folders.work / folder
