"""Checkpoints that the real libraries write, opened with `runctl checkpoints info`. Not a test: it prints a table.

``python tests/bench/real_checkpoints.py [--venv FOLDER] [--keep FOLDER]`` makes a virtual environment of its own (about
2 GB; one that is there is used again), installs the libraries into it, and lets each write what it writes
(`tests/bench/writers/`). A library that cannot be installed is told as such. Found has to be what was written: the
number of the model's parameters, the step, and every byte of one tensor.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runctl_jupyter.orchestration.contents.files import Files
from runctl_jupyter.orchestration.contents.reading import read
from tests.bench.sandboxed import show

COLUMNS = ("written", "by", "opened", "format", "tensors", "parameters", "step", "values", "read")
WRITERS = Path(__file__).parent / "writers"
MOST_SECONDS = 600


@dataclass(frozen=True)
class Library:
    """What writes checkpoints, and what has to be installed for it."""

    name: str
    packages: tuple[str, ...]


LIBRARIES = (
    Library("torch", ("torch==2.13.0", "safetensors", "numpy", "onnx")),
    Library("transformers", ("torch==2.13.0", "transformers", "accelerate", "peft")),
    Library("lightning", ("torch==2.13.0", "lightning")),
    Library("keras", ("torch==2.13.0", "keras", "h5py")),
    Library("jax", ("jax", "safetensors", "numpy")),
)


def python_of(folder: Path) -> Path:
    """Return the Python of a virtual environment, made where there is none."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    return python


def written(library: Library, python: Path, folder: Path) -> list[dict[str, Any]] | str:
    """Let a library write into a folder; return what it says it wrote, or why it did not."""
    installed = subprocess.run(
        [python, "-m", "pip", "install", "-q", *library.packages], capture_output=True, text=True, check=False
    )
    if installed.returncode:
        return f"not installed: {installed.stderr.strip().splitlines()[-1][:200]}"
    folder.mkdir()
    done = subprocess.run(
        [python, WRITERS / f"written_by_{library.name}.py", folder],
        capture_output=True,
        text=True,
        check=False,
        timeout=MOST_SECONDS,
    )
    if done.returncode:
        return f"not written: {done.stderr.strip().splitlines()[-1][:200]}"
    rows: list[dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    return rows


def files_at(path: Path) -> Files:
    """Return a checkpoint's files."""
    base = path if path.is_dir() else path.parent
    names = [file for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]

    def read_range(name: str, start: int, end: int) -> bytes:
        with (base / name).open("rb") as stream:
            stream.seek(start)
            return stream.read(end - start)

    return Files({file.relative_to(base).as_posix(): file.stat().st_size for file in names}, read_range)


def has_values(row: dict[str, Any]) -> bool:
    """Return whether a tensor's values are those that were written."""
    for tensor in read(files_at(Path(row["path"]))).tensors:
        if tensor.name == row["name"] and tensor.place is not None:
            return hashlib.sha256(tensor.place.read(0, tensor.elements)).hexdigest() == row["sha256"]
    return False


def opened(row: dict[str, Any]) -> tuple[list[str], bool]:
    """Return the rest of a checkpoint's row, and whether all in it is as it was written."""
    command = [sys.executable, "-m", "runctl_jupyter", "checkpoints", "info", row["path"], "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MOST_SECONDS)
    if done.returncode:
        return [f"no: {(done.stderr or done.stdout).strip()[:300]}", *[""] * 6], False
    told = json.loads(done.stdout)
    parameters = f"{told['parameters']:,}"
    if told["parameters"] != row["parameters"]:
        parameters += f", not {row['parameters']:,}"
    step = str(told["step"]) + ("" if told["step"] == row["step"] else f", not {row['step']}")
    values = has_values(row)
    is_same = values and told["parameters"] == row["parameters"] and told["step"] == row["step"]
    return [
        "yes",
        told["format"],
        str(len(told["tensors"])),
        parameters,
        step,
        "equal" if values else "NOT EQUAL",
        f"{told['bytes_read']:,} B, {told['requests']} requests",
    ], is_same


def main() -> int:
    """Write, open, print; return 0 if everything that was written was found as it was written."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--venv", type=Path, help="the virtual environment to use or make")
    options.add_argument("--keep", type=Path, help="an empty or new folder to leave the checkpoints in")
    chosen = options.parse_args()
    rows, is_same = [], True
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        folder = chosen.keep or Path(scratch) / "written"
        folder.mkdir(parents=True, exist_ok=True)
        python = python_of(chosen.venv or Path(scratch) / "venv")
        for library in LIBRARIES:
            found = written(library, python, folder / library.name)
            if isinstance(found, str):
                rows.append([library.name, ", ".join(library.packages), found, *[""] * 6])
                continue
            for row in found:
                rest, as_written = opened(row)
                is_same = is_same and as_written
                rows.append([f"{row['what']} ({Path(row['path']).name})", row["by"], *rest])
    show("Checkpoints of real libraries", COLUMNS, rows)
    return 0 if is_same else 1


if __name__ == "__main__":
    raise SystemExit(main())
