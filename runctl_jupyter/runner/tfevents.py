"""TensorBoard's event files: records of TFRecord framing, each a protobuf message `Event`, decoded by hand.

The layout is that of ``tensorboard/compat/proto/{event,summary,tensor}.proto``; only scalars are read.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, Optional, Union

LONGEST_RECORD = 1 << 20
"""A longer one holds images or graphs; it is skipped unread."""
_HEADER = struct.Struct("<QI")
_FOOTER_BYTES = 4
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DT_FLOAT, _DT_DOUBLE = 1, 2
_CRC32C = 0x82F63B78
_CRC_MASK = 0xA282EAD8

Field = tuple[int, Union[int, bytes]]


class Scalar(NamedTuple):
    """A value of a tag."""

    tag: str
    step: int
    time: float
    """Seconds since 1970."""
    value: float


class EventFile:
    """An event file that grows; each `read` goes on where the last one ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._broken = False

    def read(self, most_records: int) -> Iterator[Scalar]:
        """Give the scalars of the next records, at most so many records; one that is not whole yet comes later.

        Raises
        ------
        OSError
            The file cannot be read.
        """
        with self._path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(self._offset)
            for _ in range(most_records):
                payload = None if self._broken else self._record(stream, size)
                if payload is None:
                    return
                yield from scalars(payload)

    def _record(self, stream: IO[bytes], size: int) -> Optional[bytes]:
        header = stream.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return None
        length, crc = _HEADER.unpack(header)
        if masked_crc(header[:8]) != crc:
            self._broken = True  # no event file, or one that somebody writes anew: its lengths mean nothing
            return None
        end = self._offset + _HEADER.size + length + _FOOTER_BYTES
        if end > size:
            return None
        payload = b"" if length > LONGEST_RECORD else stream.read(length)
        stream.seek(end)
        self._offset = end
        return payload


def scalars(event: bytes) -> list[Scalar]:
    """Return the scalars of a serialized ``Event``; none of one that cannot be decoded."""
    try:
        return _scalars(event)
    except (ValueError, struct.error, IndexError):
        return []


def masked_crc(data: bytes) -> int:
    """Return the masked CRC-32C of TFRecord."""
    crc = 0xFFFFFFFF
    table = _crc_table()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + _CRC_MASK) & 0xFFFFFFFF


def _scalars(event: bytes) -> list[Scalar]:
    time, step = 0.0, 0
    found: list[tuple[str, float]] = []
    for number, value in _fields(event):
        if number == 1 and isinstance(value, bytes):
            (time,) = struct.unpack("<d", value)
        elif number == 2 and isinstance(value, int):
            step = value - (1 << 64) if value >> 63 else value
        elif number == 5 and isinstance(value, bytes):
            for inner, each in _fields(value):
                if inner == 1 and isinstance(each, bytes):
                    found.extend(_value(each))
    return [Scalar(tag, step, time, value) for tag, value in found]


def _value(message: bytes) -> list[tuple[str, float]]:
    tag, found = "", None
    for number, value in _fields(message):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            tag = value.decode("utf-8", "replace")
        elif number == 2:
            (found,) = struct.unpack("<f", value)
        elif number == 8:
            found = _only_number(value)
    return [] if found is None else [(tag, found)]


def _only_number(tensor: bytes) -> Optional[float]:
    """Return the number of a tensor that holds one; TensorFlow 2 and JAX write scalars so."""
    kind, content = 0, b""
    for number, value in _fields(tensor):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number in (4, 5, 6) and isinstance(value, bytes):  # tensor_content, float_val, double_val
            content += value
    form = {_DT_FLOAT: "<f", _DT_DOUBLE: "<d"}.get(kind)
    if form is None or len(content) != struct.calcsize(form):
        return None
    (found,) = struct.unpack(form, content)
    return float(found)


def _fields(message: bytes) -> Iterator[Field]:
    """Give number and value of each field: a varint as a number, everything else as bytes.

    Raises
    ------
    ValueError, IndexError
        Not a protobuf message.
    """
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if wire == _BYTES:
            size, at = _varint(message, at)
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > end:
            raise ValueError("a field is cut off")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift > 63:
            raise ValueError("a varint is too long")


@functools.lru_cache(maxsize=1)
def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_CRC32C if crc & 1 else 0)
        table.append(crc)
    return table
