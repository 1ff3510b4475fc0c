"""A log's bytes as text: whole characters, with the exact bytes each piece stands for."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from runctl_jupyter.run_record import to_iso

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.log import LogPiece

Piece = dict[str, Any]
"""Keys of `LogPiece` in the views' contract: ``start end time origin text``."""

MOST_PIECE_BYTES = 64 << 10
_LONGEST_REST = 3
"""Bytes of a character of four that can be there without the last."""


class LogTexts:
    """Turns pieces of bytes, one after the other, into pieces of text.

    A character that two pieces share goes to the second; bytes that are no UTF-8 become ``\N{REPLACEMENT CHARACTER}``.

    Parameters
    ----------
    from_anywhere
        Whether the first piece may begin in the middle of a character, which is then left out.
    """

    def __init__(self, *, from_anywhere: bool = False) -> None:
        self._rest: LogPiece | None = None
        self._trim = from_anywhere

    def feed(self, piece: LogPiece) -> Iterator[Piece]:
        """Yield the text that is whole with this piece."""
        start, data = piece.start, piece.data
        rest, self._rest = self._rest, None
        if rest is not None:
            if rest.end == piece.start and rest.origin == piece.origin:
                start, data = rest.start, rest.data + data
            else:
                yield from _texts(rest, rest.start, rest.data)
        if self._trim and data:
            self._trim = False
            cut = _begun_before(data) if start else 0
            start, data = start + cut, data[cut:]
        whole = len(data) - _unfinished(data)
        if whole < len(data):
            self._rest = _part(piece, start + whole, data[whole:])
        yield from _texts(piece, start, data[:whole])

    def end(self) -> Iterator[Piece]:
        """Yield what was held back: nothing comes any more."""
        rest, self._rest = self._rest, None
        if rest is not None:
            yield from _texts(rest, rest.start, rest.data)


def page_texts(pieces: Iterable[LogPiece], *, from_anywhere: bool, complete: bool) -> list[Piece]:
    """Return the text of a page.

    Parameters
    ----------
    complete
        Whether nothing follows: then the bytes of a character that never ended are shown too.
    """
    texts = LogTexts(from_anywhere=from_anywhere)
    found = [text for piece in pieces for text in texts.feed(piece)]
    # A page must not be empty for a byte that is no text: whoever reads on would ask for it for ever.
    return [*found, *texts.end()] if complete or not found else found


def _texts(piece: LogPiece, start: int, data: bytes) -> Iterator[Piece]:
    """Yield `data` in pieces of bounded size, cut behind a line where there is one."""
    while data:
        length = len(data)
        if length > MOST_PIECE_BYTES:
            length = data.rfind(b"\n", 0, MOST_PIECE_BYTES) + 1
            if length == 0:
                length = MOST_PIECE_BYTES - _unfinished(data[:MOST_PIECE_BYTES])
        yield {
            "start": start,
            "end": start + length,
            "time": None if piece.time is None else to_iso(piece.time),
            "origin": piece.origin,
            "text": data[:length].decode("utf-8", "replace"),
        }
        start, data = start + length, data[length:]


def _unfinished(data: bytes) -> int:
    """Return how many bytes at the end begin a character that goes on after them."""
    tail = data[-_LONGEST_REST:]
    for length in range(1, len(tail) + 1):
        decoder = codecs.getincrementaldecoder("utf-8")()
        first = tail[-length]
        if first >= 0xC0:
            try:
                return length if decoder.decode(tail[-length:]) == "" else 0
            except UnicodeDecodeError:
                return 0
        if first < 0x80:
            return 0
    return 0


def _begun_before(data: bytes) -> int:
    """Return how many bytes at the beginning belong to a character that began before them."""
    count = 0
    while count < min(_LONGEST_REST, len(data)) and data[count] & 0xC0 == 0x80:
        count += 1
    return count


def _part(piece: LogPiece, start: int, data: bytes) -> LogPiece:
    from dataclasses import replace

    return replace(piece, start=start, end=start + len(data), data=data)
