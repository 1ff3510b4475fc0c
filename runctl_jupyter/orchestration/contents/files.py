"""The files of a checkpoint, wherever they lie: read by ranges, no more than a budget of them for its structure."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from threading import Lock
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import CheckpointUnreadable
from runctl_jupyter.orchestration.units import size_text

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_BYTES = 64 << 10
BUDGET_BYTES = 64 << 20
"""The most that is read to learn a structure: no header, directory or pickle without weights is as long."""

ReadRange = Callable[[str, int, int], bytes]
"""Reads a file's bytes: its name, where they start, and where they end."""


class Files:
    """The files of one checkpoint.

    Parameters
    ----------
    sizes
        Names and sizes in bytes; a checkpoint of one file has one, a folder's names are relative to it.
    read_range
        Reads bytes of a file; must raise what it cannot give.
    budget_bytes
        The most that `RangeFile` and `whole` read in all; `data` is not counted.
    """

    def __init__(self, sizes: Mapping[str, int], read_range: ReadRange, budget_bytes: int = BUDGET_BYTES) -> None:
        self.sizes = dict(sizes)
        self._read_range, self._left, self._lock = read_range, budget_bytes, Lock()
        self.requests, self.bytes_read = 0, 0

    def __contains__(self, name: str) -> bool:
        return name in self.sizes

    @property
    def single(self) -> str | None:
        """Name of the only file; None when there are several, or none."""
        return next(iter(self.sizes)) if len(self.sizes) == 1 else None

    def size(self, name: str) -> int:
        """Return a file's size in bytes.

        Raises
        ------
        CheckpointUnreadable
            There is no such file.
        """
        if name not in self.sizes:
            raise CheckpointUnreadable(
                f"The checkpoint has no file {name!r}.", "It is not whole: see what there is with `runctl s3 list`."
            )
        return self.sizes[name]

    def open(self, name: str, block_bytes: int = BLOCK_BYTES) -> RangeFile:
        """Return a file to read and seek in; reads whole blocks and keeps them."""
        return RangeFile(self, name, self.size(name), block_bytes)

    def whole(self, name: str, most_bytes: int = 16 << 20) -> bytes:
        """Return all of a small file, within the budget."""
        size = self.size(name)
        if size > most_bytes:
            raise CheckpointUnreadable(
                f"{name} has {size_text(size)}; such a file has {size_text(most_bytes)} at most.", _NOT_ONE
            )
        return self.structure(name, 0, size)

    def structure(self, name: str, start: int, end: int) -> bytes:
        """Read bytes that describe the checkpoint, within the budget.

        Raises
        ------
        CheckpointUnreadable
            They are more than the budget, or the file ends before.
        """
        with self._lock:
            self._left -= max(end - start, 0)
            if self._left < 0:
                raise CheckpointUnreadable(
                    f"{name} needs more than {size_text(BUDGET_BYTES)} to be described.", _NOT_ONE
                )
        return self.data(name, start, end)

    def data(self, name: str, start: int, end: int) -> bytes:
        """Read the bytes of a tensor, in one request.

        Raises
        ------
        CheckpointUnreadable
            The file ends before.
        """
        if not 0 <= start <= end <= self.size(name):
            raise CheckpointUnreadable(
                f"{name} ends at byte {self.size(name):,}, and names what lies at {start:,} to {end:,}.", _CUT
            )
        if start == end:
            return b""
        found = self._read_range(name, start, end)
        with self._lock:
            self.requests += 1
            self.bytes_read += len(found)
        if len(found) != end - start:
            raise CheckpointUnreadable(f"{name} ended after {len(found):,} of {end - start:,} bytes.", _CUT)
        return found


class RangeFile(io.RawIOBase):
    """A file of `Files` for libraries that want one to read and seek in; see `Files.open`."""

    def __init__(self, files: Files, name: str, size: int, block_bytes: int) -> None:
        super().__init__()
        self.name, self.size = name, size
        self._files, self._block_bytes = files, block_bytes
        self._blocks: dict[int, bytes] = {}
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place; see `io.IOBase.seek`."""
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        if at < 0:
            raise OSError(f"negative seek position {at}")
        self._at = at
        return at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a buffer; see `io.RawIOBase.readinto`."""
        view = memoryview(buffer).cast("B")
        found = self._bytes(self._at, min(self._at + len(view), self.size))
        view[: len(found)] = found
        self._at += len(found)
        return len(found)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as many bytes as there are, up to `size`; all that are left where it is negative.

        Not of the base class: that one makes room for `size` bytes first, whatever a file claims.
        """
        end = self.size if size is None or size < 0 else min(self._at + size, self.size)
        found = self._bytes(self._at, end)
        self._at += len(found)
        return found

    def readall(self) -> bytes:
        """Read all that is left."""
        return self.read(-1)

    def _bytes(self, start: int, end: int) -> bytes:
        if start >= end:
            return b""
        first, last = start // self._block_bytes, (end - 1) // self._block_bytes
        missing = [n for n in range(first, last + 1) if n not in self._blocks]
        if missing:
            self._fetch(missing[0], missing[-1])
        joined = b"".join(self._blocks[n] for n in range(first, last + 1))
        offset = first * self._block_bytes
        return joined[start - offset : end - offset]

    def _fetch(self, first: int, last: int) -> None:
        start, end = first * self._block_bytes, min((last + 1) * self._block_bytes, self.size)
        found = self._files.structure(self.name, start, end)
        for n in range(first, last + 1):
            at = (n - first) * self._block_bytes
            self._blocks[n] = found[at : at + self._block_bytes]


_CUT = "It is cut short or damaged: take another, `runctl checkpoints list` names them."
_NOT_ONE = "It is damaged, or not a checkpoint."
