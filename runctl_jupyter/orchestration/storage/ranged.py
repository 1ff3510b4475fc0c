"""A large file that arrives in ranges in any order, and remembers over a cut which ones it has.

Beside the target lie ``.NAME.part``, the file with holes, and ``.NAME.part.done``, a line for each range. Both are
bound to one version of one object: of another one nothing is taken over.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import threading
from pathlib import Path

from runctl_jupyter.orchestration.storage.parts import ranges

_MOST_NAME_BYTES = 200


class RangedFile:
    """The file of one download, and of no other at the same time.

    Parameters
    ----------
    path
        Where it will lie when whole.
    uri, etag, size
        Which version of which object.
    part
        Bytes of each range but the last.
    digests
        Whether the digests of ranges are noted: those of a download that noted none are of no use to one that does.
    """

    def __init__(self, path: str, uri: str, etag: str, size: int, part: int, *, digests: bool) -> None:
        self._path = path
        self._header = {"uri": uri, "etag": etag, "size": size, "part": part, "digests": digests}
        self._ranges = list(ranges(size, part))
        self._held: dict[int, bytes] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._open(size)

    def _open(self, size: int) -> None:
        folder, name = os.path.split(self._path)
        if len(os.fsencode(name)) > _MOST_NAME_BYTES:
            name = hashlib.sha256(os.fsencode(name)).hexdigest()
        self.partial = f"{folder}/.{name}.part"
        self.descriptor = os.open(self.partial, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.fstat(self.descriptor).st_ino == Path(self.partial).stat().st_ino
        except (BlockingIOError, FileNotFoundError):
            mine = False
        if not mine:
            # Another process writes the same file: this one makes its own, and whoever is done last is it.
            os.close(self.descriptor)
            self.partial = f"{folder}/.{secrets.token_hex(8)}.part"
            self.descriptor = os.open(self.partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        self._journal = f"{self.partial}.done"
        self._take_up(size)

    def _take_up(self, size: int) -> None:
        """Take over what an earlier download of the same version has brought."""
        try:
            header, *lines = Path(self._journal).read_bytes().split(b"\n")
            known = json.loads(header) == self._header and os.fstat(self.descriptor).st_size == size
        except (OSError, ValueError):
            known, lines = False, []
        if known:
            # The last line may have been cut; a range without a line is read again.
            pairs = [line.split(b" ") for line in lines[:-1]]
            self._held = {int(index): bytes.fromhex(digest.decode()) for index, digest in pairs}
        else:
            os.ftruncate(self.descriptor, 0)
            os.ftruncate(self.descriptor, size)
            Path(self._journal).write_text(json.dumps(self._header) + "\n")
        self._notes = os.open(self._journal, os.O_WRONLY | os.O_APPEND)

    @property
    def held_bytes(self) -> int:
        """Bytes that need not be read again."""
        return sum(end - start for start, end in map(self.range, self._held))

    def range(self, index: int) -> tuple[int, int]:
        """Return begin and end of a range."""
        return self._ranges[index]

    def missing(self) -> list[int]:
        """Return the ranges that are still to be read."""
        return [index for index in range(len(self._ranges)) if index not in self._held]

    def note(self, index: int, digest: bytes) -> bool:
        """Remember that a range has been written, and return whether it was the last."""
        with self._lock:
            os.write(self._notes, f"{index} {digest.hex()}\n".encode())
            self._held[index] = digest
            return len(self._held) == len(self._ranges)

    def digests(self) -> list[bytes]:
        """Return the digests of all ranges, in order."""
        return [self._held[index] for index in range(len(self._ranges))]

    def finish(self) -> None:
        """Give the file its name."""
        Path(self.partial).replace(self._path)
        Path(self._journal).unlink()
        self.close()

    def forget(self) -> None:
        """Remove what has arrived: it is not the object."""
        Path(self.partial).unlink(missing_ok=True)
        Path(self._journal).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of it; what it has stays for the next download."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self.descriptor)
                os.close(self._notes)
