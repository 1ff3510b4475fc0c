"""Files of checkpoints for tests of their readers: in memory or on disk, and what was read of them is known."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

from runctl_jupyter.orchestration.contents.files import Files
from runctl_jupyter.orchestration.contents.model import Contents, Tensor


def cost(work: Callable[[], None]) -> tuple[float, int]:
    """Do something in a process of its own; return its seconds of CPU and the bytes of memory that it took at most."""
    base = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status, usage = os.wait4(child, 0)
    assert status == 0
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 - base


def in_memory(**named: bytes) -> Files:
    """Return files of these bytes; ``a__pt`` is named ``a.pt``."""
    held = {name.replace("__", "."): data for name, data in named.items()}
    return Files({name: len(data) for name, data in held.items()}, lambda name, start, end: held[name][start:end])


def on_disk(path: Path) -> Files:
    """Return the one file at a path."""

    def read(_: str, start: int, end: int) -> bytes:
        with path.open("rb") as stream:
            return os.pread(stream.fileno(), end - start, start)

    return Files({path.name: path.stat().st_size}, read)


def named(contents: Contents) -> dict[str, Tensor]:
    """Return tensors by name; no name is there twice."""
    found = {each.name: each for each in contents.tensors}
    assert len(found) == len(contents.tensors)
    return found


def values(tensor: Tensor, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Return a tensor's values, as bits where numpy has no such type."""
    assert tensor.place is not None
    size = tensor.elements if stop is None else stop
    kind = {"bfloat16": "<u2"}.get(tensor.dtype, "u1" if tensor.dtype.startswith("float8") else tensor.dtype)
    found = np.frombuffer(tensor.place.read(start, size), np.dtype(kind).newbyteorder("<"))
    assert found.size == size - start
    return found.reshape(tensor.shape) if stop is None else found
