"""A folder as the engine's store: what target ``local`` keeps its record in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from runctl_jupyter.orchestration.storage.listed import ListedObject
from runctl_jupyter.orchestration.storage.store import ObjectHead, ObjectPart
from runctl_jupyter.orchestration.storage.whole_file import whole_file
from runctl_jupyter.run_record import FolderStore, NotFound


class ListableFolder(FolderStore):
    """A `FolderStore` with listing and transfer of files."""

    @property
    def uri(self) -> str:
        """The folder's path."""
        return str(self.root)

    def uri_of(self, key: str) -> str:
        """Return the path of `key`."""
        return f"{self.root}/{key}"

    def exists(self, key: str) -> bool:
        """Return whether there is such an object."""
        return self.path(key).is_file()

    def head(self, key: str) -> ObjectHead:
        """Return size and metadata of an object; raises `NotFound`."""
        path = self.path(key)
        if not path.is_file():
            raise NotFound(f"no {self.uri_of(key)}")
        return ObjectHead(path.stat().st_size, self._metadata(key))

    def get_part(self, key: str, start: int, end: int) -> ObjectPart:
        """Read bytes `start` to `end` of an object, or as many of them as there are; raises `NotFound`."""
        path = self.path(key)
        try:
            with path.open("rb") as stream:
                stream.seek(start)
                data = stream.read(end - start)
                facts = os.fstat(stream.fileno())
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise NotFound(f"no {self.uri_of(key)}") from None
        modified = datetime.fromtimestamp(facts.st_mtime, UTC)
        # A part says nothing of the whole's content: what tells two versions apart is when it was written.
        return ObjectPart(data, f'"{facts.st_mtime_ns}"', self._metadata(key), modified, facts.st_size)

    def children(self, prefix: str) -> tuple[list[str], list[ListedObject]]:
        """List one level under `prefix`: names of sub-folders, and objects."""
        folder = self._folder(prefix)
        if not folder.is_dir():
            return [], []
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        return [e.name for e in entries if e.is_dir()], [self._listed(e) for e in entries if e.is_file()]

    def walk(self, prefix: str) -> Iterator[ListedObject]:
        """List every object under `prefix`."""
        for path in sorted(self._folder(prefix).rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(self.root).parts)
            if path.is_file() and not hidden:
                yield self._listed(path)

    def put_file(self, key: str, path: Path) -> int:
        """Copy a file in and return its size."""
        destination = self.path(key)
        destination.parent.mkdir(parents=True, exist_ok=True)
        return _copy(path, destination)

    def get_file(self, key: str, path: Path) -> int:
        """Copy an object out to `path`, which appears only when whole; return its size."""
        source = self.path(key)
        if not source.is_file():
            raise NotFound(f"no {self.uri_of(key)}")
        return _copy(source, path)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete files, and the folders that are empty without them: a store has no empty ones."""
        for key in keys:
            path = self.path(key)
            path.unlink(missing_ok=True)
            self._meta_path(key).unlink(missing_ok=True)
            for folder in path.parents:
                if folder == self.root or not _removed_empty(folder):
                    break

    def _folder(self, prefix: str) -> Path:
        return self.path(prefix.rstrip("/")) if prefix else self.root

    def _listed(self, path: Path) -> ListedObject:
        facts = path.stat()
        modified = datetime.fromtimestamp(facts.st_mtime, UTC)
        return ListedObject(path.relative_to(self.root).as_posix(), facts.st_size, modified)


def _copy(source: Path, destination: Path) -> int:
    with whole_file(destination) as partial:
        shutil.copyfile(source, partial)
    return destination.stat().st_size


def _removed_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False  # it holds something, or is gone already
    return True
