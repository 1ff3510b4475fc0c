"""A job as asked for, checked against the project before anything is launched."""

from __future__ import annotations

import keyword
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.storage.uris import S3Uri
from runctl_jupyter.run_record import MachineAsked
from runctl_jupyter.run_record.secrets import NAME_FORMS, SecretNameError, is_secret_name, parse_secret_name

CELL_SCRIPT = "runctl_cell.py"
"""Name of a cell's body in the working directory: tracebacks show it."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_BLOCK = re.compile(r"(?m)^# /// script\r?$")  # PyPA, "Inline script metadata"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Origin:
    """Where in a notebook a job was asked for, as far as the front end tells."""

    notebook: str | None = None
    """Path."""
    cell_id: str | None = None


@dataclass(frozen=True)
class TrainRequest:
    """What the user asked for; see `Jobs.train` for the meaning of each."""

    script: str | None = None
    cell: str | None = None
    arguments: Sequence[str] = ()
    on: str | None = None
    asked: MachineAsked = field(default_factory=MachineAsked)
    name: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    requirements: str | None = None
    checkpoint_dir: str | None = None
    ttl: float | None = None
    timeout: float | None = None
    max_cost: float | None = None
    keep: bool = False
    data_s3: str | None = None
    output_s3: str | None = None
    resume: str = "latest"
    idle_stop: float | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Sequence[str] = ()
    run_key: str | None = None
    origin: Origin | None = None


@dataclass(frozen=True)
class CheckedJob:
    """The parts of a request that name files, made relative to the project."""

    script: str
    name: str
    requirements: str | None
    checkpoint_dir: str
    extra: Mapping[str, bytes]


def check(request: TrainRequest, root: Path, cwd: Path) -> CheckedJob:
    """Check a request against the project in `root`; paths are relative to `cwd`, as the user typed them.

    Raises
    ------
    InvalidRequest
        Says which part is wrong and what to do.
    """
    if request.on is not None:
        check_on(request.asked)
    if request.max_cost is not None and request.max_cost <= 0:
        raise InvalidRequest(f"A cost limit of {request.max_cost:g} USD allows nothing.", "Give a number above 0.")
    _check_names(request)
    script, extra = _script(request, root, cwd)
    name = request.name or PurePosixPath(script).stem
    if request.name is not None and not _NAME.fullmatch(request.name):
        raise InvalidRequest(
            f"{request.name!r} cannot be a name.", "Use letters, digits, '.', '_' and '-', 64 at most."
        )
    requirements = _requirements(request, script, root, cwd)
    checkpoint_dir = PurePosixPath(request.checkpoint_dir or "checkpoints")
    if checkpoint_dir.is_absolute() or ".." in checkpoint_dir.parts:
        raise InvalidRequest(
            f"The checkpoint folder {request.checkpoint_dir} lies outside the working directory.",
            "Give a relative folder; the script finds it in RUNCTL_CHECKPOINT_DIR.",
        )
    return CheckedJob(script, name, requirements, checkpoint_dir.as_posix(), extra)


def check_on(asked: MachineAsked) -> None:
    """Refuse that a machine is asked for beside one that is there."""
    if not asked.says_nothing:
        raise InvalidRequest(
            "--on names an instance that exists; --instance-type, --gpu and --spot are for one to launch.",
            "Leave --on out, or the others.",
        )


def _check_names(request: TrainRequest) -> None:
    """Refuse addresses that are none, and names that cannot be names of variables."""
    for kind, names in (("--env", request.env), ("--param", request.params)):
        for name in names:
            if not _VARIABLE.fullmatch(name):
                raise InvalidRequest(
                    f"{name!r} cannot be the name of a variable ({kind}).", "Use letters, digits and _."
                )
    _check_secrets(request.env)
    reserved = [name for name in request.env if name.startswith("RUNCTL_")]
    if reserved:
        raise InvalidRequest(f"{reserved[0]} is set by runctl itself.", "Choose another name for --env.")
    for flag, address in (("--data-s3", request.data_s3), ("--output-s3", request.output_s3)):
        if address is not None:
            _bucket_named(flag, address)
    for variable in (*request.inputs, *request.outputs):
        if not variable.isidentifier() or keyword.iskeyword(variable):
            raise InvalidRequest(f"{variable!r} cannot be the name of a variable.", "Write them like -i df,cfg.")
    if (request.inputs or request.outputs) and request.cell is None:
        raise InvalidRequest(
            "Only a cell has variables to bring in or out; a script was given.",
            "Write it as a cell, or use --param, RUNCTL_OUTPUT_DIR and --output-s3.",
        )


def _check_secrets(env: Mapping[str, str]) -> None:
    for name, value in env.items():
        if is_secret_name(value):
            try:
                parse_secret_name(value)
            except SecretNameError as error:
                raise InvalidRequest(f"--env {name}: {error}.", f"Write {NAME_FORMS}.") from None


def _bucket_named(flag: str, address: str) -> None:
    if not address.startswith("s3://"):
        raise InvalidRequest(f"{flag} {address} is not an S3 address.", f"Write it as {flag} s3://BUCKET/PREFIX.")
    S3Uri.parse(address)


def _script(request: TrainRequest, root: Path, cwd: Path) -> tuple[str, Mapping[str, bytes]]:
    if request.cell is not None:
        if request.script is not None:
            raise InvalidRequest(
                f"A cell was given and a script, {request.script}.",
                "For the script, write it on one line: %runctl train SCRIPT. Arguments of the cell come after --.",
            )
        if all(not line.strip() or line.lstrip().startswith("#") for line in request.cell.splitlines()):
            raise InvalidRequest(
                "The cell is empty: there is nothing to train.", "Write the training under %%runctl train."
            )
        return CELL_SCRIPT, {CELL_SCRIPT: request.cell.encode()}
    if request.script is None:
        raise InvalidRequest("No script was given.", "Name one: runctl train train.py")
    path = _in_project(request.script, root, cwd, "script")
    if not (root / path).is_file():
        raise InvalidRequest(f"There is no script {request.script}.", f"Looked in {cwd}; check the path.")
    return path, {}


def _requirements(request: TrainRequest, script: str, root: Path, cwd: Path) -> str | None:
    """Return which file says what to install: the one named, none beside a PEP 723 block, else the first there is."""
    if request.requirements is not None:
        path = _in_project(request.requirements, root, cwd, "requirements file")
        if not (root / path).is_file():
            raise InvalidRequest(f"There is no requirements file {request.requirements}.", "Check the path.")
        return path
    source = request.cell if request.cell is not None else (root / script).read_text("utf-8", "replace")
    if not script.endswith(".sh") and _BLOCK.search(source):
        return None
    if (root / "requirements.txt").is_file():
        return "requirements.txt"
    if (root / "uv.lock").is_file() and (root / "pyproject.toml").is_file():
        return "uv.lock"
    return "pyproject.toml" if _declares_dependencies(root / "pyproject.toml") else None


def _declares_dependencies(pyproject: Path) -> bool:
    try:
        project = tomllib.loads(pyproject.read_text("utf-8")).get("project", {})
    except (FileNotFoundError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False  # none, or one that is nobody's project: then nothing is installed from it
    return bool(project.get("dependencies"))


def _in_project(given: str, root: Path, cwd: Path, what: str) -> str:
    absolute = (cwd / Path(given).expanduser()).resolve()
    if not absolute.is_relative_to(root.resolve()):
        raise InvalidRequest(
            f"The {what} {given} lies outside the project {root}.",
            "Only the project travels: choose it with --project-root.",
        )
    return absolute.relative_to(root.resolve()).as_posix()
