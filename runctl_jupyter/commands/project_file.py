"""Writes the choice of a target into ``.runctl.toml`` without touching anything else in it."""

from __future__ import annotations

from pathlib import Path

from runctl_jupyter.commands.request import Choice
from runctl_jupyter.orchestration.config import FILE_NAME
from runctl_jupyter.orchestration.config_file import write_values
from runctl_jupyter.orchestration.errors import InvalidRequest


def write_choice(folder: Path, choice: Choice) -> Path:
    """Set ``target`` and, where given, ``profile region bucket`` of table ``[aws]`` in the folder's file.

    Raises
    ------
    InvalidRequest
        The file cannot be written.
    """
    path = folder / FILE_NAME
    aws = {"profile": choice.profile, "region": choice.region, "bucket": choice.bucket}
    try:
        write_values(path, {None: {"target": choice.target}, "aws": aws})
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be written: {error.strerror}.", "Set RUNCTL_TARGET instead, or go to a folder of yours."
        ) from error
    return path
