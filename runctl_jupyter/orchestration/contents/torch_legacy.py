"""Files of PyTorch before 1.6, or saved so: five pickles, then the storages one after the other. And bare pickles."""

from __future__ import annotations

from typing import Any

from runctl_jupyter.orchestration.contents.bounds import damaged
from runctl_jupyter.orchestration.contents.files import Files
from runctl_jupyter.orchestration.contents.inert import TensorView
from runctl_jupyter.orchestration.contents.model import Contents, Place
from runctl_jupyter.orchestration.contents.pickles import Pickles, bounded
from runctl_jupyter.orchestration.contents.places import Span, Strided
from runctl_jupyter.orchestration.contents.states import describe

_MAGIC = 0x1950A86A20F9469CFC6C
_COUNT_BYTES = 8
_BLOCK_BYTES = 256 << 10
_BARE = "a pickle of plain objects, not written by torch.save"


def read(files: Files, name: str) -> Contents:
    """Return what a file that begins with a pickle holds; see `torch.read`."""
    stream = bounded(files.open(name, _BLOCK_BYTES))
    pickles = Pickles(name)
    first = pickles.read(stream)
    if first != _MAGIC:
        return describe(first, name, lambda _: (None, "their values are not in the file"), pickles.refused, (_BARE,))
    _version, system, root, keys = (pickles.read(stream) for _ in range(4))
    is_swapped = isinstance(system, dict) and system.get("little_endian") is False
    offsets = _offsets(files, name, pickles, keys, stream.tell())

    def place_of(view: TensorView) -> tuple[Place | None, str]:
        if view.storage is None:
            return None, view.kind
        offset = offsets.get(view.storage.key)
        if offset is None:
            raise damaged(f"{name} does not list the storage {view.storage.key} of one of its tensors.")
        span = Span(files, name, offset)
        return Strided(span, view.dtype, view.shape, view.strides, view.offset, is_swapped), ""

    return describe(root, name, place_of, pickles.refused)


def _offsets(files: Files, name: str, pickles: Pickles, keys: Any, at: int) -> dict[str, int]:
    """Return where the values of each storage begin: they follow each other, a count before each."""
    found: dict[str, int] = {}
    for key in keys if isinstance(keys, list) else ():
        storage = pickles.storages.get(key) if isinstance(key, str) else None
        if storage is None or storage.size is None or key in found:
            raise damaged(f"{name} lists a storage that no tensor lies in.")
        found[key] = at + _COUNT_BYTES
        at += _COUNT_BYTES + storage.size
    if at != files.size(name):
        raise damaged(f"{name} has {files.size(name):,} bytes, its storages say that it has {at:,}.")
    return found
