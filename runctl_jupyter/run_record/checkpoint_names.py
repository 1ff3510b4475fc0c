"""What the names of files say of a checkpoint: its format, its step; the same on the machine and in the engine."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Optional

FORMATS = {
    ".safetensors": "safetensors",
    ".pt": "torch",
    ".pth": "torch",
    ".ckpt": "torch",
    ".npz": "numpy",
    ".npy": "numpy",
    ".keras": "keras",
    ".h5": "hdf5",
    ".onnx": "onnx",
}
"""Formats of single files by the end of their names; Lightning's ``.ckpt`` is a file of PyTorch's."""
FOLDER_MARKS = {
    "config.json": "huggingface",
    "adapter_config.json": "huggingface",
    "trainer_state.json": "huggingface",
    "model.safetensors.index.json": "huggingface",
    "pytorch_model.bin.index.json": "huggingface",
    ".metadata": "dcp",
}
"""A folder that holds one of these is one checkpoint (transformers; torch.distributed.checkpoint)."""
ON_ITS_WAY = (".tmp", ".part", ".partial")
"""A file of such a name gets its real one when it is whole."""
COUNTERS = ("step", "global_step", "epoch")
"""What checkpoints call how far they are, the finest first."""

_STEP = re.compile(r"(?:global_?step|step|checkpoint|ckpt|iter|epoch|ep|e)[-_=]?(\d+)", re.IGNORECASE)
_EPOCH = re.compile(r"(?:epoch|(?<!st)ep)[-_=]?(\d+)", re.IGNORECASE)


def format_of(name: str) -> Optional[str]:
    """Return the format of a file by its name; None when it does not tell."""
    stem, dot, suffix = name.rpartition(".")
    return FORMATS.get(f".{suffix.lower()}") if dot and stem else None


def folder_format(names: Collection[str]) -> Optional[str]:
    """Return the format of a folder with files of these names, if it is one checkpoint; None when it is not."""
    return next((kind for mark, kind in FOLDER_MARKS.items() if mark in names), None)


def step_of(name: str) -> Optional[int]:
    """Return the step that a checkpoint's name tells (``epoch=3-step=120.ckpt``: 120; ``epoch_3.pt``: 3)."""
    told = _STEP.findall(name)
    return int(told[-1]) if told else None


def epoch_of(name: str) -> Optional[int]:
    """Return the epoch that a checkpoint's name tells."""
    told = _EPOCH.findall(name)
    return int(told[-1]) if told else None
