"""Checkpoints that no manifest describes: under any ``s3://`` prefix, in any folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.checkpoints.found import Found, find, is_numbered, is_one_of_several
from runctl_jupyter.orchestration.checkpoints.shelf import Shelved
from runctl_jupyter.orchestration.model import Checkpoint
from runctl_jupyter.run_record import NotFound
from runctl_jupyter.run_record.checkpoint_names import COUNTERS, epoch_of, format_of, step_of
from runctl_jupyter.run_record.checkpoint_numbers import STATE_MOST, Told, told_by, trainer_state

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.storage.listed import ListedObject
    from runctl_jupyter.orchestration.storage.store import Store

_PARALLEL = 16
_INDEX_MOST = 64 << 20
"""A longer index is none: one of a model with a million tensors has some ten megabytes."""
_IN_NAME = re.compile(r"([A-Za-z][\w/]*)=(-?\d+(?:\.\d+)?(?:e-?\d+)?)")
"""Lightning's way: ``epoch=3-val_loss=0.12.ckpt``."""


def shelved_below(store: Store, objects: Iterable[ListedObject], prefix: str) -> list[Shelved]:
    """Return the checkpoints among objects below `prefix`, the incomplete ones too.

    Small files that know more are read: indexes of shards, states of trainers.
    """
    shelved, to_read = [], []
    for each in find(objects, prefix):
        if each.indexes or each.state is not None:
            to_read.append(each)
        else:
            shelved.append(_shelved(store, each, prefix))
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="runctl-found") as pool:
        return [*shelved, *pool.map(lambda each: _shelved(store, each, prefix), to_read)]


def _shelved(store: Store, found: Found, prefix: str) -> Shelved:
    name = (
        found.path[len(prefix) :].rstrip("/") or prefix.rstrip("/").rpartition("/")[2] or store.uri.rpartition("/")[2]
    )
    told = _told(store, found, name)
    checkpoint = Checkpoint(
        uri=store.uri_of(found.path),
        name=name,
        step=told.step,
        metrics=told.metrics,
        size=sum(each.size for each in found.files),
        created_at=max(each.last_modified for each in found.files),
        format=found.format,
        complete=found.whole and all(_shards_are_there(store, found, index) for index in found.indexes),
        epoch=told.epoch,
    )
    return Shelved(
        checkpoint,
        store,
        chain=store.uri_of(_chain(found.path)),
        marks=found.marks,
        folder=found.path if found.is_folder else None,
        files=tuple(each.key for each in found.files),
        obstacle=_obstacle(found),
        left_over=found.left_over,
    )


def _obstacle(found: Found) -> str:
    if found.strangers:
        more = f" and {len(found.strangers) - 1} more" if len(found.strangers) > 1 else ""
        return f"holds what is no part of a checkpoint: {found.strangers[0]}{more}"
    return "" if is_one_of_several(found.path) else "its name has no number, as one of several has"


def _chain(path: str) -> str:
    """Return the folder that a checkpoint is one of several in; folders with a number are passed over.

    So ``run/epoch-2/model.pt`` and ``run/epoch-3/model.pt`` are of one chain.
    """
    parent = path.rstrip("/").rpartition("/")[0]
    while parent and is_numbered(parent.rpartition("/")[2]):
        parent = parent.rpartition("/")[0]
    return f"{parent}/" if parent else ""


def _told(store: Store, found: Found, name: str) -> Told:
    stem = name.rpartition(".")[0] if format_of(name) else name
    in_name = told_by({key: value for key, value in _IN_NAME.findall(stem) if key not in COUNTERS}).metrics
    state = Told()
    if found.state is not None and found.state.size <= STATE_MOST:
        data = _read(store, found.state)
        state = Told() if data is None else told_by(trainer_state(data))
    step = step_of(name) if state.step is None else state.step
    return Told(step, epoch_of(name) if state.epoch is None else state.epoch, {**in_name, **state.metrics})


def _shards_are_there(store: Store, found: Found, index: ListedObject) -> bool:
    """Return whether each file is there that an index names (transformers: ``weight_map``); a false index says no."""
    data = _read(store, index) if index.size <= _INDEX_MOST else None
    if data is None:
        return False
    try:
        shards = set(json.loads(data)["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    folder = index.key.rpartition("/")[0]
    sizes = {each.key: each.size for each in found.files}
    return bool(shards) and all(sizes.get(f"{folder}/{shard}" if folder else f"{shard}", 0) > 0 for shard in shards)


def _read(store: Store, file: ListedObject) -> bytes | None:
    try:
        return store.get(file.key).data
    except NotFound:
        return None  # gone meanwhile
