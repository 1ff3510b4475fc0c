"""Reads Keras' own format: a zip archive of configurations and the weights in HDF5."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.contents import hdf5
from runctl_jupyter.orchestration.contents.archives import Archive
from runctl_jupyter.orchestration.contents.bounds import damaged, facts, json_object
from runctl_jupyter.orchestration.contents.files import Files

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.contents.model import Contents

_WEIGHTS, _CONFIG, _METADATA = "model.weights.h5", "config.json", "metadata.json"
_MOST_JSON = 16 << 20
_MOST_UNPACKED = 64 << 20
"""Of weights that were deflated: Keras stores them, so that they can be read where they lie."""


def read(files: Files, name: str) -> Contents:
    """Return what a ``.keras`` file holds; one of the first days of that name is a file of HDF5.

    Raises
    ------
    CheckpointUnreadable
        It is none, is cut short, or was made to do harm.
    """
    if files.structure(name, 0, min(len(hdf5.SIGNATURE), files.size(name))) == hdf5.SIGNATURE:
        return hdf5.read(files, name)
    archive = Archive(files, name)
    if _WEIGHTS not in archive:
        raise damaged(f"{name} is not a model of Keras: {_WEIGHTS} is not in it.")
    weights = hdf5.read(_inside(archive, name), f"{name}/{_WEIGHTS}")
    told = {each: _json(archive, each) for each in (_CONFIG, _METADATA)}
    compiled: Any = told[_CONFIG].get("compile_config")
    return replace(
        weights,
        format="keras",
        metadata={**facts(told[_METADATA]), "config": facts(told[_CONFIG])},
        optimizer={**hdf5.settings(compiled, "optimizer", "config"), **weights.optimizer},
    )


def _json(archive: Archive, entry: str) -> dict[str, Any]:
    return json_object(entry, archive.whole(entry, _MOST_JSON)) if entry in archive else {}


def _inside(archive: Archive, name: str) -> Files:
    """Return the weights as a file of their own."""
    inner = f"{name}/{_WEIGHTS}"
    if archive.is_stored(_WEIGHTS):
        source = archive.source(_WEIGHTS)
        return Files({inner: archive.size(_WEIGHTS)}, lambda _, start, end: source.read(start, end))
    data = archive.whole(_WEIGHTS, _MOST_UNPACKED)
    return Files({inner: len(data)}, lambda _, start, end: data[start:end])
