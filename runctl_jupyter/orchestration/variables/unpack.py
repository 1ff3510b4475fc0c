"""What came back from a machine: values of variables, and the exception that ended the cell."""

from __future__ import annotations

import ast
import builtins
import hashlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.errors import (
    InvalidRequest,
    ObjectMissing,
    RemoteError,
    RunctlError,
    StorageUnavailable,
)
from runctl_jupyter.orchestration.storage.storage import storage_errors
from runctl_jupyter.run_record import (
    AttemptKeys,
    JobSpec,
    RemoteFailure,
    StoredValue,
    VariableSet,
    blob_key,
    values,
)

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.storage.store import Store

_PARALLEL = 4
_MOST_MESSAGE = 300


@dataclass(frozen=True)
class Results:
    """The variables of a job: values by name, and for those that are missing why."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, RunctlError] = field(default_factory=dict)


def results(store: Store, keys: AttemptKeys) -> Results:
    """Bring a job's variables here.

    Raises
    ------
    StorageUnavailable
        The store failed.
    """
    try:
        with storage_errors():
            told = VariableSet.from_json(store.get(keys.variables).data)
    except ObjectMissing:
        return Results()
    found = Results(problems={name: _lost(name, why, keys) for name, why in told.problems.items()})
    with tempfile.TemporaryDirectory(prefix="runctl-") as folder:

        def bring(value: StoredValue) -> Path:
            path = Path(folder, value.name)
            store.get_file(blob_key(value.sha256), path)
            with path.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != value.sha256:
                    raise StorageUnavailable(
                        f"The variable {value.name} arrived with other bytes than were stored.", "Try again."
                    )
            return path

        with storage_errors(), ThreadPoolExecutor(_PARALLEL, thread_name_prefix="runctl-variable") as pool:
            files = list(pool.map(bring, told.values))
        for value, file in zip(told.values, files, strict=True):
            try:
                found.values[value.name] = values.load(value.format, file)
            except values.NotReadable as error:
                found.problems[value.name] = InvalidRequest(
                    f"{value.name} is a {value.type} and cannot be read here: {error}.",
                    "Install what is missing, or let the cell leave a frame, an array, or plain data.",
                )
            file.unlink()
    return found


def remote_error(store: Store, keys: AttemptKeys, spec: JobSpec) -> RemoteError | None:
    """Return the exception that ended a job's cell as one to raise here, None if none did.

    Raises
    ------
    StorageUnavailable
        The store failed.
    """
    try:
        with storage_errors():
            failure = RemoteFailure.from_json(store.get(keys.exception).data)
    except ObjectMissing:
        return None
    kind = failure.type.removeprefix("builtins.").removeprefix("__main__.")
    said = (failure.message.strip().splitlines() or [""])[0][:_MOST_MESSAGE]
    what = f"{kind}: {said}" if said else kind
    if failure.line is not None:
        where = "the cell" if spec.cell else spec.script
        what += f", in line {failure.line} of {where}: {failure.source}".rstrip(": ")
    error = RemoteError(
        what,
        f"See all it printed: runctl logs {spec.id}",
        remote_type=failure.type,
        remote_traceback=failure.traceback,
        line=failure.line,
    )
    error.__cause__ = _rebuilt(failure)
    return error


def _lost(name: str, why: str, keys: AttemptKeys) -> RunctlError:
    return ObjectMissing(f"{name} was not brought back: {why}.", f"See what the job printed: runctl logs {keys.job_id}")


def _rebuilt(failure: RemoteFailure) -> Exception | None:
    """Return a builtin exception of the same type and message, None where that cannot be."""
    module, _, name = failure.type.rpartition(".")
    kind = getattr(builtins, name, None) if module == "builtins" else None
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        return None
    argument: Any = failure.message
    if kind is KeyError:
        try:
            argument = ast.literal_eval(failure.message)  # a KeyError shows its key as a literal
        except (ValueError, SyntaxError):
            argument = failure.message
    try:
        return kind(argument)
    except TypeError:
        return None  # it takes more than a message, e.g. UnicodeDecodeError
