"""Settings: arguments, environment, the nearest ``.runctl.toml``, the user's own file, defaults; in that order.

Partial files are fine. A wrong key or value is named with its file and line.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from runctl_jupyter.orchestration.errors import ConfigInvalid, InvalidRequest
from runctl_jupyter.orchestration.folders import config_dir

FILE_NAME = ".runctl.toml"
TargetName = Literal["sandbox", "aws", "local"]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> float:
    """Return seconds of ``90s``, ``30m``, ``8h`` or ``2d``.

    Raises
    ------
    InvalidRequest
        Anything else, or not above zero.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", text)
    if match is None or float(match[1]) <= 0:
        raise InvalidRequest(f"{text!r} is not a duration.", "Write a number and a unit: 90s, 30m, 8h or 2d.")
    return float(match[1]) * _UNITS[match[2]]


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_duration(value)
    except InvalidRequest as error:
        raise ValueError(error.what) from None


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Duration = Annotated[float, BeforeValidator(_duration)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AwsSettings(_Table):
    """Table ``[aws]``: used by target ``aws`` only; the sandbox brings its own account."""

    profile: str | None = None
    region: str | None = None
    bucket: str | None = None


class LaunchSettings(_Table):
    """Table ``[launch]``: what a machine gets when the command does not say."""

    instance_type: Annotated[str, Field(pattern=r"\w")] = "m5.large"
    """One or several, in order of preference: ``g5.xlarge,g6.xlarge``."""
    instance_profile: str = "runctl-instance"
    ami: str | None = None
    """An AMI id; None picks one by the type: a deep learning image for GPUs, plain Ubuntu otherwise."""
    volume_size: Annotated[int, Field(ge=8, le=65536)] | None = None
    """GiB; None takes what the image needs, with room to work."""
    ttl: Duration = 8 * 3600.0
    """Seconds after which a machine powers itself off."""
    subnet: Annotated[tuple[str, ...], BeforeValidator(_one_or_many)] = ()
    """Subnets to launch in, one a zone; none takes the default VPC's."""

    @property
    def instance_types(self) -> list[str]:
        """The types of `instance_type`, each by itself."""
        return [name for each in self.instance_type.split(",") if (name := each.strip())]


class SyncSettings(_Table):
    """Table ``[sync]``: the guard against shipping a data folder by accident."""

    max_mb: Annotated[float, Field(gt=0)] = 100.0
    max_files: Annotated[int, Field(gt=0)] = 20_000


class Settings(_Table):
    """Everything that can be configured."""

    target: TargetName = "sandbox"
    prefix: str = "runctl"
    """Where the run record lies in the bucket."""
    project_root: str | None = None
    aws: AwsSettings = AwsSettings()
    launch: LaunchSettings = LaunchSettings()
    sync: SyncSettings = SyncSettings()


def load_settings(cwd: Path, *, env: Mapping[str, str] | None = None, **arguments: str | None) -> Settings:
    """Return the settings that hold in `cwd`.

    Parameters
    ----------
    cwd
        Where the search for ``.runctl.toml`` begins; it goes up.
    env
        Environment, the process's own by default.
    **arguments
        ``target profile region bucket prefix project_root``; None means not given.

    Raises
    ------
    ConfigInvalid
        A file cannot be read, or holds a wrong key or value.
    InvalidRequest
        An argument or environment variable is wrong.
    """
    env = os.environ if env is None else env
    merged: dict[str, Any] = {}
    for path in reversed(_files(cwd)):
        _merge(merged, _read(path))
    _merge(merged, _overrides({key: env.get(f"RUNCTL_{key.upper()}") or None for key in _ARGUMENTS}))
    _merge(merged, _overrides({key: arguments.get(key) for key in _ARGUMENTS}))
    target = merged.get("target", "sandbox")
    if target not in get_args(TargetName):
        close = difflib.get_close_matches(str(target), get_args(TargetName), 1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise InvalidRequest(f"There is no target {target!r}.", hint + "Targets are sandbox, aws and local.")
    return Settings.model_validate(merged)


_ARGUMENTS = ("target", "profile", "region", "bucket", "prefix", "project_root")


def _overrides(given: Mapping[str, str | None]) -> dict[str, Any]:
    """Arrange flat names the way the file nests them."""
    present = {key: value for key, value in given.items() if value is not None}
    aws = {key: present.pop(key) for key in ("profile", "region", "bucket") if key in present}
    return {**present, "aws": aws} if aws else dict(present)


def user_file() -> Path:
    """Return where a person's own settings lie, below those of every project."""
    return config_dir() / "config.toml"


def _files(cwd: Path) -> list[Path]:
    """Return configuration files, the nearest first."""
    found = []
    for folder in (cwd, *cwd.parents):
        if (folder / FILE_NAME).is_file():
            found.append(folder / FILE_NAME)
            break
    user = user_file()
    return [*found, user] if user.is_file() else found


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        parsed = tomllib.loads(text)
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be read: {error.strerror}.", "Make it readable or remove it.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{path} is not valid TOML: {error}.", "Mend that line, or remove the file.") from error
    try:
        Settings.model_validate(parsed)
    except ValidationError as error:
        raise _explain(path, text, error) from error
    root = parsed.get("project_root")
    if root is not None:
        parsed["project_root"] = str((path.parent / root).resolve())
    return parsed


def _explain(path: Path, text: str, error: ValidationError) -> ConfigInvalid:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    place = f"{path}, line {_line(text, location)}"
    name = ".".join(location)
    if first["type"] == "extra_forbidden":
        known = _keys(location[:-1])
        close = difflib.get_close_matches(location[-1], known, 1)
        advice = f"Did you mean {close[0]!r}?" if close else f"Known here: {', '.join(known)}."
        return ConfigInvalid(f"{place}: there is no setting {name!r}.", advice)
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    return ConfigInvalid(f"{place}: {name} = {first['input']!r} is wrong: {message}.", "Mend that line.")


def _keys(location: list[str]) -> list[str]:
    table: type[BaseModel] = Settings
    for part in location:
        annotation = table.model_fields[part].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            table = annotation
    return list(table.model_fields)


def _line(text: str, location: list[str]) -> int:
    """Return the line where `location` is set; tomllib gives no places, so look for it the way a person does."""
    *tables, key = location
    inside: list[str] = []
    best = 1
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line):
            inside = [part.strip().strip("\"'") for part in header[1].split(".")]
            if inside == location:
                return number
        elif match := re.match(r"\s*[\"']?([\w.-]+)[\"']?\s*=", line):
            dotted = [*inside, *match[1].split(".")]
            if dotted == location:
                return number
            if not tables and match[1] == key:
                best = number
    return best


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value
