"""``{expressions}`` and ``$names`` on a magic's first line.

IPython's own expansion would also rewrite JSON (``{"lr": 1}`` becomes ``lr``) and would send an unknown ``{name}``
to the machine as it stands. Here braces that are JSON stay, and an expression that fails is an error.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

_NAME = re.compile(r"\$(?:\$|([A-Za-z_]\w*))")


def expand(line: str, namespace: Mapping[str, Any]) -> str:
    """Return `line` with expressions in braces replaced by their values.

    ``{{`` and ``}}`` stand for single braces, ``$$`` for a dollar; a ``$name`` that is not in `namespace` stays.

    Raises
    ------
    InvalidRequest
        An expression cannot be evaluated.
    """
    parts: list[str] = []
    place = 0
    while (begin := line.find("{", place)) >= 0:
        parts.append(_names(line[place:begin], namespace))
        if line.startswith("{{", begin):
            end = line.find("}}", begin)
            stop = len(line) if end < 0 else end + 2
            parts.append("{" + line[begin + 2 : end if end >= 0 else None] + ("}" if end >= 0 else ""))
        else:
            stop = _closing(line, begin)
            parts.append(_value(line[begin:stop], namespace))
        place = stop
    return "".join([*parts, _names(line[place:], namespace)])


def _names(text: str, namespace: Mapping[str, Any]) -> str:
    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return "$"
        return str(namespace[name]) if name in namespace else found[0]

    return _NAME.sub(value, text)


def _closing(line: str, begin: int) -> int:
    """Return the place after the brace that closes the one at `begin`, or the line's end."""
    depth = 0
    quote = ""
    for place in range(begin, len(line)):
        char = line[place]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        else:
            depth += {"{": 1, "}": -1}.get(char, 0)
            if depth == 0:
                return place + 1
    return len(line)


def _value(braced: str, namespace: Mapping[str, Any]) -> str:
    """Return what ``{expression[!conversion][:format]}`` comes to; braces that hold no expression stay."""
    try:
        # An f-string literal knows conversions and formats, and `{"a": 1}` is a format of the string "a" to it:
        # a quote first means JSON, which is never what a Python variable looks like.
        inner = braced[1:-1].lstrip()
        if not braced.endswith("}") or not inner or inner[0] in "\"'{[":
            return braced
        tree = ast.parse("f" + repr(braced), mode="eval")
    except SyntaxError:
        return braced
    from runctl_jupyter.orchestration.errors import InvalidRequest

    try:
        return str(eval(compile(tree, "<%runctl line>", "eval"), dict(namespace)))  # noqa: S307 - the user's own line
    except Exception as error:
        raise InvalidRequest(
            f"{braced} on the line of %runctl: {type(error).__name__}: {error}.",
            "Define it in an earlier cell, or write {{ }} for braces that stay.",
        ) from error
