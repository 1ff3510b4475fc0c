"""Makes projects under git."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration.config import SyncSettings
from runctl_jupyter.orchestration.storage.git import GitState, git_state
from runctl_jupyter.orchestration.storage.project import project_files

GIT = shutil.which("git")
needs_git = pytest.mark.skipif(GIT is None, reason="there is no git here")


class Project:
    """A folder under git, or not."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def git(self, *arguments: str) -> str:
        who = ("-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "protocol.file.allow=always")
        done = subprocess.run([str(GIT), *who, *arguments], cwd=self.root, check=True, capture_output=True)
        return done.stdout.decode().strip()

    def write(self, name: str, data: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def commit(self, **files: bytes) -> str:
        for name, data in files.items():
            self.write(name, data)
        self.git("add", "-A", "-f")
        self.git("commit", "-q", "--allow-empty", "-m", "x")
        return self.git("rev-parse", "HEAD")

    def travelling(self, folder: str = ".") -> list[str]:
        return [file.path for file in project_files(self.root / folder, SyncSettings())]

    def state(self, folder: str = ".", **limits: Any) -> GitState:
        found = git_state(self.root / folder, self.travelling(folder), **limits)
        assert found is not None
        return found

    def difference(self, folder: str = ".", **limits: Any) -> bytes:
        return self.state(folder, **limits).difference or b""
