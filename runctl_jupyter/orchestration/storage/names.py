"""Names on the way between a bucket and a folder: what is chosen, and what would land where it must not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import InvalidRequest

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_MOST_KEY_BYTES = 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Selection:
    """Which names take part: patterns as in ``.gitignore``, of names relative to the folder or prefix.

    Parameters
    ----------
    include
        Only names that one of these matches; empty means all.
    exclude
        None of the names that one of these matches.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def takes(self, name: str) -> bool:
        """Return whether a name takes part."""
        if not self.include and not self.exclude:
            return True
        if self.include and not self._included.match_file(name):
            return False
        return not (self.exclude and self._excluded.match_file(name))

    @cached_property
    def _included(self) -> GitIgnoreSpec:
        return _spec(self.include)

    @cached_property
    def _excluded(self) -> GitIgnoreSpec:
        return _spec(self.exclude)


ALL = Selection()


def _spec(patterns: Sequence[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(patterns)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file as it was when it was looked at; `name` is relative, with ``/``."""

    name: str
    path: str
    size: int
    mtime_ns: int
    inode: int


def local_files(root: str, selection: Selection = ALL) -> Iterator[LocalFile]:
    """Yield the files below a folder in the order of their names within each; links to folders are not followed.

    Raises
    ------
    InvalidRequest
        A folder cannot be read.
    """
    stack = [(root, "")]
    while stack:
        folder, prefix = stack.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise InvalidRequest(f"{folder} cannot be read: {error.strerror}.", "Make it readable.") from error
        for entry in found:
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                stack.append((entry.path, f"{name}/"))
            elif entry.is_file() and not is_partial(entry.name) and selection.takes(name):
                try:
                    facts = entry.stat()
                except FileNotFoundError:
                    continue  # removed meanwhile
                yield LocalFile(name, entry.path, facts.st_size, facts.st_mtime_ns, facts.st_ino)


def local_file(path: Path) -> LocalFile:
    """Return one file."""
    facts = path.stat()
    return LocalFile(path.name, str(path), facts.st_size, facts.st_mtime_ns, facts.st_ino)


def is_partial(name: str) -> bool:
    """Whether a file is what a download has left that was cut."""
    return name.startswith(".") and name.endswith((".part", ".part.done"))


def check_key(key: str) -> str:
    """Return a key that an object can be written under.

    Raises
    ------
    InvalidRequest
        S3, or many who read from it, would not take it.
    """
    parts = key.split("/")
    if any(part in ("", ".", "..") for part in parts) or _CONTROL.search(key):
        raise InvalidRequest(
            f"{key!r} cannot be the key of an object here.", "Leave out empty parts, '.', '..' and control characters."
        )
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidRequest(f"{key!r} is no text in UTF-8, which keys are.", "Rename that file.") from None
    if length > _MOST_KEY_BYTES:
        raise InvalidRequest(f"The key {key[:60]!r}… has {length:,} bytes; S3 takes 1,024.", "Choose a shorter prefix.")
    return key


def landing_places(folder: str, names: Iterable[str]) -> dict[str, str]:
    """Return for each name the path below `folder` where it will lie; nothing is written.

    Raises
    ------
    InvalidRequest
        One would lie outside the folder, or two cannot both be there.
    """
    root = os.path.realpath(folder)
    places: dict[str, str] = {}
    safe = {root}
    for name in names:
        parts = name.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\0" in name:
            raise _outside(name, folder)
        path = f"{root}/{name}"
        parent = path.rpartition("/")[0]
        if parent not in safe:
            real = os.path.realpath(parent)
            # A link in the folder may lead out of it.
            if real != parent and os.path.commonpath((root, real)) != root:
                raise _outside(name, folder)
            safe.add(parent)
        places[name] = path
    for name in places:
        parent = name.rpartition("/")[0]
        while parent:
            if parent in places:
                raise InvalidRequest(
                    f"{parent!r} is an object and, as of {name!r}, a folder: a disk cannot hold both.",
                    f"Leave one out, e.g. with --exclude {'/' + parent!r}, and download it by itself to another name.",
                )
            parent = parent.rpartition("/")[0]
    return places


def _outside(name: str, folder: str) -> InvalidRequest:
    return InvalidRequest(
        f"The key {name!r} would be written outside {folder}; nothing has been downloaded.",
        "Leave it out with --exclude, or download that object by itself to a name of yours.",
    )
