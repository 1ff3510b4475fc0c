"""Recognises checkpoints among objects that nobody has described: by names, and by what lies beside what.

Nothing is read here. What cannot be told from names alone (which shards an index wants) is left for who can read.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runctl_jupyter.run_record.checkpoint_names import FOLDER_MARKS, ON_ITS_WAY, folder_format, format_of
from runctl_jupyter.run_record.checkpoint_numbers import TRAINER_STATE
from runctl_jupyter.run_record.layout import TOMBSTONE

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.storage.listed import ListedObject

DCP, HUGGING_FACE = "dcp", "huggingface"
_UNKNOWN = "file"
"""Format of a folder of which only the tombstone tells that it was a checkpoint."""
_ADAPTER = "adapter_config.json"
"""Marks a folder of PEFT, which has no ``config.json``."""
_INDEX_END = ".index.json"
_WEIGHTS = re.compile(
    r".+\.(safetensors|distcp|msgpack)|(pytorch_model|model|adapter_model)[^/]*\.(bin|pt|pth)|tf_model.*\.h5"
)
_PARTS = re.compile(
    r".+\.(safetensors|distcp|msgpack|pt|pth)|.+\.index\.json"
    r"|(pytorch_model|model|adapter_model|training_args|optimizer|scheduler|scaler|random_states|rng_state)[^/]*\.(bin|pkl)"
    r"|tf_model.*\.h5|\.metadata|latest|zero_to_fp32\.py|README\.md|\.gitattributes"
    r"|(config|generation_config|trainer_state|adapter_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens"
    r"|vocab|preprocessor_config|processor_config|chat_template|model_index|quantization_config|training_args"
    r"|scheduler_config|all_results|train_results|eval_results)\.json"
    r"|(vocab|merges)\.txt|(spiece|tokenizer|sentencepiece\.bpe)\.model|chat_template\.jinja"
)
"""What frameworks put into the folder of a checkpoint (transformers, PEFT, accelerate, DeepSpeed, diffusers)."""
_NUMBERED = re.compile(r"(?:global_?step|step|checkpoint|ckpt|iter|epoch|ep)\D{0,2}\d+.*", re.IGNORECASE)
_NUMBER = re.compile(r"(?:^|[-_.= ])\d+(?:$|[-_.= ])")
"""A number that stands by itself, as in ``model_100`` and ``weights.03-0.25``; not as in ``resnet50``, ``llama-7b``."""
_NEVER_ALONE = ".npy"
"""One array: nothing but a number of them would be a checkpoint."""


@dataclass(frozen=True)
class Found:
    """A checkpoint, or what is becoming one; `path` is its key, with ``/`` at the end for a folder."""

    path: str
    format: str
    files: tuple[ListedObject, ...]
    whole: bool
    """Whether nothing in the names says that something is missing."""
    indexes: tuple[ListedObject, ...] = ()
    """They name shards that must be there as well."""
    state: ListedObject | None = None
    """A trainer's state, which knows step and metrics."""
    marks: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    """Files in its folder that no framework puts there."""
    left_over: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.path.endswith("/")


def find(objects: Iterable[ListedObject], prefix: str = "") -> Iterator[Found]:
    """Recognise checkpoints among all objects below `prefix` (ends in ``/`` or is empty)."""
    levels: dict[str, list[ListedObject]] = defaultdict(list)
    for each in objects:
        folder, _, name = each.key.rpartition("/")
        if name:
            levels[f"{folder}/" if folder else ""].append(each)
    kinds = {folder: kind for folder, files in levels.items() if (kind := _kind(folder, files)) is not None}
    owners: dict[str, str | None] = {}
    owned: dict[str, list[ListedObject]] = defaultdict(list)
    for folder, files in levels.items():
        owner = _owner(folder, prefix, kinds, owners)
        if owner is None:
            yield from filter(None, map(_single, files))
        else:
            owned[owner] += files
    for folder, files in owned.items():
        found = _folder(folder, kinds[folder], files)
        if found.left_over or kinds[folder] != _UNKNOWN:
            yield found
        else:
            yield from filter(None, map(_single, files))


def is_numbered(name: str) -> bool:
    """Return whether the name of a folder or file is that of one of several checkpoints (``checkpoint-500``)."""
    return _NUMBERED.match(name) is not None


def is_one_of_several(path: str) -> bool:
    """Return whether a name tells that what it names can be one of several, of which the older ones may go.

    What has no number of its own may be a model that nobody can train again: ``model.pt``, ``resnet50.pt``.
    A file is one of several too when the folder it lies in is (``epoch-3/model.pt``).
    """
    parent, _, name = path.rstrip("/").rpartition("/")
    stem = name.rpartition(".")[0] if not path.endswith("/") and format_of(name) else name
    if _NUMBERED.search(stem) is not None or _NUMBER.search(stem) is not None:
        return True
    return not path.endswith("/") and is_numbered(parent.rpartition("/")[2])


def _kind(folder: str, files: list[ListedObject]) -> str | None:
    """Return the format of a folder that is one checkpoint, by the files directly in it."""
    names = {each.key.rpartition("/")[2] for each in files}
    if ".metadata" in names or any(name.endswith(".distcp") for name in names):
        return DCP
    if TRAINER_STATE in names or any(name.endswith(_INDEX_END) for name in names):
        return HUGGING_FACE
    # Many a project has a config.json; weights beside it, or the name, make the folder a checkpoint.
    likely = any(_WEIGHTS.fullmatch(name) for name in names) or is_numbered(folder.rstrip("/").rpartition("/")[2])
    if likely and (folder_format(names) or _ADAPTER in names):
        return HUGGING_FACE
    return _UNKNOWN if TOMBSTONE in names else None


def _owner(folder: str, prefix: str, kinds: dict[str, str], known: dict[str, str | None]) -> str | None:
    """Return the folder of the checkpoint that a folder's files belong to.

    Parts of a checkpoint have marks too (a pipeline's models, an optimizer's shards): a folder within another's is one
    of its own only when its name has a number, as Trainer's checkpoints below the model they lead to.
    """
    if folder in known:
        return known[folder]
    above = folder.rstrip("/").rpartition("/")[0]
    parent = f"{above}/" if above else ""
    inherited = _owner(parent, prefix, kinds, known) if len(folder) > len(prefix) else None
    own = folder in kinds and (inherited is None or is_numbered(folder.rstrip("/").rpartition("/")[2]))
    known[folder] = folder if own else inherited
    return known[folder]


def _single(file: ListedObject) -> Found | None:
    name = file.key.rpartition("/")[2]
    unfinished = name.endswith(ON_ITS_WAY)
    kind = format_of(name.rpartition(".")[0] if unfinished else name)
    if kind is None or name.lower().endswith(_NEVER_ALONE):
        return None
    return Found(file.key, kind, (file,), whole=not unfinished and file.size > 0)


def _folder(folder: str, kind: str, files: list[ListedObject]) -> Found:
    tombs = [each for each in files if each.key == folder + TOMBSTONE]
    rest = [each for each in files if each not in tombs]
    # Written after the tombstone: by a training that runs again, to which an old removal means nothing.
    left_over = bool(tombs) and not any(each.last_modified > tombs[0].last_modified for each in rest)
    names = [each.key[len(folder) :] for each in rest]
    indexes = tuple(each for each, name in zip(rest, names, strict=True) if name.endswith(_INDEX_END))
    unfinished = any(name.endswith(ON_ITS_WAY) for name in names)
    if kind == DCP:
        complete = ".metadata" in names and any(name.endswith(".distcp") for name in names)
    else:
        complete = any(_WEIGHTS.fullmatch(name.rpartition("/")[2]) for name in names)
    marks = tuple(
        folder + name for name in names if name in FOLDER_MARKS or name == _ADAPTER or name.endswith(_INDEX_END)
    )
    return Found(
        path=folder,
        format=kind,
        files=tuple(files if left_over else rest),
        whole=complete and not unfinished and not left_over,
        indexes=indexes if kind == HUGGING_FACE else (),
        state=next((each for each in rest if each.key == folder + TRAINER_STATE), None),
        marks=marks,
        strangers=tuple(name for name in names if not _PARTS.fullmatch(name.rpartition("/")[2])),
        left_over=left_over,
    )
