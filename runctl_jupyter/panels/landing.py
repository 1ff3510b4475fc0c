"""Where a download lands: under its own name, never over something that is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.storage.uris import S3Uri


@contextmanager
def landing_place(folder: Path, uri: str) -> Iterator[Path]:
    """Reserve a path in `folder` for what is at `uri`: a file, or a folder when it ends in ``/``.

    What has been reserved is removed again when the download raises before anything has landed.

    Raises
    ------
    InvalidRequest
        The address has no name that a file could have.
    """
    address = S3Uri.parse(uri)
    name = address.key.rstrip("/").rsplit("/", 1)[-1] or address.bucket
    if name in (".", "..") or "\\" in name or "\0" in name or len(name.encode()) > 240:
        raise InvalidRequest(f"{name!r} cannot be the name of a file.", "Download it by hand to a name of yours.")
    is_folder = uri.endswith("/") or not address.key
    path = _reserved(folder, name, is_folder=is_folder)
    try:
        yield path
    except BaseException:
        _give_back(path, is_folder=is_folder)
        raise


def _reserved(folder: Path, name: str, *, is_folder: bool) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stem, suffix = (name, "") if is_folder else (Path(name).stem, Path(name).suffix)
    for number in count(1):
        path = folder / (name if number == 1 else f"{stem}-{number}{suffix}")
        with suppress(FileExistsError):
            if is_folder:
                path.mkdir()
            else:
                path.touch(exist_ok=False)
            return path
    raise AssertionError("unreachable: numbers do not end")


def _give_back(path: Path, *, is_folder: bool) -> None:
    if is_folder:
        with suppress(OSError):  # files that have arrived stay
            path.rmdir()
    elif path.stat().st_size == 0:
        path.unlink()
