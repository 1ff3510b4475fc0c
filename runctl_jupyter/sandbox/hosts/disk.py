"""Fill a file system to its last block, and free it again."""

from __future__ import annotations

import errno
import os
from pathlib import Path

FILLER = "sandbox-filler"
_STEPS = (1 << 30, 1 << 24, 1 << 18, 1 << 12)
"""Sizes to take at a time: the last is a block, so that none is left."""


def fill(folder: Path) -> int:
    """Take every free block of the file system that `folder` is on; gives the bytes of the file that does.

    Nothing is written: blocks are only reserved, which also keeps the image of a machine's disk sparse.
    """
    size = 0
    descriptor = os.open(folder / FILLER, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        for step in _STEPS:
            while _take(descriptor, size, step):
                size += step
    finally:
        os.close(descriptor)
    return size


def _take(descriptor: int, offset: int, size: int) -> bool:
    try:
        os.posix_fallocate(descriptor, offset, size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


def free(folder: Path) -> None:
    """Give back what `fill` took."""
    (folder / FILLER).unlink(missing_ok=True)
