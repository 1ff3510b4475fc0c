"""The runner as it travels: a small tar of this package's runner and run record, named by its hash."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources

from runctl_jupyter.orchestration.storage.store import Store
from runctl_jupyter.run_record import PreconditionFailed, blob_key

_PACKAGE = "runctl_jupyter"
_PARTS = ("run_record", "runner")
_ENTRY = """\
from runctl_jupyter.runner.__main__ import main

raise SystemExit(main())
"""


@dataclass(frozen=True)
class Bundle:
    """The bundle's bytes and their SHA-256."""

    data: bytes
    sha256: str


@cache
def runner_bundle() -> Bundle:
    """Build the bundle; the same sources give the same bytes.

    ``main.py`` beside the package is the program: its folder is then the first on the module path, and
    nothing leaks into the environment of the training.
    """
    root = resources.files(_PACKAGE)
    files = {f"{_PACKAGE}/__init__.py": root.joinpath("__init__.py").read_bytes(), "main.py": _ENTRY.encode()}
    for part in _PARTS:
        for source in root.joinpath(part).iterdir():
            if source.name.endswith(".py"):
                files[f"{_PACKAGE}/{part}/{source.name}"] = source.read_bytes()
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(files[name]), 0o644
            tar.addfile(member, io.BytesIO(files[name]))
    data = gzip.compress(raw.getvalue(), mtime=0)
    return Bundle(data, hashlib.sha256(data).hexdigest())


def publish(store: Store) -> str:
    """Make sure `store` has the bundle and return its SHA-256."""
    bundle = runner_bundle()
    key = blob_key(bundle.sha256)
    if not store.exists(key):
        with suppress(PreconditionFailed):
            store.put(key, bundle.data, create_only=True)
    return bundle.sha256
