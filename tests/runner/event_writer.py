"""Writes TensorBoard event files, as its own writers do: TFRecord framing around protobuf messages.

Standard library only, so that a test's script can have it too: `source` is this module's text.
"""

from __future__ import annotations

import struct
from pathlib import Path

FLOAT, DOUBLE = 1, 2


def source() -> str:
    return Path(__file__).read_text()


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def simple(tag: str, value: float) -> bytes:
    """A ``Summary.Value`` of TensorFlow 1, PyTorch and tensorboardX."""
    return field(1, tag.encode()) + varint(2 << 3 | 5) + struct.pack("<f", value)


def tensor(tag: str, kind: int, content: bytes) -> bytes:
    """A ``Summary.Value`` of TensorFlow 2 and JAX."""
    return field(1, tag.encode()) + field(8, varint(1 << 3) + varint(kind) + field(2, b"") + field(4, content))


def event(time: float, step: int, *values: bytes) -> bytes:
    summary = b"".join(field(1, value) for value in values)
    return varint(1 << 3 | 1) + struct.pack("<d", time) + varint(2 << 3) + varint(step) + field(5, summary)


def crc(data: bytes) -> int:
    """CRC-32C, bit by bit, masked as TFRecord does."""
    found = 0xFFFFFFFF
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = (found >> 1) ^ (0x82F63B78 if found & 1 else 0)
    found ^= 0xFFFFFFFF
    return (((found >> 15) | (found << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def record(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return length + struct.pack("<I", crc(length)) + payload + struct.pack("<I", 0)
