"""The lines of a stream that grows, as many as can be looked through: what is too much is skipped."""

from __future__ import annotations

import os
import re
from pathlib import Path

MOST_BYTES = 256 << 10
"""Bytes of one read."""
MOST_BEHIND = 1 << 20
MOST_LINES = 2000
"""Lines of one read that are worth a look; of more, some all over it are taken."""
_NEWEST_LINES = 50
LONGEST_LINE = 2048
"""A longer one is data and no message."""
_OWN = b"runctl: "
_ENDS = re.compile(rb"[\n\r\b]+")  # Keras once drew its bars with backspaces
_REDRAWN = (b"\r", b"\b")
_WORTH_A_LOOK = re.compile(rb"\d|nan|inf")


class StreamLines:
    """Reads a file that others append to.

    Parameters
    ----------
    offset
        Where to begin.
    """

    def __init__(self, path: Path, offset: int) -> None:
        self._path = path
        self._offset = offset
        self._in_line = False
        """Whether the offset lies inside a line of which nothing is wanted."""
        self._last_end = b""
        self._resting = -1

    @property
    def offset(self) -> int:
        """Everything before it has been read, or skipped."""
        return self._offset

    def read(self, *, rest: bool = False) -> list[str]:
        """Return the next lines that may say something; empty when there are none.

        A bar's newest frame has no end before the next one is drawn: it is read once it has rested from one call to
        the next.

        Parameters
        ----------
        rest
            Read an unfinished line at the end too: nothing will be added to it.
        """
        data = self._next_bytes()
        end = max(data.rfind(each) for each in (b"\n", *_REDRAWN)) + 1
        tail = len(data) - end
        self._last_end = data[end - 1 : end] if end else self._last_end
        redrawn = self._last_end in _REDRAWN and self._resting == self._offset + len(data)
        self._resting = self._offset + len(data)
        if tail and (redrawn or (rest and len(data) < MOST_BYTES)):
            end, tail = len(data), 0
        pieces = _ENDS.split(data[:end]) if end else []
        if pieces and self._in_line:
            pieces, self._in_line = pieces[1:], False
        if tail > LONGEST_LINE:
            end, self._in_line = len(data), True
        self._offset += end
        return _decoded(pieces)

    def _next_bytes(self) -> bytes:
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            size = os.fstat(file).st_size
            if size - self._offset > MOST_BEHIND:
                self._offset, self._in_line = size - MOST_BYTES, True
            return os.pread(file, MOST_BYTES, self._offset)
        finally:
            os.close(file)


def _decoded(pieces: list[bytes]) -> list[str]:
    wanted = [
        piece
        for piece in pieces
        if len(piece) <= LONGEST_LINE and _WORTH_A_LOOK.search(piece) and not piece.startswith(_OWN)
    ]
    if len(wanted) > MOST_LINES:
        # Some of all, and all of the newest: these may be the last ones of the script.
        rest = len(wanted) - _NEWEST_LINES
        wanted = wanted[: rest : -(-rest // (MOST_LINES - _NEWEST_LINES))] + wanted[rest:]
    return [piece.decode("utf-8", "replace") for piece in wanted]
