"""PyTorch's files: the pickle is read without being run, tensors are ranges of the entries beside it."""

from __future__ import annotations

import io

from runctl_jupyter.orchestration.contents import torch_legacy
from runctl_jupyter.orchestration.contents.archives import Archive
from runctl_jupyter.orchestration.contents.bounds import damaged
from runctl_jupyter.orchestration.contents.files import Files
from runctl_jupyter.orchestration.contents.inert import TensorView
from runctl_jupyter.orchestration.contents.model import Contents, Place
from runctl_jupyter.orchestration.contents.pickles import MOST_BYTES, Pickles
from runctl_jupyter.orchestration.contents.places import Source, Strided
from runctl_jupyter.orchestration.contents.states import describe

_ZIP = b"PK"
_PICKLES = (b"\x80", b"(", b"]", b"}", b"c")
"""How pickles begin: with their protocol, or before there were protocols with a container or a class."""
_TAR_MARK = 257
_SCRIPT = "TorchScript: its code is not read; tensors are named as its modules name them"


def read(files: Files, name: str) -> Contents:
    """Return what a file of PyTorch's holds: ``.pt``, ``.pth``, Lightning's ``.ckpt``; of any version, TorchScript too.

    Tensors have the names that the model's own state dict gives them: keys of nested dictionaries are joined by dots,
    and one key around the state dict (``state_dict``, ``model_state_dict``, ``model``; see `states.MODEL_KEYS`) is
    dropped. Others keep the whole path: ``optimizer.state.0.exp_avg``.

    Raises
    ------
    CheckpointUnreadable
        It is none, is cut short, or was made to do harm.
    """
    size = files.size(name)
    begin = files.structure(name, 0, min(size, 512))
    if begin.startswith(_ZIP):
        return _read_archive(files, name)
    if begin[_TAR_MARK:].startswith(b"ustar"):
        raise damaged(f"{name} was written by a PyTorch before 0.1.10, whose files are not looked into.")
    if not begin.startswith(_PICKLES):
        raise damaged(f"{name} is not a file of PyTorch's: it is neither a zip archive nor a pickle.")
    return torch_legacy.read(files, name)


def _read_archive(files: Files, name: str) -> Contents:
    archive = Archive(files, name)
    found = [entry for entry in archive.names if entry.endswith("/data.pkl") and entry.count("/") == 1]
    if len(found) != 1:
        raise damaged(f"{name} is not a file of PyTorch's: no pickle tells what is in the archive.")
    prefix = found[0].removesuffix("data.pkl")
    pickles = Pickles(name)
    root = pickles.read(io.BytesIO(archive.whole(found[0], MOST_BYTES)))
    order = f"{prefix}byteorder"
    is_swapped = order in archive and archive.whole(order, 64).strip() == b"big"
    notes = (_SCRIPT,) if f"{prefix}constants.pkl" in archive else ()
    places = _Places(archive, name, f"{prefix}data/", is_swapped=is_swapped)
    return describe(root, name, places.of, pickles.refused, notes)


class _Places:
    """Where tensors lie in an archive; those that share a storage share what is known of its place."""

    def __init__(self, archive: Archive, name: str, folder: str, *, is_swapped: bool) -> None:
        self._archive, self._name, self._folder, self._is_swapped = archive, name, folder, is_swapped
        self._sources: dict[str, Source] = {}

    def of(self, view: TensorView) -> tuple[Place | None, str]:
        """Return a view's place; see `states.PlaceOf`."""
        storage = view.storage
        if storage is None or storage.size is None:
            return None, view.kind
        entry = f"{self._folder}{storage.key}"
        if entry not in self._archive:
            return None, "their values are not in the file"
        if self._archive.size(entry) < storage.size:
            raise damaged(
                f"A storage of {self._name} has {self._archive.size(entry):,} bytes, and should have {storage.size:,}."
            )
        source = self._sources.get(entry)
        if source is None:
            source = self._sources[entry] = self._archive.source(entry)
        return Strided(source, view.dtype, view.shape, view.strides, view.offset, self._is_swapped), ""
