"""The TensorBoard event files that a script writes: found by looking, read as they grow."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from runctl_jupyter.runner.line_values import clean_name
from runctl_jupyter.runner.series import Point
from runctl_jupyter.runner.tfevents import EventFile, Scalar

_MOST_RECORDS = 5000
"""Records of one look: a second's thousand are read in time."""
_MOST_FILES = 100
_MOST_ENTRIES, _MOST_OF_A_FOLDER = 10_000, 2000
_DEEPEST = 8
_NOT_LOOKED_INTO = frozenset(("__pycache__", "node_modules", "site-packages", "venv"))
_PART_OF_A_RUN = frozenset(("train", "validation", "valid", "val", "test", "eval"))
"""Keras writes a run's training and validation with the same tags, into folders of these names."""


class EventFiles:
    """Reads what is written from a moment on.

    Parameters
    ----------
    folders
        Where to look, and in what lies below.
    since
        Seconds since 1970: event files of earlier runs lie in the project too.
    """

    def __init__(self, folders: Iterable[Path], since: float) -> None:
        self._folders = list(folders)
        self._since = since
        self._files: dict[Path, EventFile] = {}
        self._names: dict[tuple[Path, str], str] = {}
        self._taken: set[str] = set()

    def look(self) -> list[Point]:
        """Look for files, and read what is new in them."""
        for path in self._found():
            if path not in self._files and len(self._files) < _MOST_FILES:
                self._files[path] = EventFile(path)
        points: list[Point] = []
        for path, file in self._files.items():
            left = _MOST_RECORDS - len(points)
            try:
                new = [each for each in file.read(left) if each.time >= self._since]
            except OSError:
                continue  # removed, or just being made
            points.extend(self._point(path.parent, each) for each in new)
        return points

    def _point(self, folder: Path, scalar: Scalar) -> Point:
        key = folder, scalar.tag
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = self._name(folder, scalar.tag)
        return Point(name, scalar.step, scalar.time, scalar.value)

    def _name(self, folder: Path, tag: str) -> str:
        """Return a metric's name: the tag, with the folder's where another run has taken it or it is a part of one."""
        name, part = clean_name(tag) or "scalar", folder.name
        whose = clean_name(f"{part}/{name}")
        if name in self._taken or (part in _PART_OF_A_RUN and not name.startswith(f"{part}/")):
            name = whose
        self._taken.add(name)
        return name

    def _found(self) -> list[Path]:
        """Return event files that were written to since, the oldest first."""
        found: list[tuple[float, Path]] = []
        waiting = deque((folder, 0) for folder in self._folders)
        seen, left = set(self._folders), _MOST_ENTRIES
        while waiting and left > 0:
            folder, depth = waiting.popleft()  # what lies deep is looked into last, should there be too much
            for entry in _entries(folder):
                left -= 1
                path = Path(entry.path)
                if "tfevents" in entry.name:
                    changed = _changed(entry)
                    if changed >= self._since:
                        found.append((changed, path))
                elif depth < _DEEPEST and path not in seen and _is_folder(entry):
                    seen.add(path)
                    waiting.append((path, depth + 1))
        return [path for _, path in sorted(found)]


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            for _, entry in zip(range(_MOST_OF_A_FOLDER), entries):
                yield entry
    except OSError:
        return  # not there (any more), or not ours to look into


def _is_folder(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(".") or entry.name in _NOT_LOOKED_INTO:
        return False
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _changed(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime if entry.is_file(follow_symlinks=False) else 0.0
    except OSError:
        return 0.0
