"""Content-addressed code sync: files in packs, a tree that names them, each uploaded once.

Like git: a sync uploads one pack with the bytes the store does not have yet, and a tree that says where every
file's bytes lie. One changed file of ten thousand costs one small pack. What is where is remembered
in a local cache; losing it costs one full upload, never correctness.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runctl_jupyter.orchestration.storage.project import ProjectFile
from runctl_jupyter.orchestration.storage.store import Store
from runctl_jupyter.orchestration.storage.whole_file import whole_file
from runctl_jupyter.run_record import CodeFile, CodeTree, PreconditionFailed, blob_key

_PACK_BYTES = 64 * 1024 * 1024
_MOST_PACKS = 12
"""More packs than this in one tree and the project is packed anew: the machine fetches each of them."""
_RACY_NS = 2_000_000_000
"""A file changed so shortly before it was hashed may change again without its time moving (as git knows)."""


@dataclass(frozen=True)
class Synced:
    """Result of a sync: the tree's SHA-256, what it holds, what had to move."""

    tree: str
    files: int
    size: int
    uploaded: int


@dataclass(frozen=True)
class _Known:
    """What an earlier sync learned of a file."""

    size: int
    mtime_ns: int
    inode: int
    sha256: str
    pack: str
    offset: int


def sync_project(
    store: Store,
    root: Path,
    project: Sequence[ProjectFile],
    *,
    cache_dir: Path,
    extra: Mapping[str, bytes] | None = None,
) -> Synced:
    """Upload what `store` does not have of a project.

    Parameters
    ----------
    root, project
        The project's folder and its files, as `project_files` found them.
    cache_dir
        Folder for what is remembered between syncs.
    extra
        Further files by path, e.g. the body of a cell; they win over files of the project.
    """
    extra = extra or {}
    cache = _Cache(cache_dir, f"{store.uri}\0{root}")
    files = [file for file in project if file.path not in extra]
    known = cache.load()
    packs = {entry.pack for entry in known.values()}
    with ThreadPoolExecutor(8) as pool:
        present = dict(zip(packs, pool.map(lambda pack: store.exists(blob_key(pack)), packs), strict=True))
    known = {path: entry for path, entry in known.items() if present[entry.pack]}
    if sum(present.values()) > _MOST_PACKS:
        known = {}

    packer = _Packer(store, {entry.sha256: (entry.pack, entry.offset) for entry in known.values()})
    started_ns = time.time_ns()
    taken = [(file, _take(packer, known.get(file.path), file)) for file in files]
    added = [(path, packer.add(data), len(data)) for path, data in sorted(extra.items())]
    uploaded = packer.flush()

    remembered: dict[str, _Known] = {}
    tree = []
    for file, found in taken:
        if found is None:
            continue
        sha, size = found
        pack, offset = packer.where[sha]
        tree.append(CodeFile(file.path, file.mode, size, sha, pack, offset))
        if file.mtime_ns < started_ns - _RACY_NS and size == file.size:
            remembered[file.path] = _Known(file.size, file.mtime_ns, file.inode, sha, pack, offset)
    for path, sha, size in added:
        pack, offset = packer.where[sha]
        tree.append(CodeFile(path, 0o644, size, sha, pack, offset))
        remembered[f"\0{path}"] = _Known(size, 0, 0, sha, pack, offset)
    document = CodeTree(sorted(tree, key=lambda file: file.path)).to_json()
    digest = _put_blob(store, document)
    cache.save(remembered)
    return Synced(digest, len(tree), sum(file.size for file in tree), uploaded)


def _take(packer: _Packer, known: _Known | None, file: ProjectFile) -> tuple[str, int] | None:
    """Return SHA-256 and size of a file's bytes, as they are when they are read; None when it has gone meanwhile."""
    unchanged = _unchanged(known, file)
    if unchanged is not None:
        return unchanged, file.size
    try:
        data = Path(file.absolute).read_bytes()
    except FileNotFoundError:
        return None
    return packer.add(data), len(data)


def _unchanged(entry: _Known | None, file: ProjectFile) -> str | None:
    if entry is None or (entry.size, entry.mtime_ns, entry.inode) != (file.size, file.mtime_ns, file.inode):
        return None
    return entry.sha256


class _Packer:
    """Collects new bytes into packs; `where` says for each SHA-256 its pack and offset."""

    def __init__(self, store: Store, where: dict[str, tuple[str, int]]) -> None:
        self._store = store
        self.where = where
        self._open: dict[str, int] = {}
        self._buffer = bytearray()
        self._uploaded = 0

    def add(self, data: bytes) -> str:
        """Take a file's bytes and return their SHA-256."""
        sha = hashlib.sha256(data).hexdigest()
        if sha not in self.where and sha not in self._open:
            if self._buffer and len(self._buffer) + len(data) > _PACK_BYTES:
                self._close()
            self._open[sha] = len(self._buffer)
            self._buffer += data
        return sha

    def flush(self) -> int:
        """Upload the last pack and return the bytes uploaded in all."""
        if self._open:
            self._close()
        return self._uploaded

    def _close(self) -> None:
        pack = _put_blob(self._store, bytes(self._buffer))
        self._uploaded += len(self._buffer)
        self.where.update({sha: (pack, offset) for sha, offset in self._open.items()})
        self._open.clear()
        self._buffer.clear()


def _put_blob(store: Store, data: bytes) -> str:
    sha = hashlib.sha256(data).hexdigest()
    # Content-addressed: what is there already is what we would write.
    with suppress(PreconditionFailed):
        store.put(blob_key(sha), data, create_only=True)
    return sha


class _Cache:
    """The memory of one project and store, a JSON file."""

    def __init__(self, folder: Path, identity: str) -> None:
        self._path = folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.json"

    def load(self) -> dict[str, _Known]:
        try:
            stored: dict[str, list[object]] = json.loads(self._path.read_bytes())
            return {path: _Known(*entry) for path, entry in stored.items()}  # type: ignore[arg-type]
        except (OSError, ValueError, TypeError):
            # Missing or unreadable: a full upload makes it again.
            return {}

    def save(self, known: Mapping[str, _Known]) -> None:
        entries = {p: [k.size, k.mtime_ns, k.inode, k.sha256, k.pack, k.offset] for p, k in known.items()}
        # A launch does not fail for want of it: the next sync uploads everything once more.
        with suppress(OSError), whole_file(self._path) as partial:
            partial.write_text(json.dumps(entries))
