"""Objects of ``--data-s3`` that a machine keeps, so that the next job there need not fetch them again."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from runctl_jupyter.runner.downloads import TEMPORARY
from runctl_jupyter.runner.s3_listing import ListedFile

_NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS})
"""The disk is another, has no hard links, or the file has as many as it can."""
_ABANDONED_S = 3600.0
_READ_ONLY = 0o444


class DataCache:
    """Files named by the hash of bucket, key and etag, safe to use by several jobs at once.

    A job's own file is a second name of the same bytes, hence read-only. Whoever writes to it all the same changes
    its mtime, which is set to that of the object, and it is not used again. The atime tells when it was last used.

    Parameters
    ----------
    folder
        `RootFolders.data_cache`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, bucket: str, file: ListedFile) -> Path:
        """Return where an object is kept."""
        # No bucket's name and no etag has a line feed.
        identity = f"{bucket}\n{file.etag}\n{file.key}"
        return self._folder / hashlib.sha256(identity.encode()).hexdigest()

    def lock(self, uri: str) -> Path:
        """Return the file that is locked while what lies at `uri` is fetched."""
        # Beside the folder: what is in it is objects, and may be removed.
        return self._folder.with_name(f"{self._folder.name}-locks") / hashlib.sha256(uri.encode()).hexdigest()

    def give(self, kept: Path, file: ListedFile, target: Path) -> bool:
        """Let `target` be the object that is kept; return False when it is not there, or not as it was left."""
        try:
            found = kept.stat()
            if found.st_size != file.size or found.st_mtime_ns != _mtime_ns(file):
                return False
            os.utime(kept, ns=(time.time_ns(), found.st_mtime_ns))
            _link(kept, target)
        except FileNotFoundError:  # never there, or another job has just made room
            return False
        return True

    def keep(self, arrived: Path, kept: Path, file: ListedFile, target: Path) -> None:
        """Keep a file that has arrived whole, and let `target` be the same."""
        arrived.chmod(_READ_ONLY)
        os.utime(arrived, ns=(time.time_ns(), _mtime_ns(file)))
        # First the link: what has a second name is not removed by a job that makes room.
        _link(arrived, target)
        arrived.replace(kept)

    def make_room(self, needed: int) -> int:
        """Remove what no job uses, the longest unused first, until `needed` bytes are free; return what is free."""
        self._folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._folder).free
        if free >= needed:
            return free
        for _, size, path in sorted(self._unused()):
            path.unlink(missing_ok=True)
            free += size  # counted, because a file system may free it later
            if free >= needed:
                break
        return free

    def _unused(self) -> list[tuple[float, int, Path]]:
        found = []
        for entry in os.scandir(self._folder):
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            # What is on its way is written to all the time; what is not was left behind by a runner that was killed.
            arriving = entry.name.startswith(TEMPORARY) and time.time() - status.st_mtime < _ABANDONED_S
            if status.st_nlink == 1 and not arriving:
                found.append((status.st_atime, status.st_blocks * 512, Path(entry.path)))
        return found


def _mtime_ns(file: ListedFile) -> int:
    return file.modified * 1_000_000_000


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=TEMPORARY)
    os.close(handle)
    try:
        shutil.copy2(source, name)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
