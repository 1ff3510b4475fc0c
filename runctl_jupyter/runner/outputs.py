"""What the script left in ``RUNCTL_OUTPUT_DIR``: uploaded when it is over, however it ended."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runctl_jupyter.run_record import JobKeys, StoreError
from runctl_jupyter.runner.backoff import persist
from runctl_jupyter.runner.files import FileChanged, FileStore, put_verified

_PARALLEL = 4


def upload_outputs(store: FileStore, keys: JobKeys, folder: Path, until: float) -> list[str]:
    """Upload every file and read back what the store has; return what went wrong, for people.

    Parameters
    ----------
    until
        `time.monotonic` after which nothing is tried again.
    """
    files = output_files(folder)
    if not files:
        return []

    def upload(path: Path) -> list[str]:
        name = path.relative_to(folder).as_posix()
        try:
            persist(lambda: put_verified(store, keys.outputs_prefix + name, path), until=until, pause=_sleep)
        except (StoreError, FileChanged, OSError, ValueError) as error:
            return [f"output {name} was not stored: {error}"]
        return []

    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="output") as pool:
        return [problem for problems in pool.map(upload, files) for problem in problems]


def output_files(folder: Path) -> list[Path]:
    """Return the regular files below `folder`, in order of name; links to folders are not followed."""
    found = []
    for at, _, names in os.walk(folder):
        found += [Path(at, name) for name in names if Path(at, name).is_file()]
    return sorted(found)


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False
