"""Removes checkpoints: at no moment half of one looks whole, and what a crash leaves is known for what it is.

A tombstone first; then what makes each a checkpoint (manifest, index); then its data; the tombstone last.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from runctl_jupyter.run_record import now, to_iso
from runctl_jupyter.run_record.layout import TOMBSTONE

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.checkpoints.shelf import Shelved
    from runctl_jupyter.orchestration.storage.store import Store

_PARALLEL = 16


def remove(shelved: Sequence[Shelved]) -> None:
    """Remove checkpoints, and leftovers of them.

    Raises
    ------
    StoreError
        The store failed; doing it again finishes what has been begun.
    """
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="runctl-remove") as pool:
        buried = [each for each in shelved if each.folder is not None]
        list(pool.map(_bury, [each for each in buried if not each.left_over]))
        _delete(shelved, lambda each: each.marks)
        listed = dict(zip(map(id, buried), pool.map(_data, buried), strict=True))
    _delete(shelved, lambda each: listed.get(id(each), each.files))
    _delete(buried, lambda each: (f"{each.folder}{TOMBSTONE}",))


def _bury(each: Shelved) -> None:
    note = {"checkpoint": each.checkpoint.name, "removed_at": to_iso(now()), "by": "runctl checkpoints prune"}
    each.store.put(f"{each.folder}{TOMBSTONE}", json.dumps(note).encode())


def _data(each: Shelved) -> Sequence[str]:
    """Return the keys of a folder's files: what was listed, and in a record's own folder whatever lies there."""
    keys = set(each.files)
    if each.checkpoint.job_id is not None and each.folder is not None:
        keys |= {found.key for found in each.store.walk(each.folder)}
    return sorted(keys - {f"{each.folder}{TOMBSTONE}"})


def _delete(shelved: Sequence[Shelved], keys_of: Callable[[Shelved], Sequence[str]]) -> None:
    keys: dict[int, list[str]] = defaultdict(list)
    stores: dict[int, Store] = {}
    for each in shelved:
        stores[id(each.store)] = each.store
        keys[id(each.store)] += keys_of(each)
    for number, store in stores.items():
        store.delete(keys[number])
