"""The wire format of protocol buffers, walked through where it lies: what is not looked at is not read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from runctl_jupyter.orchestration.contents.bounds import damaged, short_text

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.contents.files import Files

VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5
"""Kinds of fields."""
MOST_FIELDS = 1_000_000
_FIRST_BYTES, _MOST_BYTES = 1 << 10, 256 << 10
_NEAR_BYTES = 32 << 10
_VARINT_BYTES = 10
_FIXED = {EIGHT_BYTES: 8, FOUR_BYTES: 4}


class Field(NamedTuple):
    """A field of a message.

    Parameters
    ----------
    value
        Of a number; of bytes their length.
    start, end
        Where its bytes lie in the file.
    """

    number: int
    kind: int
    value: int
    start: int
    end: int

    @property
    def signed(self) -> int:
        """The number, of a field that may be negative."""
        return self.value - (1 << 64) if self.value >> 63 else self.value


class Wire:
    """A file of protocol buffers."""

    def __init__(self, files: Files, name: str) -> None:
        self.name, self.size = name, files.size(name)
        self._files = files
        self._window, self._at, self._ahead = b"", 0, _FIRST_BYTES
        self._left = MOST_FIELDS

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """Yield the fields of a message that lies between two places.

        Raises
        ------
        CheckpointUnreadable
            It is none, or the file has more fields than any model.
        """
        while start < end:
            self._left -= 1
            if self._left < 0:
                raise damaged(f"{self.name} has more parts than any model.")
            tag, at = self._varint(start, end)
            kind, value = tag & 7, 0
            if kind == VARINT:
                value, stop = self._varint(at, end)
            elif kind == BYTES:
                value, at = self._varint(at, end)
                stop = at + value
            elif kind in _FIXED:
                stop = at + _FIXED[kind]
            else:
                raise damaged(f"{self.name} is not in the format of ONNX: at byte {start:,} nothing begins.")
            if stop > end or not tag >> 3:
                raise damaged(f"{self.name} is cut short or damaged: what begins at byte {start:,} has no end.")
            yield Field(tag >> 3, kind, value, at, stop)
            start = stop

    def text(self, field: Field, most_bytes: int = 8000) -> str:
        """Return a text, cut where it is long."""
        return short_text(self.read(field.start, min(field.end, field.start + most_bytes)).decode("utf-8", "replace"))

    def numbers(self, field: Field, most: int) -> list[int]:
        """Return the numbers of a field, packed or a single one."""
        if field.kind == VARINT:
            return [field.signed]
        if field.kind != BYTES or field.value > most * _VARINT_BYTES:
            raise damaged(f"{self.name} has more than {most} numbers where a few belong.")
        return varints(self.read(field.start, field.end))

    def read(self, start: int, end: int) -> bytes:
        """Return bytes; reads ahead, the more the longer nothing was left out."""
        if not self._at <= start <= end <= self._at + len(self._window):
            near = self._at <= start <= self._at + len(self._window) + _NEAR_BYTES
            self._ahead = min(self._ahead * 2, _MOST_BYTES) if near else _FIRST_BYTES
            self._window = self._files.structure(self.name, start, min(max(end, start + self._ahead), self.size))
            self._at = start
        return self._window[start - self._at : end - self._at]

    def _varint(self, start: int, end: int) -> tuple[int, int]:
        window, at = self._window, start - self._at
        if 0 <= at < len(window) and window[at] < 0x80 and start < end:  # nearly all are this short
            return window[at], start + 1
        value = 0
        for n, byte in enumerate(self.read(start, min(start + _VARINT_BYTES, end))):
            value |= (byte & 0x7F) << 7 * n
            if byte < 0x80:
                return value & (1 << 64) - 1, start + n + 1
        raise damaged(f"{self.name} is cut short or damaged: no number ends after byte {start:,}.")


def varints(data: bytes) -> list[int]:
    """Return packed numbers, those with the highest bit negative; a last one that does not end is left out."""
    found, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80 or shift >= 7 * _VARINT_BYTES:
            value &= (1 << 64) - 1
            found.append(value - (1 << 64) if value >> 63 else value)
            value = shift = 0
    return found
