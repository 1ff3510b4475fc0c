"""Writes the choice of a target into ``.runctl.toml`` without touching anything else in it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from runctl_jupyter.commands.request import Choice
from runctl_jupyter.orchestration.config import FILE_NAME
from runctl_jupyter.orchestration.errors import InvalidRequest


def write_choice(folder: Path, choice: Choice) -> Path:
    """Set ``target`` and, where given, ``profile region bucket`` of table ``[aws]`` in the folder's file.

    Raises
    ------
    InvalidRequest
        The file cannot be written.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        aws = {"profile": choice.profile, "region": choice.region, "bucket": choice.bucket}
        lines = text.splitlines()
        lines = _set(lines, None, {"target": choice.target})
        lines = _set(lines, "aws", aws)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be written: {error.strerror}.", "Set RUNCTL_TARGET instead, or go to a folder of yours."
        ) from error
    return path


def _set(lines: list[str], table: str | None, values: dict[str, str | None]) -> list[str]:
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
