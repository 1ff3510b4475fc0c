"""The structure of an HDF5 file: groups, datasets and attributes, read by ranges and within limits."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import thread_time
from typing import TYPE_CHECKING, Any, TypeVar

from runctl_jupyter.orchestration.contents.bounds import damaged, short_text
from runctl_jupyter.orchestration.errors import CheckpointUnreadable

if TYPE_CHECKING:
    from pyfive.dataobjects import DataObjects

    from runctl_jupyter.orchestration.contents.files import RangeFile

BLOCK_BYTES = 16 << 10
"""Structure lies in pieces of a few kB between the weights: larger blocks would read mostly those."""
MOST_NODES = 200_000
_READ_BYTES = 8 << 20
_TOTAL_BYTES = 48 << 20
_HEADER_BYTES = 320 << 10
_CPU_SECONDS = 8.0
_DEPTH = 64

SIGNATURE = b"\x89HDF\r\n\x1a\n"

_ON_GARBAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NameError,  # of a variable that a branch of its did not set
    OSError,
    RuntimeError,  # with RecursionError and NotImplementedError
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pyfive raises on bytes that are no HDF5, besides its own error."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Node:
    """A dataset, or the root."""

    path: str
    header: DataObjects
    attributes: Mapping[str, Any]


class Guarded:
    """A file for pyfive that ends whatever would not end: it counts what is handed out, cached or not, and the time.

    pyfive trusts a file, so its loops are as long, and its lists as large, as a file says; all of them read.
    """

    def __init__(self, file: RangeFile) -> None:
        self.name, self.size = file.name, file.size
        self.most = _READ_BYTES
        self._file, self._left, self._until = file, _TOTAL_BYTES, thread_time() + _CPU_SECONDS

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place."""
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        """Read bytes, within the limits."""
        left = self._file.size - self._file.tell()
        claimed = left if size < 0 else min(size, left)
        self._left -= max(claimed, 0)
        if claimed > self.most or self._left < 0 or thread_time() > self._until:
            raise damaged(f"The structure of {self.name} is larger than that of any model.")
        return self._file.read(size)


def guarded(name: str, act: Callable[[], Result]) -> Result:
    """Do what reads HDF5; whatever its library raises on what is none becomes one error.

    Raises
    ------
    CheckpointUnreadable
        pyfive is missing, or cannot make sense of the file.
    """
    try:
        from pyfive.core import InvalidHDF5File
    except ImportError as missing:
        raise CheckpointUnreadable(
            f"To look into {name}, a file of HDF5, the package {missing.name or 'pyfive'} is needed.",
            "Install it: pip install 'runctl-jupyter[hdf5]'",
        ) from missing
    try:
        # Of attributes of types that it does not know; the filter stays, since threads share the list of them.
        warnings.filterwarnings("ignore", module=r"pyfive\.")
        return act()
    except (InvalidHDF5File, *_ON_GARBAGE) as bad:
        why = short_text(f"{type(bad).__name__}: {bad}" if str(bad) else type(bad).__name__, 200)
        raise damaged(f"{name} cannot be read as HDF5 ({why}).") from bad


def nodes(file: Guarded) -> Iterator[Node]:
    """Yield the root and every dataset, in the order of the file; links out of the file are not followed."""
    from pyfive.dataobjects import DataObjects
    from pyfive.misc_low_level import SuperBlock

    # Not `pyfive.File`: it reads the chunks' indexes of every dataset it is asked for, and follows links.
    if file.read(len(SIGNATURE)) != SIGNATURE:
        raise ValueError("it does not begin like one")
    root = SuperBlock(file, 0).offset_to_dataobjects
    heaps: dict[int, Any] = {}
    seen: set[int] = set()
    ahead: list[tuple[str, int, int]] = [("", root, 0)]
    while ahead:
        path, address, depth = ahead.pop()
        if address in seen:
            continue  # a second name of the same thing, or a circle
        seen.add(address)
        if len(seen) > MOST_NODES or depth > _DEPTH:
            raise ValueError("more groups than a model has")
        file.most = _HEADER_BYTES
        header = DataObjects(file, address, global_heaps=heaps)
        file.most = _READ_BYTES
        if header.is_dataset or not path:
            yield Node(path, header, _attributes(header))
        if not header.is_dataset:
            links = [(name, target) for name, target in header.iter_links() if isinstance(target, int)]
            ahead += [(f"{path}/{name}" if path else name, target, depth + 1) for name, target in reversed(links)]


def message(header: DataObjects, kind: int) -> bytes | None:
    """Return the first message of a kind in an object's header."""
    for found in header.find_msg_type(kind):
        start = found["offset_to_message"]
        return bytes(header.msg_data[start : start + found["size"]])
    return None


def _attributes(header: DataObjects) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = header.get_attributes()
    except NotImplementedError:
        return {}
    return found
