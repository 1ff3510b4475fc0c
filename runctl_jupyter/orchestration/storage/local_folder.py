"""Any folder of this computer as a store; unlike a record's, its files may begin with a dot (``.metadata``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from runctl_jupyter.orchestration.storage.folder import ListableFolder
from runctl_jupyter.orchestration.storage.listed import ListedObject


class LocalFolder(ListableFolder):
    """A folder in which anything may lie."""

    def walk(self, prefix: str) -> Iterator[ListedObject]:
        """List every file under `prefix`, but not in hidden folders and through links to folders."""
        for at, folders, names in os.walk(self._folder(prefix)):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(at, name)
                try:
                    facts = path.stat()
                except OSError:
                    continue  # gone, or a link to nothing
                modified = datetime.fromtimestamp(facts.st_mtime, UTC)
                yield ListedObject(path.relative_to(self.root).as_posix(), facts.st_size, modified)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Take no lock: it would be a file among those of somebody else, who knows nothing of it."""
        yield
