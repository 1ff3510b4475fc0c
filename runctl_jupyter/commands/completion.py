"""What can follow on a line: the tree's own knowledge, for a door that completes by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from click.shell_completion import CompletionItem, ShellComplete

from runctl_jupyter.commands.request import Request
from runctl_jupyter.commands.tree import runctl
from runctl_jupyter.orchestration.errors import RunctlError


def candidates(words: Sequence[str], incomplete: str, request: Request) -> list[tuple[str, str]]:
    """Return words that can stand at the cursor, and what each is: verb, flag, instance, job, type, s3, path.

    Parameters
    ----------
    words
        The whole words before the cursor.
    incomplete
        The word the cursor is in, as far as it is typed.
    """
    if "--" in words:
        return []  # the script's own words
    complete_line = ShellComplete(runctl, {"obj": request}, request.door.prompt, "_RUNCTL_COMPLETE")
    try:
        items = complete_line.get_completions(list(words), incomplete)
    except RunctlError:
        # A broken configuration is said when the line runs; Tab stays silent.
        return []
    return [pair for item in items for pair in _pairs(item, incomplete)]


def _pairs(item: CompletionItem[str], incomplete: str) -> list[tuple[str, str]]:
    if item.type in ("file", "dir"):
        return _paths(incomplete, folders_only=item.type == "dir")
    kind = ("flag" if str(item.value).startswith("-") else "verb") if item.type == "plain" else item.type
    return [(str(item.value), kind)]


def _paths(incomplete: str, *, folders_only: bool) -> list[tuple[str, str]]:
    folder, slash, name = incomplete.rpartition("/")
    base = Path(folder + slash).expanduser() if folder or slash else Path()
    try:
        entries = sorted(base.iterdir())
    except OSError:
        return []
    return [
        (f"{folder}{slash}{entry.name}{'/' if entry.is_dir() else ''}", "path")
        for entry in entries
        if entry.name.startswith(name)
        and (name.startswith(".") or not entry.name.startswith("."))
        and (entry.is_dir() or not folders_only)
    ]
