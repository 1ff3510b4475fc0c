"""The synced project: from content-addressed packs in the store to files in the working directory."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from runctl_jupyter.run_record import CodeFile, CodeTree, blob_key
from runctl_jupyter.runner.files import BLOCK, FileStore


class CodeError(Exception):
    """The project cannot be laid out as the spec says; the message is for people."""


class DamagedBlob(CodeError):
    """A blob has other bytes than its name, or the tree, promises."""


def lay_out(store: FileStore, tree_sha256: str, blobs: Path, work: Path) -> CodeTree:
    """Write the project's files into `work`, fetching only packs that `blobs` has not.

    Raises
    ------
    CodeError
        A path leaves the folder, or the store's bytes are not what the tree promises.
    StoreError
        The store failed.
    """
    tree = _tree(store, tree_sha256, blobs)
    try:
        _write_all(store, tree, blobs, work)
    except DamagedBlob:
        # A machine that lost power may keep a pack of the right name and the wrong bytes: fetch all of them once more.
        for pack in tree.packs:
            (blobs / pack).unlink(missing_ok=True)
        _write_all(store, tree, blobs, work)
    return tree


def content_of(tree: CodeTree) -> str:
    """Return a hash of what the files are: the same files may lie in other packs tomorrow."""
    rows = sorted((file.path, file.mode, file.sha256) for file in tree.files)
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def _tree(store: FileStore, sha256: str, blobs: Path) -> CodeTree:
    for _ in range(2):
        path = _fetch(store, sha256, blobs)
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == sha256:
            try:
                return CodeTree.from_json(data)
            except ValueError as error:
                raise CodeError(f"the list of the project's files cannot be read: {error}") from error
        path.unlink()
    raise DamagedBlob(f"the list of the project's files {sha256[:12]} does not keep its bytes on this disk")


def _write_all(store: FileStore, tree: CodeTree, blobs: Path, work: Path) -> None:
    root = work.resolve()
    targets = {file.path: _inside(root, file.path) for file in tree.files}
    for folder in {target.rpartition("/")[0] for target in targets.values()}:
        Path(folder).mkdir(parents=True, exist_ok=True)
    by_pack: dict[str, list[CodeFile]] = {}
    for file in tree.files:
        by_pack.setdefault(file.pack, []).append(file)
    for pack, files in by_pack.items():
        with _fetch(store, pack, blobs).open("rb", buffering=0) as stream:
            for file in sorted(files, key=lambda each: each.offset):
                _write(stream.fileno(), file, targets[file.path])


def _fetch(store: FileStore, sha256: str, blobs: Path) -> Path:
    path = blobs / sha256
    if path.is_file():
        os.utime(path)  # whoever tidies the cache sees what is in use
        return path
    arrived = blobs / f".{sha256}.{os.getpid()}"
    try:
        if store.get_file(blob_key(sha256), arrived).sha256 == sha256:
            arrived.replace(path)
            return path
    finally:
        arrived.unlink(missing_ok=True)
    raise DamagedBlob(f"blob {sha256[:12]} of the project has other bytes than its name says")


def _inside(root: Path, path: str) -> str:
    if not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise CodeError(f"the project holds a path outside its folder: {path!r}")
    return f"{root}/{path}"


def _write(pack: int, file: CodeFile, target: str) -> None:
    """Write one file; of ten thousand, objects for paths and streams would take longer than all the rest."""
    digest, done = hashlib.sha256(), 0
    handle = _new_file(target)
    try:
        while done < file.size:
            block = os.pread(pack, min(BLOCK, file.size - done), file.offset + done)
            if not block:
                raise DamagedBlob(f"pack {file.pack[:12]} is too short for {file.path}")
            digest.update(block)
            done += len(block)
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(handle, rest) :]
        os.fchmod(handle, file.mode & 0o777 | 0o600)
    finally:
        os.close(handle)
    if digest.hexdigest() != file.sha256:
        raise DamagedBlob(f"{file.path} arrived with other bytes than were sent")


def _new_file(target: str) -> int:
    """Open a new file, never through a link or into a file that something else holds."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(target, flags, 0o600)
    except FileExistsError:
        Path(target).unlink()
        return os.open(target, flags, 0o600)
