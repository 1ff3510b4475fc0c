"""Files that a file of a checkpoint names: they lie beside it, or are refused."""

from __future__ import annotations

import posixpath

from runctl_jupyter.orchestration.contents.bounds import damaged, short_text


def sibling(told_by: str, path: str) -> str:
    """Return the name of a file among a checkpoint's, as another one of them names it.

    Raises
    ------
    CheckpointUnreadable
        It would lie outside of that one's folder.
    """
    parts = path.replace("\\", "/").split("/")
    if not path or "\\" in path or not parts[0] or ".." in parts or "\0" in path:
        raise damaged(f"{told_by} names {short_text(path, 200)!r}, a file outside of its folder.")
    return posixpath.normpath(posixpath.join(posixpath.dirname(told_by), path))
