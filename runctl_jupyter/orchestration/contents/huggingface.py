"""Reads folders as transformers, its trainer and PEFT write them: weights in one file or in shards, and the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

from runctl_jupyter.orchestration.contents.bounds import damaged, facts, json_object, progress, short_text, some
from runctl_jupyter.orchestration.contents.files import Files
from runctl_jupyter.orchestration.contents.model import Contents, Tensor
from runctl_jupyter.orchestration.contents.siblings import sibling
from runctl_jupyter.orchestration.errors import CheckpointUnreadable
from runctl_jupyter.run_record.checkpoint_names import format_of

_INDEXES = (".safetensors.index.json", ".bin.index.json")
_WEIGHTS = (
    ("model.safetensors", "adapter_model.safetensors", "diffusion_pytorch_model.safetensors"),
    ("pytorch_model.bin", "adapter_model.bin", "diffusion_pytorch_model.bin"),
)
"""Names of weights in one file, the better format first."""
_WEIGHTS_BY_SUFFIX = (".safetensors", ".bin", ".h5", ".pt", ".pth")
_BESIDE = ("optimizer", "scheduler", "rng_state", "random_states", "training_args", "scaler")
"""Beginnings of names of what a trainer keeps beside the weights."""
_CONFIGURATIONS = ("config.json", "generation_config.json", "tokenizer_config.json", "adapter_config.json")
_TRAINER = "trainer_state.json"
_LAST_LOGS = 50
_DCP_MARK = "/.metadata"
_MOST_FOLDERS = 8
_MOST_SHARDS = 4096
_MOST_EPOCHS = 1e9
_AT_ONCE = 8


@dataclass
class _Found:
    tensors: dict[str, Tensor] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, tensors: Iterable[Tensor]) -> None:
        self.tensors.update((tensor.name, tensor) for tensor in tensors)


def read(files: Files, name: str) -> Contents:
    """Return what a folder of Hugging Face's libraries holds, or any folder with an index of shards.

    Raises
    ------
    CheckpointUnreadable
        One of its files is damaged, or the index names files outside of the folder.
    """
    found = _Found()
    for each in _CONFIGURATIONS:
        if each in files and (told := _json(files, each, found)) is not None:
            found.metadata[each.removesuffix(".json")] = facts(told)
    _weights(files, found)
    _optimizer(files, found)
    trainer = _json(files, _TRAINER, found) if _TRAINER in files else None
    if trainer is not None:
        found.metadata["trainer_state"] = facts(_trainer(trainer))
        passes = trainer.get("epoch")
        if isinstance(passes, float) and 0 <= passes < _MOST_EPOCHS:
            trainer["epoch"] = int(passes)  # the trainer counts parts of them too
    told = trainer or {}
    whole = told.get("epoch")
    step, epoch = progress(
        {**told, "epoch": int(whole) if isinstance(whole, float) and 0 <= whole < 1e9 else whole}, name
    )
    return Contents(
        "huggingface", tuple(found.tensors.values()), found.metadata, step, epoch, found.optimizer, tuple(found.notes)
    )


def _json(files: Files, name: str, found: _Found) -> dict[str, Any] | None:
    """Return what a file beside the weights says; what cannot be read there is a note, not an end."""
    try:
        return json_object(name, files.whole(name))
    except CheckpointUnreadable as error:
        found.notes.append(f"not read: {error.what}")
        return None


def _trainer(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a trainer's state tells, with the last that was logged of each measure."""
    logs = state.get("log_history")
    last: dict[str, Any] = {}
    for entry in logs[-_LAST_LOGS:] if isinstance(logs, list) else ():
        if isinstance(entry, dict):
            last |= {key: value for key, value in entry.items() if isinstance(value, int | float)}
    rest = {key: value for key, value in state.items() if not isinstance(value, dict | list)}
    return rest | ({"last": last} if last else {})


def _weights(files: Files, found: _Found) -> None:
    at_root = sorted(name for name in files.sizes if "/" not in name)
    for suffix in _INDEXES:
        indexes = [name for name in at_root if name.endswith(suffix)]
        for index in indexes:
            _shards(files, index, found)
        if indexes:
            return
    chosen = next(([name for name in names if name in files] for names in _WEIGHTS if {*names} & {*at_root}), [])
    if not chosen:
        others = [name for name in at_root if not name.startswith(_BESIDE)]
        chosen = next((few for end in _WEIGHTS_BY_SUFFIX if (few := [n for n in others if n.endswith(end)])), [])
    for contents in _each(files, chosen):
        _take(contents, found)
    if not chosen and not _distributed(files, found):
        found.notes.append("there are no weights in it, or of a format that is not read")


def _distributed(files: Files, found: _Found) -> bool:
    """Take what lies in folders of torch.distributed.checkpoint: Accelerate keeps FSDP's shards so."""
    folders = [name.removesuffix(_DCP_MARK) for name in sorted(files.sizes) if name.count("/") == 1]
    folders = [folder for folder in folders if f"{folder}{_DCP_MARK}" in files][:_MOST_FOLDERS]
    for folder in folders:
        contents = import_module(f"{__package__}.dcp").read(_inside(files, folder), "")
        _take(replace(contents, notes=tuple(f"{folder}: {note}" for note in contents.notes)), found)
        found.optimizer = contents.optimizer or found.optimizer
    return bool(folders)


def _inside(files: Files, folder: str) -> Files:
    """Return the files of a folder in the folder."""
    sizes = {
        name.removeprefix(f"{folder}/"): size for name, size in files.sizes.items() if name.startswith(f"{folder}/")
    }
    return Files(sizes, lambda name, start, end: files.data(f"{folder}/{name}", start, end))


def _shards(files: Files, index: str, found: _Found) -> None:
    told = json_object(index, files.whole(index))
    by_tensor = told.get("weight_map")
    if not isinstance(by_tensor, dict) or not all(isinstance(shard, str) for shard in by_tensor.values()):
        raise damaged(f"{index} does not say which tensor lies in which file.")
    shards = list(dict.fromkeys(sibling(index, shard) for shard in by_tensor.values()))
    if len(shards) > _MOST_SHARDS:
        raise damaged(f"{index} names {len(shards):,} files.")
    if isinstance(told.get("metadata"), dict):
        found.metadata["index"] = facts(told["metadata"])
    for contents in _each(files, [shard for shard in shards if shard in files]):
        _take(contents, found)
    missing = [shard for shard in shards if shard not in files]
    lost = [name for name in by_tensor if name not in found.tensors]
    if missing:
        found.notes.append(
            f"missing: {some(missing)}; {len(lost):,} tensors are named without their shapes, and count for nothing"
        )
    elif lost:
        found.notes.append(f"{index} names {len(lost):,} tensors that no file has: {some(lost)}")
    found.add(Tensor(short_text(name), "unknown", (0,)) for name in lost)


def _each(files: Files, names: list[str]) -> Iterable[Contents]:
    """Return what several files hold, in their order."""
    if len(names) < 2:
        return [_read(files, name) for name in names]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda name: _read(files, name), names))


def _read(files: Files, name: str) -> Contents:
    kind = format_of(name) or "torch"  # ``.bin``: a file of PyTorch's by another name
    contents: Contents = import_module(f"{__package__}.{kind}").read(files, name)
    return replace(contents, notes=tuple(f"{name}: {note}" for note in contents.notes))


def _take(contents: Contents, found: _Found) -> None:
    twice = [tensor.name for tensor in contents.tensors if tensor.name in found.tensors]
    if twice:
        found.notes.append(f"{len(twice):,} tensors are in several files: {some(twice)}")
    found.add(contents.tensors)
    found.notes += contents.notes


def _optimizer(files: Files, found: _Found) -> None:
    for name in ("optimizer.pt", "optimizer.bin"):
        if name in files:
            contents = _read(files, name)
            tensors = [replace(t, name=f"optimizer.{t.name}", part="optimizer") for t in contents.tensors]
            _take(replace(contents, tensors=tuple(tensors)), found)
            found.optimizer = contents.optimizer
    for name in ("scheduler.pt", "scheduler.bin"):
        if name in files:
            found.metadata["scheduler"] = _read(files, name).metadata
