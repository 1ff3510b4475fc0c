"""What a sync remembers of a folder: which version of an object each file was found to be. None is read twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from runctl_jupyter.orchestration.storage.names import LocalFile
from runctl_jupyter.orchestration.storage.whole_file import whole_file


class Known(NamedTuple):
    """A file as it was, and the tag of the object with the same content."""

    size: int
    mtime_ns: int
    inode: int
    etag: str


def known(file: LocalFile, etag: str) -> Known:
    """Return what to remember of a file."""
    return Known(file.size, file.mtime_ns, file.inode, etag)


class SyncMemory:
    """The memory of one folder and one prefix, a JSON file.

    Parameters
    ----------
    folder
        Where such files lie.
    local, remote
        The folder and the address that are synced.
    """

    def __init__(self, folder: Path, local: Path, remote: str) -> None:
        self._identity = [str(local.resolve()), remote]
        name = hashlib.sha256("\0".join(self._identity).encode(errors="surrogateescape")).hexdigest()[:32]
        self._path = folder / f"{name}.json"

    def load(self) -> dict[str, Known]:
        """Return what is known by name; nothing where there is no memory, or none that can be read."""
        try:
            stored = json.loads(self._path.read_bytes())
            if stored["of"] != self._identity:
                return {}
            return {name: Known(*entry) for name, entry in stored["files"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            # Every file is compared once more by its content.
            return {}

    def save(self, files: Mapping[str, Known]) -> None:
        """Replace what is known."""
        # A sync does not fail for want of it.
        with suppress(OSError), whole_file(self._path) as partial:
            partial.write_text(json.dumps({"of": self._identity, "files": files}))
