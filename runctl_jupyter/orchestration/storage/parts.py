"""Large objects travel in parts; which, and what the entity tag of an object made of parts says of its bytes.

Limits: S3 User Guide, "Amazon S3 multipart upload limits". An object's tag is the MD5 of its bytes, or of its parts'
MD5s with their number behind it, unless it is encrypted with a key of the customer (S3 API reference, "Object").
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path

MIB = 1 << 20
PART_BYTES = 8 * MIB
"""Objects up to this size travel in one piece."""
MOST_PARTS = 10_000
_IN_FLIGHT_BYTES = 80 * MIB
MOST_IN_FLIGHT = 10
"""Parts or ranges at a time: so many fill any line."""
_CREWS = (32, 16, 8, 3, 1)
_USUAL_PARTS = tuple(n * MIB for n in (8, 5, 16, 10, 15, 25, 32, 50, 64, 100, 128, 256, 512))
"""Parts that tools cut by default: boto3 and the AWS CLI 8, s5cmd 50, others the rest."""
_BLOCK = MIB


def part_size(size: int) -> int:
    """Return in which parts an object of `size` bytes is uploaded: 8 MiB, more where 10,000 would not suffice."""
    needed = -(-size // MOST_PARTS)
    return max(PART_BYTES, -(-needed // MIB) * MIB)


def parts_in_flight(part: int) -> int:
    """Return how many parts may be on their way at once, so that memory stays bounded."""
    return max(1, min(MOST_IN_FLIGHT, _IN_FLIGHT_BYTES // part))


def crews(sizes: Iterable[int]) -> dict[int, list[int]]:
    """Return how many uploads may go on at once, by that number the indexes of the files: together never too large.

    What a thread has once needed for a file stays with it, as allocators are: so it is not enough to let large ones
    wait for each other, they have to be left to few threads.
    """
    groups: dict[int, list[int]] = {}
    for index, size in enumerate(sizes):
        fit = next(count for count in _CREWS if count == 1 or count * size <= _IN_FLIGHT_BYTES)
        groups.setdefault(fit, []).append(index)
    return dict(sorted(groups.items(), reverse=True))


def ranges(size: int, part: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each part."""
    for start in range(0, size, part):
        yield start, min(start + part, size)


class EntityTag:
    """An entity tag that may tell what the bytes are.

    Parameters
    ----------
    text
        As S3 sends it, with quotes.
    """

    def __init__(self, text: str) -> None:
        match = re.fullmatch(r'"?([0-9a-f]{32})(?:-(\d+))?"?', text)
        self.md5 = match[1] if match else ""
        """Hexadecimal; empty when the tag is none."""
        self.parts = int(match[2]) if match and match[2] else 0
        """0 for an object in one piece."""

    def cut(self, size: int) -> int | None:
        """Return the size of the parts that an object of `size` bytes with this tag has, as far as can be told."""
        if not self.md5:
            return None
        if not self.parts:
            return max(size, 1)
        usual = dict.fromkeys((part_size(size), *_USUAL_PARTS))
        return next((part for part in usual if -(-size // part) == self.parts), None)

    def says(self, digests: list[bytes]) -> bool:
        """Return whether these are the MD5s of the object's parts, or of the object."""
        if not self.parts:
            return [digest.hex() for digest in digests] == [self.md5]
        whole = hashlib.md5(b"".join(digests), usedforsecurity=False)
        return len(digests) == self.parts and whole.hexdigest() == self.md5


def tag_fits(path: Path | str, size: int, tag: EntityTag) -> bool | None:
    """Return whether a file of `size` bytes has the content that a tag tells of; None when it tells nothing."""
    part = tag.cut(size)
    if part is None:
        return None
    with Path(path).open("rb", buffering=0) as stream:
        return tag.says([_md5_of(stream, end - start) for start, end in ranges(size, part)] or [_md5_of(stream, 0)])


def _md5_of(stream: FileIO, size: int) -> bytes:
    digest, left = hashlib.md5(usedforsecurity=False), size
    while left > 0:
        block = stream.read(min(left, _BLOCK))
        if not block:
            break
        digest.update(block)
        left -= len(block)
    return digest.digest()
