"""What lies in the checkpoint folder: which files belong together, what they are, whether they are whole."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from runctl_jupyter.run_record.checkpoint_names import (
    FOLDER_MARKS,
    ON_ITS_WAY,
    folder_format,
    format_of,
    step_of,
)
from runctl_jupyter.run_record.checkpoint_numbers import STATE_MOST, TRAINER_STATE, told_by, trainer_state

_UNFINISHED = (*ON_ITS_WAY, ".lock")
_ZIPPED = ("torch", "numpy", "keras")
_HEADER_MOST = 16 << 20

Fingerprint = tuple[tuple[str, int, int, int], ...]
Glance = frozenset[tuple[str, int, int, int]]


@dataclass(frozen=True)
class Candidate:
    """A checkpoint that is there or on its way: a file, or a folder with its files."""

    name: str
    base: Path
    files: tuple[Path, ...]
    format: str

    def fingerprint(self) -> Optional[Fingerprint]:
        """Return what changes when anything of it is written to; None when a file is gone."""
        try:
            stats = [(path.relative_to(self.base).as_posix(), path.stat()) for path in self.files]
        except FileNotFoundError:
            return None
        return tuple((name, s.st_ino, s.st_size, s.st_mtime_ns) for name, s in stats)


def candidates(folder: Path) -> list[Candidate]:
    """Return what may be a checkpoint below `folder`, the oldest first."""
    found = [(_written_at(each), each) for each in _walk(folder, folder)]
    return [each for at, each in sorted(found, key=lambda pair: pair[0]) if at > 0]


def glance(folder: Path) -> Glance:
    """Return what changes when anything below `folder` is written, at a small part of what `candidates` costs."""
    found = set()
    waiting = [str(folder)]
    while waiting:
        try:
            entries = os.scandir(waiting.pop())
        except OSError:
            continue  # gone, or never there
        with entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        status = entry.stat()
                        found.add((entry.path, status.st_ino, status.st_size, status.st_mtime_ns))
                except OSError:
                    continue  # gone meanwhile, or a link to nothing
    return frozenset(found)


def is_whole(candidate: Candidate) -> bool:
    """Return False where a file is still under its temporary name, or its own format says that its end is missing."""
    if any(path.name.endswith(ON_ITS_WAY) for path in candidate.files):
        return False
    return all(_file_is_whole(path, format_of(path.name)) for path in candidate.files)


def step_and_metrics(candidate: Candidate) -> tuple[Optional[int], dict[str, float]]:
    """Return the step and the numbers a checkpoint tells of itself: in its header, its state file, or its name.

    Nothing is unpickled.
    """
    told: Any = {}
    if candidate.format == "safetensors":
        told = _safetensors_header(candidate.files[0]).get("__metadata__")
    elif candidate.format == "huggingface":
        told = _trainer_state(candidate)
    numbers = told_by(told if isinstance(told, dict) else {})
    return numbers.step if numbers.step is not None else step_of(candidate.name), numbers.metrics


def _walk(folder: Path, root: Path) -> Iterator[Candidate]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name.endswith(_UNFINISHED):
            continue
        path = Path(entry.path)
        name = path.relative_to(root).as_posix()
        if entry.is_file():
            yield Candidate(name, folder, (path,), format_of(path.name) or "file")
        elif entry.is_dir(follow_symlinks=False):
            mark = folder_format([mark for mark in FOLDER_MARKS if (path / mark).is_file()])
            if mark is None:
                yield from _walk(path, root)
            else:
                yield Candidate(name, path, _all_files(path), mark)


def _all_files(folder: Path) -> tuple[Path, ...]:
    found = (Path(at, name) for at, _, names in os.walk(folder) for name in names)
    return tuple(sorted(path for path in found if not path.name.endswith(".lock") and path.is_file()))


def _written_at(candidate: Candidate) -> float:
    """Return when it was last written to; 0 for one that is gone, or has no bytes yet."""
    fingerprint = candidate.fingerprint()
    if not fingerprint or not any(size for _, _, size, _ in fingerprint):
        return 0
    return max(at for _, _, _, at in fingerprint) / 1e9


def _file_is_whole(path: Path, kind: Optional[str]) -> bool:
    try:
        if kind == "safetensors":
            return _safetensors_is_whole(path)
        if kind in _ZIPPED:
            with path.open("rb") as stream:
                # Older torch files are bare pickles: of those the format cannot tell.
                return stream.read(2) != b"PK" or zipfile.is_zipfile(path)
    except OSError:
        return False
    return True


def _safetensors_is_whole(path: Path) -> bool:
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
    header = _safetensors_header(path)
    try:
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        return bool(header) and path.stat().st_size == 8 + length + max(ends, default=0)
    except (KeyError, IndexError, TypeError):
        return False


def _safetensors_header(path: Path) -> dict[str, Any]:
    """Return the header (safetensors format: 8 bytes of length, then JSON); empty when there is none."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            raw = stream.read(length) if length <= _HEADER_MOST else b""
        header = json.loads(raw)
    except (OSError, ValueError, struct.error):
        return {}
    return header if isinstance(header, dict) else {}


def _trainer_state(candidate: Candidate) -> dict[str, Any]:
    """Return the newest numbers of transformers' ``trainer_state.json``."""
    path = candidate.base / TRAINER_STATE
    try:
        return trainer_state(path.read_bytes()) if path.stat().st_size <= STATE_MOST else {}
    except OSError:
        return {}
