"""Places that were used on this computer: which target, account and record; one small file for each.

A saved notebook names a place by its id, which tells a stranger nothing: neither bucket nor account.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from runctl_jupyter.orchestration.config import Settings, TargetName
from runctl_jupyter.orchestration.connection import sandbox_home
from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.folders import data_dir
from runctl_jupyter.orchestration.storage.whole_file import whole_file

_log = logging.getLogger(__name__)

_DAY_S = 24 * 3600.0


class _Remembered(BaseModel):
    """A place as its file has it; what opens it again."""

    model_config = ConfigDict(frozen=True)

    target: TargetName
    profile: str | None = None
    region: str | None = None
    bucket: str | None = None
    prefix: str = ""
    home: str | None = None
    """The sandbox's own folder: two of them are two places."""

    @property
    def id(self) -> str:
        text = json.dumps([self.target, self.profile, self.region, self.bucket, self.prefix, self.home])
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Place:
    """A target that has been used on this computer."""

    id: str
    target: str
    profile: str | None
    region: str | None
    bucket: str | None
    last_used: datetime
    """Within a day."""


def place_id(settings: Settings, region: str | None) -> str:
    """Return the id of the place that `settings` name.

    Parameters
    ----------
    region
        The region in force on target ``aws``, which boto3's own chain may have chosen.
    """
    return _place_of(settings, region).id


def remember(settings: Settings, region: str | None) -> None:
    """Write down that a place is used, unless that was done within a day; never fails."""
    place = _place_of(settings, region)
    path = _folder() / f"{place.id}.json"
    try:
        if not path.exists() or time.time() - path.stat().st_mtime > _DAY_S:
            with whole_file(path) as partial:
                partial.write_text(place.model_dump_json(), encoding="utf-8")
    except OSError as error:
        _log.info("the place %s could not be remembered: %s", place.id, error)


def known() -> list[Place]:
    """Return the places that can be opened from here, the last used first."""
    found = []
    for path in _folder().glob("*.json"):
        place = _read(path)
        if place is not None:
            used = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            found.append(Place(place.id, place.target, place.profile, place.region, place.bucket, used))
    return sorted(found, key=lambda place: place.last_used, reverse=True)


def open_place(place_id: str) -> dict[str, Any]:
    """Return the arguments with which `Runctl` opens a place.

    Raises
    ------
    InvalidRequest
        It was never used on this computer.
    """
    place = _read(_folder() / f"{place_id}.json") if place_id.isalnum() else None
    if place is None:
        raise InvalidRequest(
            f"Place {place_id!r} is not known on this computer.",
            "Open the notebook where its jobs were started, or choose the target: runctl use",
        )
    return place.model_dump(exclude={"home"})


def _place_of(settings: Settings, region: str | None) -> _Remembered:
    if settings.target == "aws":
        aws = settings.aws
        return _Remembered(target="aws", profile=aws.profile, region=region, bucket=aws.bucket, prefix=settings.prefix)
    home = str(sandbox_home()) if settings.target == "sandbox" else None
    return _Remembered(target=settings.target, prefix=settings.prefix, home=home)


def _read(path: Path) -> _Remembered | None:
    """Return what a file remembers; None for one that cannot be read, and for a sandbox that is not ours."""
    try:
        place = _Remembered.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        _log.info("%s is left out of the known places: %s", path, error)
        return None
    ours = place.home in (None, str(sandbox_home())) and path.stem == place.id
    return place if ours else None


def _folder() -> Path:
    return data_dir() / "places"
