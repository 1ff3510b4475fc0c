"""Numbers that a script lets itself be given, found in its source without running it, and the ranges to try."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from runctl_jupyter.orchestration.errors import InvalidRequest

Range = Sequence[float]
"""Least, most and, if there is a third, the step."""

_VARIABLE = re.compile(r"RUNCTL_PARAM_([A-Z0-9_]+)")
_WIDE = 100
"""From this ratio of most to least on, a range is gone through by orders of magnitude."""


@dataclass(frozen=True)
class Knob:
    """A number that can be chosen."""

    name: str
    """Of ``--param``, or the flag of the script."""
    kind: Literal["param", "argument"]
    value: float
    """What the script takes when nobody says."""
    low: float
    high: float
    step: float | None = None
    """None: by orders of magnitude."""

    @property
    def whole(self) -> bool:
        """Whether only whole numbers make sense."""
        return isinstance(self.value, int)

    def text(self, value: float) -> str:
        """Return a value as it is written on a line."""
        if self.whole:
            return str(round(value))
        # What the script says itself stays as it is, also after a slider has calculated with it.
        if math.isclose(value, self.value, rel_tol=1e-6):
            return repr(self.value)
        return format(value, ".3g" if self.step is None else ".6g")


def find_knobs(source: str) -> list[Knob]:
    """Return the numbers with defaults in a script, in the order they stand there.

    Understood are ``os.environ.get("RUNCTL_PARAM_LR", "3e-4")``, ``os.getenv`` alike, and argparse's
    ``add_argument("--lr", default=3e-4)``.

    Raises
    ------
    InvalidRequest
        It is no Python.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise InvalidRequest(
            f"The script cannot be read as Python{f', see line {line}' if line else ''}.",
            "It can be launched all the same; its parameters are not known here.",
        ) from error
    found: dict[str, Knob] = {}
    calls = sorted((node for node in ast.walk(tree) if isinstance(node, ast.Call)), key=_position)
    floats = {id(call.args[0]) for call in calls if _name_of(call.func) == "float" and call.args}
    for call in calls:
        knob = _of_environment(call, as_float=id(call) in floats) or _of_argparse(call)
        if knob is not None:
            found.setdefault(knob.name, knob)
    return list(found.values())


def with_ranges(knobs: Sequence[Knob], ranges: Mapping[str, Range]) -> list[Knob]:
    """Return `knobs` with the given ranges; a name that the script does not have becomes a ``--param``.

    Raises
    ------
    InvalidRequest
        A range is none.
    """
    by_name = {knob.name: knob for knob in knobs}
    return [*(_ranged(by_name.get(name), name, span) for name, span in ranges.items())] + [
        knob for knob in knobs if knob.name not in ranges
    ]


def _ranged(knob: Knob | None, name: str, span: Range) -> Knob:
    numbers = all(isinstance(part, int | float) and math.isfinite(part) for part in span)
    if len(span) not in (2, 3) or not numbers or not span[0] < span[1] or (len(span) == 3 and span[2] <= 0):
        raise InvalidRequest(
            f"{tuple(span)!r} is no range for {name}.", "Give (least, most) or (least, most, step): lr=(1e-5, 1e-2)."
        )
    low, high = span[0], span[1]
    whole = all(isinstance(part, int) for part in span) and (knob is None or knob.whole)
    value = low if knob is None else min(max(knob.value, low), high)
    value = round(value) if whole else float(value)
    if len(span) == 3:
        step: float | None = span[2]
        value = low + round((value - low) / span[2]) * span[2]
    elif whole:
        step = 1
    else:
        step = None if _by_magnitude(low, high) else aligned((high - low) / 100, low, value)
    if knob is None:
        return Knob(name, "param", value, low, high, step)
    return replace(knob, value=value, low=low, high=high, step=step)


def aligned(step: float, low: float, value: float) -> float:
    """Return a step near `step` that leads from `low` to `value`: a slider rounds what lies between two steps."""
    return step if value <= low else (value - low) / max(round((value - low) / step), 1)


def _by_magnitude(low: float, high: float) -> bool:
    return low > 0 and high / low >= _WIDE


def _of_environment(call: ast.Call, *, as_float: bool) -> Knob | None:
    """Return the knob of ``os.environ.get("RUNCTL_PARAM_…", default)``."""
    name = _name_of(call.func)
    if not (name == "getenv" or name.endswith(("environ.get", ".getenv"))) or len(call.args) != 2:
        return None
    variable = call.args[0]
    if not isinstance(variable, ast.Constant) or not isinstance(variable.value, str):
        return None
    matched = _VARIABLE.fullmatch(variable.value)
    default = _number(call.args[1])
    if matched is None or default is None:
        return None
    return _knob(matched[1].lower(), "param", float(default) if as_float else default)


def _of_argparse(call: ast.Call) -> Knob | None:
    """Return the knob of ``parser.add_argument("--lr", default=…)``."""
    if not _name_of(call.func).endswith("add_argument"):
        return None
    flags = [each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    flag = next((text for text in flags if text.startswith("--")), None)
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    default = _number(keywords["default"]) if "default" in keywords else None
    if flag is None or default is None or keywords.keys() & {"choices", "nargs", "action"}:
        return None
    kind = _name_of(keywords["type"]) if "type" in keywords else ""
    if kind not in ("", "int", "float"):
        return None
    return _knob(flag, "argument", float(default) if kind == "float" else default)


def _knob(name: str, kind: Literal["param", "argument"], default: float) -> Knob:
    if isinstance(default, int):
        if default < 0:
            return Knob(name, kind, default, 4 * default, -4 * default, 1)
        return Knob(name, kind, default, min(default, 1), max(10, 4 * default), 1)
    if 0 < default <= 0.1:
        return Knob(name, kind, default, default / 100, default * 100)
    if 0 <= default <= 1:
        return Knob(name, kind, default, 0.0, 1.0, _step(default))
    most = 4 * abs(default)
    return Knob(name, kind, default, 0.0 if default > 0 else -most, most, _step(default))


def _step(default: float) -> float:
    """Return a round step, fine enough for two digits more than the default's size, and for the default itself."""
    exponent = Decimal(repr(default)).normalize().as_tuple().exponent
    size = math.floor(math.log10(abs(default))) if default else 0
    return float(10.0 ** min(int(exponent), size - 2))


def _number(node: ast.expr) -> float | None:
    """Return the number that a default is, also one in a string, as an environment's values are."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError):
        return None
    if isinstance(value, str):
        try:
            value = int(value) if re.fullmatch(r"[+-]?\d{1,15}", value) else float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) and abs(value) < 1e15 else None


def _name_of(node: ast.expr) -> str:
    """Return ``os.environ.get`` of such an expression; empty when it is anything but names and dots."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(node.id)
    return ".".join(reversed(parts))


def _position(node: ast.Call) -> tuple[int, int]:
    return node.lineno, node.col_offset
