"""Which files of a project travel: gitignore semantics, and a guard that says what is big."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.config import SyncSettings
from runctl_jupyter.orchestration.errors import InvalidRequest, ProjectTooBig

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILES = (".gitignore", ".runctlignore")
"""Files with patterns; the second is for what git should keep and the machine does not need."""

NEVER = frozenset({".git", ".hg", ".svn", ".venv", "__pycache__", ".ipynb_checkpoints", "node_modules", ".DS_Store"})
"""Names that are never code: version control, caches and environments of this computer."""


@dataclass(frozen=True)
class ProjectFile:
    """A file that travels; `path` is relative to the root, with ``/``."""

    path: str
    absolute: str
    mode: int
    size: int
    mtime_ns: int
    inode: int


def project_files(root: Path, limits: SyncSettings) -> list[ProjectFile]:
    """Return the files under `root` that are not ignored, sorted by path.

    Raises
    ------
    InvalidRequest
        `root` is not a folder.
    ProjectTooBig
        More bytes or files than `limits` allow; the message names the biggest entries.
    """
    if not root.is_dir():
        raise InvalidRequest(f"There is no folder {root}.", "Give the project's folder with --project-root.")
    found: list[ProjectFile] = []
    total = 0
    max_bytes = int(limits.max_mb * 1e6)
    for file in _walk(str(root), "", _rules_above(root)):
        found.append(file)
        total += file.size
        # Stop early: a home folder with a terabyte must not be walked to its end to be refused.
        if total > 4 * max_bytes or len(found) > 2 * limits.max_files:
            break
    if total > max_bytes or len(found) > limits.max_files:
        raise _too_big(root, found, total, limits)
    return sorted(found, key=lambda file: file.path)


@dataclass(frozen=True)
class _Rules:
    """Patterns of one ignore file, and the folder they are relative to, with ``/`` at the end.

    Paths are strings here: ten thousand files are looked at before each launch, and `Path` costs three times as much.
    """

    folder: str
    spec: GitIgnoreSpec

    def verdict(self, path: str, *, is_dir: bool) -> bool | None:
        """Return whether the absolute path is ignored, or None when no pattern speaks of it."""
        relative = path[len(self.folder) :]
        return self.spec.check_file(relative + "/" if is_dir else relative).include


def _rules_of(folder: str, names: Iterable[str] = IGNORE_FILES) -> list[_Rules]:
    from pathspec import GitIgnoreSpec

    rules = []
    for name in names:
        try:
            lines = Path(folder, name).read_text(encoding="utf-8", errors="replace").splitlines()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            continue
        rules.append(_Rules(folder.rstrip("/") + "/", GitIgnoreSpec.from_lines(lines)))
    return rules


def _rules_above(root: Path) -> list[_Rules]:
    """Return the patterns that apply to `root` itself, from the repository's top down, as git reads them."""
    chain = [root, *root.parents]
    top = next((i for i, folder in enumerate(chain) if (folder / ".git").exists()), 0)
    return [rule for folder in reversed(chain[1 : top + 1]) for rule in _rules_of(str(folder))]


def _ignored(path: str, rules: list[_Rules], *, is_dir: bool) -> bool:
    """Apply the deepest file's last matching pattern, as git does."""
    for rule in reversed(rules):
        verdict = rule.verdict(path, is_dir=is_dir)
        if verdict is not None:
            return verdict
    return False


def _walk(folder: str, prefix: str, inherited: list[_Rules]) -> Iterator[ProjectFile]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except PermissionError as error:
        raise InvalidRequest(
            f"{folder} cannot be read.", "Make it readable, or name it in .gitignore or .runctlignore."
        ) from error
    present = {entry.name for entry in entries}
    rules = [*inherited, *_rules_of(folder, [name for name in IGNORE_FILES if name in present])]
    for entry in entries:
        if entry.name in NEVER:
            continue
        if entry.is_dir(follow_symlinks=False):
            if not (rules and _ignored(entry.path, rules, is_dir=True)):
                yield from _walk(entry.path, f"{prefix}{entry.name}/", rules)
        elif entry.is_file() and not (rules and _ignored(entry.path, rules, is_dir=False)):
            facts = entry.stat()
            name = prefix + entry.name
            yield ProjectFile(name, entry.path, facts.st_mode & 0o777, facts.st_size, facts.st_mtime_ns, facts.st_ino)


def _too_big(root: Path, found: list[ProjectFile], total: int, limits: SyncSettings) -> ProjectTooBig:
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for file in found:
        top, slash, _ = file.path.partition("/")
        sizes[top + slash] += file.size
        counts[top + slash] += 1
    advice = "Name them in .gitignore or .runctlignore, choose --project-root, or raise [sync] in .runctl.toml."
    if total > limits.max_mb * 1e6:
        biggest = ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in sizes.most_common(3))
        return ProjectTooBig(
            f"The project in {root} has more than {limits.max_mb:g} MB; the biggest: {biggest}.", advice
        )
    most = ", ".join(f"{name} {count:,}" for name, count in counts.most_common(3))
    return ProjectTooBig(f"The project in {root} has more than {limits.max_files:,} files; the most: {most}.", advice)
