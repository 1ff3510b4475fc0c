"""Reads what a checkpoint holds, by its format."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import CheckpointUnreadable
from runctl_jupyter.run_record.checkpoint_names import FORMATS, folder_format, format_of

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.contents.files import Files
    from runctl_jupyter.orchestration.contents.model import Contents

_READERS = {
    "safetensors": "safetensors",
    "torch": "torch",
    "numpy": "numpy",
    "keras": "keras",
    "hdf5": "hdf5",
    "onnx": "onnx",
    "huggingface": "huggingface",
    "dcp": "dcp",
}
"""Modules of this room, loaded when a checkpoint of the format is read; each has ``read(files, name)``."""


def format_of_files(files: Files) -> str | None:
    """Return the format of a checkpoint, a file or a folder; None for what is not recognised."""
    kind = folder_format(files.sizes)
    if kind is None and files.single is not None:
        kind = format_of(files.single)
    return kind


def read(files: Files) -> Contents:
    """Return what a checkpoint holds.

    Raises
    ------
    CheckpointUnreadable
        It is of no known format, cut short, damaged, or made to do harm.
    """
    kind = format_of_files(files)
    if kind is None:
        raise CheckpointUnreadable(
            f"{files.single or 'The folder'} is not a checkpoint by its name.",
            f"Looked into are files {' '.join(FORMATS)}, and folders of Hugging Face and of PyTorch DCP.",
        )
    reader = import_module(f"{__package__}.{_READERS[kind]}")
    found: Contents = reader.read(files, files.single or "")
    return found
