"""The variables of a script: brought to the machine before it runs, stored after; and the exception that ended it."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

from runctl_jupyter.run_record import (
    AttemptKeys,
    NotFound,
    RemoteFailure,
    StoredValue,
    StoreError,
    VariableSet,
    blob_key,
)
from runctl_jupyter.runner import cell
from runctl_jupyter.runner.backoff import persist
from runctl_jupyter.runner.files import BLOCK, FileChanged, FileStore, put_verified

_PARALLEL = 4
T = TypeVar("T")


class VariablesError(Exception):
    """A variable cannot be brought here; the message is for people."""


def cell_command(
    python: str,
    script: str,
    arguments: Sequence[str],
    *,
    inputs: Optional[Path],
    outputs: Path,
    names: Sequence[str],
) -> list[str]:
    """Return the command that runs a script with its variables.

    Parameters
    ----------
    script
        Relative to the working directory, as the script will find it in ``sys.argv``.
    inputs
        The folder that `fetch_inputs` has filled; None without inputs.
    outputs
        The folder for `store_results`, which is made here.
    names
        Variables to take out.
    """
    outputs.mkdir(parents=True, exist_ok=True)
    command = [python, "-u", str(Path(cell.__file__).resolve()), "--script", script, "--outputs", str(outputs)]
    if inputs is not None:
        command += ["--inputs", str(inputs)]
    if names:
        command += ["--names", ",".join(names)]
    return [*command, "--", *arguments]


def fetch_inputs(store: FileStore, inputs: Sequence[StoredValue], blobs: Path, target: Path) -> None:
    """Bring the values that `blobs` has not, and write to `target` where the script finds them.

    Raises
    ------
    VariablesError
        The store's bytes are not those that were sent.
    StoreError
        The store failed.
    """
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="variable") as pool:
        files = list(pool.map(lambda value: _fetch(store, value, blobs), inputs))
    rows = [
        {"name": value.name, "format": value.format, "type": value.type, "file": str(file)}
        for value, file in zip(inputs, files)
    ]
    target.mkdir(parents=True, exist_ok=True)
    (target / cell.INDEX).write_text(json.dumps(rows), encoding="utf-8")


def _fetch(store: FileStore, value: StoredValue, blobs: Path) -> Path:
    path = blobs / value.sha256
    if path.is_file():
        # The script of an earlier job, or a loss of power, may have changed it.
        if _sha256(path) == value.sha256:
            os.utime(path)  # whoever tidies the cache sees what is in use
            return path
        path.unlink()
    arrived = blobs / f".{value.sha256}.{os.getpid()}.{value.name}"
    try:
        if store.get_file(blob_key(value.sha256), arrived).sha256 == value.sha256:
            arrived.replace(path)
            return path
    finally:
        arrived.unlink(missing_ok=True)
    raise VariablesError(f"the variable {value.name} arrived with other bytes than were sent")


def store_results(store: FileStore, keys: AttemptKeys, folder: Path, names: Sequence[str], until: float) -> list[str]:
    """Store what the script left of its variables, and the exception that ended it, if one did.

    Parameters
    ----------
    folder
        What `cell_command` was told for outputs.
    names
        The variables that were asked for.
    until
        `time.monotonic` after which nothing is tried again.

    Returns
    -------
    list of str
        What went wrong, for people; nothing when an exception explains it all.
    """
    problems: list[str] = []
    failure = folder / cell.FAILURE
    if failure.is_file():
        problems += _store_failure(store, keys, failure, until)
    if names:
        found = _collect(store, folder, names, until)
        if not failure.is_file():
            problems += [f"the variable {name} was not brought back: {why}" for name, why in found.problems.items()]
        try:
            _persist(lambda: store.put(keys.variables, found.to_json()), until)
        except StoreError as error:
            problems.append(f"the list of variables was not stored: {error}")
    return problems


def _store_failure(store: FileStore, keys: AttemptKeys, path: Path, until: float) -> list[str]:
    try:
        document = RemoteFailure.from_json(path.read_bytes()).to_json()
        _persist(lambda: store.put(keys.exception, document), until)
    except (StoreError, OSError, ValueError) as error:
        return [f"the exception was not stored: {error}"]
    return []


def _collect(store: FileStore, folder: Path, names: Sequence[str], until: float) -> VariableSet:
    """Store the values the script's index lists and return what came of each name."""
    try:
        index = json.loads((folder / cell.INDEX).read_bytes())
    except FileNotFoundError:
        return VariableSet(problems=dict.fromkeys(names, "the script did not come to its end"))

    def keep(row: dict[str, Any]) -> tuple[Optional[StoredValue], str]:
        try:
            return _persist(lambda: _keep(store, row), until), ""
        except (StoreError, FileChanged, OSError) as error:
            return None, f"it was not stored: {error}"

    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="variable") as pool:
        kept = list(pool.map(keep, index["values"]))
    problems = dict(index["problems"])
    problems.update({row["name"]: why for row, (_, why) in zip(index["values"], kept) if why})
    return VariableSet([value for value, _ in kept if value is not None], problems)


def _keep(store: FileStore, row: dict[str, Any]) -> StoredValue:
    path = Path(row["file"])
    sha256, size = _sha256(path), path.stat().st_size
    key = blob_key(sha256)
    try:
        there = store.head(key).size == size
    except NotFound:
        there = False
    if not there:
        put_verified(store, key, path)
    return StoredValue(row["name"], row["format"], sha256, size, row["type"])


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while True:
            block = stream.read(BLOCK)
            if not block:
                return digest.hexdigest()
            digest.update(block)


def _persist(action: Callable[[], T], until: float) -> T:
    return persist(action, until=until, pause=_sleep)


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False
