"""From what a pickle holds to what a checkpoint holds: names of tensors, the optimizer's state, and facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from runctl_jupyter.orchestration.contents.bounds import damaged, facts, progress, short_text, some
from runctl_jupyter.orchestration.contents.inert import Array, Named, Refused, TensorView
from runctl_jupyter.orchestration.contents.model import ITEM_BYTES, Contents, Part, Place, Tensor
from runctl_jupyter.orchestration.contents.places import InMemory, Strided, c_strides, fortran_strides

MODEL_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "weights", "params")
"""Under one of these, the first that is there, training scripts keep the model's own state dict."""
OPTIMIZER_KEYS = ("optimizer", "optimizers", "optimizer_state_dict", "optimizer_states", "optimizer_state", "optim")
_OTHER_KEYS = ("rng", "scheduler", "sampler")
_IN_MODULES = ("_parameters", "_buffers", "_modules")
"""Attributes of a module that its state dict does not name."""
_NOT_FACTS = ("training", "_is_full_backward_hook")
_MOST_VISITS = 1_000_000
_MOST_DEPTH = 64
_MOST_NAMES = 32_000_000
"""Characters of all names together."""
_MOST_GROUPS = 100
_MOST_OPTIMIZERS = 16

PlaceOf = Callable[[TensorView], "tuple[Place | None, str]"]
"""Returns where a view's values are, else why they cannot be read."""


def describe(
    root: Any, name: str, place_of: PlaceOf, refused: Mapping[str, None], notes: tuple[str, ...] = ()
) -> Contents:
    """Return what a pickled object of PyTorch's holds as a checkpoint; see `torch.read` for the names."""
    walk = _Walk(place_of)
    top = root.fields if isinstance(root, Refused) else root
    entries: Mapping[Any, Any] = top if isinstance(top, dict) else {}
    # A module's own part may have such a name too, and keeps it.
    wrapper = next((key for key in MODEL_KEYS if isinstance(root, dict) and walk.is_state(root.get(key))), None)
    is_optimizer = any(True for _ in _optimizers(root)) and wrapper is None
    if wrapper is not None:
        walk.visit(entries[wrapper], "", "model")
    if not entries:
        walk.visit(root, "" if not isinstance(root, (TensorView, Array)) else "tensor", "model")
    for key, each in entries.items():
        if key != wrapper:
            path = "" if isinstance(root, Refused) and key in _IN_MODULES else _text(key)
            walk.visit(each, path, "optimizer" if is_optimizer else _part(key, each, wrapper))
    rest = {key: each for key, each in entries.items() if key != wrapper and _part(key, each, wrapper) != "optimizer"}
    if isinstance(root, Refused):
        rest = {key: each for key, each in rest.items() if key not in (*_IN_MODULES, *_NOT_FACTS)}
    if is_optimizer:
        rest = {}
    step, epoch = progress(entries, name)
    return Contents(
        "torch",
        tuple(walk.tensors),
        facts(dict(sorted(rest.items(), key=_by_interest)), _simple),
        step,
        epoch,
        _optimizer(entries),
        (*notes, *walk.notes(), *_refused(refused)),
    )


def _by_interest(entry: tuple[Any, Any]) -> int:
    """Return what comes first where not all is told: single facts, then what the run was given."""
    key, value = entry
    if not isinstance(value, (dict, list, tuple, Refused)):
        return 0
    return 1 if isinstance(key, str) and any(word in key[:100] for word in ("param", "config", "args")) else 2


def _text(key: Any) -> str:
    return short_text(key if isinstance(key, str) else str(key), 500)


def _part(key: Any, value: Any, wrapper: Any) -> Part:
    if key in OPTIMIZER_KEYS or any(True for _ in _optimizers(value)):
        return "optimizer"
    told = key.lower() if isinstance(key, str) and len(key) < 100 else ""
    if any(word in told for word in _OTHER_KEYS):
        return "other"
    return "model" if wrapper is None else "other"


class _Walk:
    """Goes through what was read and lists its tensors; what is named by many names is no way to go on for ever."""

    def __init__(self, place_of: PlaceOf) -> None:
        self.tensors: list[Tensor] = []
        self._place_of = place_of
        self._visits, self._characters = _MOST_VISITS, _MOST_NAMES
        self._unreadable: Counter[str] = Counter()
        self._names: dict[str, int] = {}
        self._is_too_deep = False

    def is_state(self, value: Any) -> bool:
        """Return whether something is a state dict, or a module."""
        return isinstance(value, (dict, Refused)) and self.holds_tensors(value)

    def holds_tensors(self, value: Any, depth: int = 0) -> bool:
        """Return whether there is a tensor in something, not too far down."""
        if isinstance(value, (TensorView, Array)):
            return True
        children = [each for _, each in self._children(value)] if depth < 12 else []
        return any(self.holds_tensors(each, depth + 1) for each in children)

    def visit(self, value: Any, path: str, part: Part, depth: int = 0) -> None:
        """List the tensors of something that is found under a name."""
        if isinstance(value, TensorView):
            self._add(path, value.dtype, value.shape, *self._place_of(value), part)
        elif isinstance(value, Array):
            self._add(path, *_described(value), part)
        elif depth >= _MOST_DEPTH:
            self._is_too_deep = True
        else:
            for key, each in self._children(value):
                is_part = isinstance(value, Refused) and key in _IN_MODULES
                self.visit(each, path if is_part else f"{path}.{_text(key)}" if path else _text(key), part, depth + 1)

    def _children(self, value: Any) -> Iterator[tuple[Any, Any]]:
        """Yield keys and values of what may hold tensors."""
        found: Any = value
        if isinstance(value, Refused):
            found = value.fields or value.elements or value.args
        if not isinstance(found, (dict, list, tuple)):
            return
        self._visits -= len(found) + 1
        if self._visits < 0:
            raise damaged("The checkpoint names its parts more often than any does.")
        for key, each in found.items() if isinstance(found, dict) else enumerate(found):
            if isinstance(each, (TensorView, Array, Refused, dict, list, tuple)):
                yield key, each

    def _add(self, name: str, dtype: str, shape: tuple[int, ...], place: Place | None, why: str, part: Part) -> None:
        self._names[name] = count = self._names.get(name, 0) + 1
        name = name if count == 1 else f"{name} ({count})"
        self._characters -= len(name)
        if self._characters < 0:
            raise damaged("The names of the checkpoint's tensors are longer than any checkpoint's.")
        if place is None:
            self._unreadable[why] += 1
        self.tensors.append(Tensor(name, dtype, shape, place, part))

    def notes(self) -> Iterator[str]:
        """Yield what was not read."""
        for why, count in self._unreadable.most_common(5):
            yield f"{count:,} cannot be read: {why}"
        if self._is_too_deep:
            yield f"what is nested more than {_MOST_DEPTH} deep is left out"


def _described(array: Array) -> tuple[str, tuple[int, ...], Place | None, str]:
    kind = array.type
    if kind is None:
        return "object", array.shape, None, "arrays without values"
    if not kind.is_plain or kind.dtype not in ITEM_BYTES:
        return kind.dtype, array.shape, None, "arrays of NumPy of a type that is none of tensors"
    strides = (fortran_strides if array.is_fortran else c_strides)(array.shape)
    place = Strided(InMemory(array.data), kind.dtype, array.shape, strides, is_swapped=kind.order == ">")
    return kind.dtype, array.shape, place, ""


def _simple(value: Any) -> Any:
    """Return a value as one of JSON's where it is plain."""
    if isinstance(value, Refused):
        return value.fields or value.elements or None
    return str(value) if isinstance(value, Named) else value


def _optimizers(value: Any) -> Iterator[Mapping[Any, Any]]:
    """Yield state dicts of optimizers: one, a list of them, or named ones."""
    named = value.values() if isinstance(value, dict) and "param_groups" not in value else (value,)
    for each in islice(value if isinstance(value, list) else named, _MOST_OPTIMIZERS):
        if isinstance(each, dict) and isinstance(each.get("param_groups"), list) and "state" in each:
            yield each


def _optimizer(entries: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what the first optimizer's state dict says, and how many there are."""
    # One that is an entry of its own is found among all entries too.
    met = {id(each): each for value in (entries, *entries.values()) for each in _optimizers(value)}
    found = list(met.values())
    if not found:
        return {}
    groups = [group for group in found[0]["param_groups"][:_MOST_GROUPS] if isinstance(group, dict)]
    told: dict[str, Any] = {}
    for name in groups[0] if groups else ():
        values = [group.get(name) for group in groups]
        if name != "params":
            told[name] = values[0] if all(_is_same(each, values[0]) for each in values) else values
    state = found[0]["state"]
    said = facts(told, _simple)
    said["param_groups"] = len(found[0]["param_groups"])
    said["states"] = len(state) if isinstance(state, dict) else 0
    return said if len(found) == 1 else {**said, "optimizers": len(found)}


def _is_same(one: Any, other: Any) -> bool:
    """Return whether plain values are equal; of nested ones that would be work without bound."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) <= 8 and all(
            type(a) is type(b) and isinstance(a, (int, float)) and a == b for a, b in zip(one, other, strict=True)
        )
    plain = (str, int, float, type(None))
    return one is other or (isinstance(one, plain) and isinstance(other, plain) and one == other)


def _refused(names: Mapping[str, None]) -> list[str]:
    return [f"not loaded, and not run: {some(names, 10)}"] if names else []
