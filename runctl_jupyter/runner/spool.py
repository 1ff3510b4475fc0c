"""The log's bytes on their way: on the disk, and in memory when the disk is full."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

MEMORY_BYTES = 64 << 20
_READ_BYTES = 1 << 16
_MOVE_BYTES = 1 << 20
_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class Spool:
    """An append-only stream of bytes; safe for one writer at a time and one reader.

    Everything goes to a file. When the disk takes no more, what follows stays in memory until it is
    released, up to a bound; beyond that bytes are dropped and counted, for the script must never be held up.

    Parameters
    ----------
    path
        The file. What it holds already is the stream's beginning: the work of a runner that was killed.
    """

    def __init__(self, path: Path, memory_bytes: int = MEMORY_BYTES) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._on_disk = os.lseek(self._file, 0, os.SEEK_END)
        self._memory = bytearray()
        self._memory_start = 0
        self._disk_full = False
        self._dropped = 0
        self._held_from = 0

    @property
    def size(self) -> int:
        """Bytes of the stream so far."""
        return self._memory_start + len(self._memory) if self._disk_full else self._on_disk

    @property
    def disk_full(self) -> bool:
        """Whether the disk has refused bytes."""
        return self._disk_full

    @property
    def held_from(self) -> int:
        """Where the part that can still be read begins."""
        return self._held_from

    def append(self, data: bytes) -> None:
        """Add to the end."""
        if not self._disk_full:
            data = self._to_disk(data)
        if data:
            self._to_memory(data)

    def append_from(self, pipe: int) -> int:
        """Move what waits in a pipe to the end; return how many bytes, 0 when nobody can write to the pipe any more.

        Where the system can, the kernel moves them: then no moment exists in which they are neither in the pipe nor in
        the file, and a process that is killed loses none.
        """
        if not self._disk_full and hasattr(os, "splice"):
            try:
                moved: int = os.splice(pipe, self._file, _MOVE_BYTES, offset_dst=self._on_disk)
            except OSError as error:
                if error.errno not in (*_DISK_IS_FULL, errno.EINVAL, errno.ENOSYS):
                    raise
                # A full disk, or a file system that cannot do it: they still wait in the pipe.
            else:
                self._on_disk += moved
                return moved
        data = os.read(pipe, _READ_BYTES)
        self.append(data)
        return len(data)

    def go_on_at(self, offset: int, found: int) -> int:
        """Let the stream go on at `offset` if its file ended before, when it was found with `found` bytes.

        What lay between had no place on the disk: a runner that was killed had stored it from its memory. What has
        come since moves to where it belongs in the file, behind a hole, for whoever finds the file next.

        Returns
        -------
        int
            How many bytes everything from `found` on has moved up.
        """
        if offset <= found:
            return 0
        with self._lock:
            since = os.pread(self._file, self._on_disk - found, found) + bytes(self._memory)
            self._on_disk, self._held_from = offset, offset
            self._disk_full = False
            self._memory.clear()
        self.append(since)
        return offset - found

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset`, which must not be below `held_from`."""
        data = b""
        if offset < self._on_disk:
            data = os.pread(self._file, min(size, self._on_disk - offset), offset)
        if not self._disk_full or len(data) == size:
            return data
        with self._lock:
            start = offset + len(data) - self._memory_start
            return data + bytes(self._memory[start : start + size - len(data)]) if start >= 0 else data

    def release(self, offset: int) -> None:
        """Tell that everything below `offset` is stored elsewhere."""
        with self._lock:
            done = min(max(0, offset - self._memory_start), len(self._memory))
            if done:
                del self._memory[:done]
                self._memory_start += done
                self._held_from = self._memory_start

    def close(self) -> None:
        """Close the file; it stays on the disk."""
        os.close(self._file)

    def _to_disk(self, data: bytes) -> bytes:
        """Write to the file and return what it did not take."""
        view = memoryview(data)
        while view:
            try:
                written = os.pwrite(self._file, view, self._on_disk)
            except OSError as error:
                if error.errno not in _DISK_IS_FULL:
                    raise
                self._memory_start = self._on_disk
                self._disk_full = True
                return bytes(view)
            self._on_disk += written
            view = view[written:]
        return b""

    def _to_memory(self, data: bytes) -> None:
        with self._lock:
            note = f"\nrunctl: {self._dropped} bytes of the log were lost here\n".encode() if self._dropped else b""
            if len(self._memory) + len(note) + len(data) > self._memory_bytes:
                self._dropped += len(data)
                return
            self._dropped = 0
            self._memory += note + data
