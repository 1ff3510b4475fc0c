"""Variables on their way to a machine: written to files, and stored once."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.storage.storage import storage_errors
from runctl_jupyter.orchestration.units import size_text
from runctl_jupyter.run_record import StoredValue, blob_key, values

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.storage.store import Store

MOST_BYTES = 5 * 1000**3
"""Larger than this, a value belongs into a bucket: `--data-s3` brings it faster, and to many jobs."""
_PARALLEL = 4


@dataclass(frozen=True)
class PackedValue:
    """A variable in a file, and what it takes to read it."""

    stored: StoredValue
    path: Path
    python: str | None = None
    """The Python it has to be read with; None if any will do."""
    libraries: Mapping[str, str] = field(default_factory=dict)
    """Modules that a pickle refers to, and their versions here."""


def pack(names: Sequence[str], namespace: Mapping[str, Any], folder: Path) -> list[PackedValue]:
    """Write variables to files in `folder`, one by one: the largest values of a notebook go through memory here.

    Raises
    ------
    InvalidRequest
        A name is not defined, or its value cannot be written or is too big.
    """
    missing = [name for name in names if name not in namespace]
    if missing:
        raise InvalidRequest(f"There is no variable {missing[0]!r}.", _advice(missing[0], namespace))
    folder.mkdir(parents=True, exist_ok=True)
    return [_pack(name, namespace[name], folder / f"{name}.value") for name in names]


def upload(store: Store, packed: Sequence[PackedValue]) -> int:
    """Upload the values that `store` does not have, and return how many bytes had to move.

    Raises
    ------
    StorageUnavailable
        The store failed.
    """

    def move(value: PackedValue) -> int:
        key = blob_key(value.stored.sha256)
        # Content-addressed: what is there is what we would write.
        return 0 if store.exists(key) else store.put_file(key, value.path)

    different = {value.stored.sha256: value for value in packed}
    with storage_errors(), ThreadPoolExecutor(_PARALLEL, thread_name_prefix="runctl-variable") as pool:
        return sum(pool.map(move, different.values()))


def _pack(name: str, value: Any, path: Path) -> PackedValue:
    _check_size(name, getattr(value, "nbytes", 0))
    try:
        written = values.dump(value, path)
    except values.NotWritable as error:
        raise InvalidRequest(
            f"{name} is a {values.type_name(value)} and cannot be sent: {error}.",
            "Make it in the cell, or send what it is made from: a frame, an array, or plain data.",
        ) from error
    except OSError as error:
        raise InvalidRequest(
            f"{name} cannot be written to {path.parent}: {error.strerror or error}.", "Make room on this disk."
        ) from error
    size = path.stat().st_size
    _check_size(name, size)
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    stored = StoredValue(name, written.format, sha256, size, written.type)
    return PackedValue(stored, path, written.python, written.libraries)


def _check_size(name: str, size: Any) -> None:
    if isinstance(size, int) and size > MOST_BYTES:
        raise InvalidRequest(
            f"{name} has {size_text(size)}; a variable may have {size_text(MOST_BYTES)}.",
            "Put it into a bucket (runctl s3 upload) and give its address with --data-s3.",
        )


def _advice(name: str, namespace: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, [each for each in namespace if not each.startswith("_")], n=1)
    return f"Did you mean {near[0]}?" if near else "Define it in an earlier cell, or leave it out of -i."
