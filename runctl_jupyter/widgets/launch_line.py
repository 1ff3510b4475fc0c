"""What a launch form has chosen, as words of the grammar and as the line that says the same in a cell."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LaunchChoice:
    """What is chosen; an empty text means that nothing is said about it."""

    script: str
    instance_type: str = ""
    name: str = ""
    ttl: str = ""
    max_cost: str = ""
    params: Sequence[tuple[str, str]] = ()
    """For ``--param``."""
    arguments: Sequence[tuple[str, str]] = ()
    """Flags of the script itself, and their values."""
    spot: bool = False

    def words(self) -> list[str]:
        """Return the words after ``runctl``."""
        # A script whose name looks like a flag is still a script.
        words = ["train", f"./{self.script}" if self.script.startswith("-") else self.script]
        for flag, value in (
            ("--instance-type", self.instance_type),
            ("--name", self.name),
            ("--ttl", self.ttl),
            ("--max-cost", self.max_cost),
        ):
            if value:
                # One word: a value that begins with a dash is a value.
                words += [f"{flag}={value}"] if value.startswith("-") else [flag, value]
            if flag == "--instance-type" and self.spot:
                words.append("--spot")
        for name, value in self.params:
            words += ["--param", f"{name}={value}"]
        if self.arguments:
            words.append("--")
            # As one word where the value begins with a dash: argparse would take it for a flag.
            for flag, value in self.arguments:
                words += [f"{flag}={value}"] if value.startswith("-") else [flag, value]
        return words

    def line(self) -> str:
        """Return the line, as a panel and a terminal take it, without ``runctl``."""
        return shlex.join(self.words())

    def magic(self) -> str:
        """Return the line as a cell takes it."""
        return f"%runctl {as_magic(self.line())}"


def as_magic(line: str) -> str:
    """Return `line` with braces and dollars written so that the magic's ``{expressions}`` and ``$names`` leave them."""
    parts: list[str] = []
    place = 0
    while (begin := line.find("{", place)) >= 0:
        parts.append(line[place:begin].replace("$", "$$"))
        # What stands between double braces is not looked into, up to the first that close.
        end = line.find("}", begin)
        if end < 0:
            return "".join([*parts, "{{", line[begin + 1 :]])
        parts.append("{{" + line[begin + 1 : end] + "}}")
        place = end + 1
    return "".join([*parts, line[place:].replace("$", "$$")])
