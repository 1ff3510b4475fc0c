"""Writes values into a configuration file and leaves everything else in it as it is: comments, order, other tables."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

Table = Mapping[str, str | None]


def write_values(path: Path, tables: Mapping[str | None, Table]) -> None:
    """Set the values that are not None, by table; None is what stands above all tables. Makes file and folder.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for table, values in tables.items():
        lines = _set(lines, table, values)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _set(lines: list[str], table: str | None, values: Table) -> list[str]:
    """Return `lines` with the keys that have a value set in `table` (None: above all tables)."""
    given = {key: value for key, value in values.items() if value is not None}
    if not given:
        return lines
    headers = [number for number, line in enumerate(lines) if line.lstrip().startswith("[")]
    begin, end = 0, headers[0] if headers else len(lines)
    if table is not None:
        mine = next(
            (number for number in headers if re.fullmatch(rf"\s*\[\s*{table}\s*\]\s*(#.*)?", lines[number])), None
        )
        if mine is None:
            return [
                *lines,
                *([""] if lines else []),
                f"[{table}]",
                *(_line(key, value) for key, value in given.items()),
            ]
        begin, end = mine + 1, next((number for number in headers if number > mine), len(lines))
    body = lines[begin:end]
    for key, value in given.items():
        place = next((number for number, line in enumerate(body) if re.match(rf"\s*{key}\s*=", line)), None)
        if place is None:
            body.insert(0, _line(key, value))
        else:
            body[place] = _line(key, value)
    return [*lines[:begin], *body, *lines[end:]]


def _line(key: str, value: str) -> str:
    return f"{key} = {json.dumps(value)}"  # a JSON string is a TOML basic string too
