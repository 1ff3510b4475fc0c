"""A record in a folder: what target ``local`` uses, with S3's conditional writes.

Objects are files; metadata lies beside them in ``.meta/``. A write goes to a temporary file and is renamed,
so a reader never sees half of it; conditions are checked under a lock of the whole record, which
only processes of one machine share.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Optional

from runctl_jupyter.run_record.store import NotFound, PreconditionFailed, StoredObject

_META = ".meta"
_LOCK = ".lock"


class FolderStore:
    """A `RecordStore` in a local folder.

    Parameters
    ----------
    root
        The folder; made when the first object is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def __repr__(self) -> str:
        return f"FolderStore({str(self.root)!r})"

    def path(self, key: str) -> Path:
        """Return the file of `key`.

        Raises
        ------
        ValueError
            `key` would leave the folder.
        """
        parts = key.split("/")
        if not key or any(part in ("", ".", "..", _META, _LOCK) for part in parts):
            raise ValueError(f"not a key of a record: {key!r}")
        return self.root.joinpath(*parts)

    def get(self, key: str) -> StoredObject:
        """Read a whole object; see `RecordStore.get`."""
        path = self.path(key)
        try:
            data = path.read_bytes()
            modified = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise NotFound(f"no {key} in {self.root}") from None
        return StoredObject(data, _etag(data), self._metadata(key), modified)

    def put(
        self,
        key: str,
        data: bytes,
        *,
        create_only: bool = False,
        if_etag: Optional[str] = None,
        metadata: Optional[Mapping[str, str]] = None,
    ) -> str:
        """Write an object; see `RecordStore.put`."""
        path = self.path(key)
        with self._locked():
            if create_only and path.exists():
                raise PreconditionFailed(f"{key} exists already in {self.root}")
            if if_etag is not None and not (path.is_file() and _etag(path.read_bytes()) == if_etag):
                raise PreconditionFailed(f"{key} in {self.root} has changed")
            if metadata:
                _write_whole(self._meta_path(key), json.dumps(dict(metadata)).encode())
            _write_whole(path, data)
        return _etag(data)

    def _meta_path(self, key: str) -> Path:
        return self.root / _META / (hashlib.sha256(key.encode()).hexdigest() + ".json")

    def _metadata(self, key: str) -> Mapping[str, str]:
        try:
            found: dict[str, str] = json.loads(self._meta_path(key).read_bytes())
        except FileNotFoundError:
            return {}
        return found

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()}"'


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
