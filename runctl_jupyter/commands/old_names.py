"""What the command line before this one called things: understood under its prefix ``aws``.

`runctl aws train ID SCRIPT` put the machine first; here it is ``--on ID``.
"""

from __future__ import annotations

from collections.abc import Sequence

PREFIX = "aws"
ALIASES = {"new": "create", "spawn": "create"}
"""Other names that work without the prefix too."""

_OLD = {
    "new": "create", "spawn": "create", "resume": "start", "pause": "stop", "status": "show",
    "destroy": "terminate", "rm": "terminate", "delete": "terminate", "run": "train",
}  # fmt: skip
_OLD_FLAGS = {"--root-volume-size": "--volume-size", "--project-name": "--name"}


def modern(arguments: Sequence[str]) -> list[str]:
    """Return the line in today's words; a line without the old prefix comes back as it is."""
    if not arguments or arguments[0] != PREFIX:
        return list(arguments)
    if len(arguments) == 1:
        return []
    verb, *rest = arguments[1:]
    verb = _OLD.get(verb, verb)
    end = rest.index("--") if "--" in rest else len(rest)
    head = [_modern_flag(word) for word in rest[:end]]
    if verb == "train" and len(head) > 1 and not head[0].startswith("-") and not head[1].startswith("-"):
        head = ["--on", *head]
    return [verb, *head, *rest[end:]]


def _modern_flag(word: str) -> str:
    name, equals, value = word.partition("=")
    return _OLD_FLAGS.get(name, name) + equals + value
