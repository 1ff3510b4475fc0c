"""What a launch form offers: scripts of the project, machine types with prices, and what it may come to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration import parse_duration
from runctl_jupyter.orchestration.costs.prices import known_types
from runctl_jupyter.orchestration.errors import InvalidRequest, RunctlError
from runctl_jupyter.orchestration.storage.project import project_files
from runctl_jupyter.orchestration.units import duration_text, money_text, rate_text

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Runctl
    from runctl_jupyter.panels import Panels


@dataclass(frozen=True)
class Machine:
    """A machine type on offer."""

    name: str
    label: str
    price_per_hour: float | None
    price_source: str = ""
    """Where that is from, and how old it is."""


def scripts_of(rc: Runctl) -> list[str]:
    """Return the Python scripts that would travel with a job, relative to where the user is; the nearest first.

    Raises
    ------
    RunctlError
        The project cannot be read, or is too big to travel.
    """
    root = rc.cwd / Path(rc.settings.project_root or ".").expanduser()
    paths = [Path(file.absolute) for file in project_files(root, rc.settings.sync) if file.path.endswith(".py")]
    # As strings: a path of `pathlib` cannot go up before Python 3.12.
    scripts = [Path(os.path.relpath(path, rc.cwd)).as_posix() for path in paths if path.name != "__init__.py"]
    return sorted(scripts, key=lambda script: (script.count("/"), script))


def machines_of(panels: Panels) -> tuple[list[Machine], RunctlError | None]:
    """Return the machine types, and why their prices are not known if they are not."""
    try:
        types = panels.query("types")["types"]
    except RunctlError as error:
        return [Machine(name, name, None) for name in known_types()], error
    return [
        Machine(each["name"], _label(each), each["price_per_hour"], each.get("price_source") or "") for each in types
    ], None


def bill_text(price_per_hour: float | None, ttl: str, default_ttl_s: float, max_cost: str) -> str:
    """Return the price per hour, and the most that the job can come to."""
    if price_per_hour is None:
        return "Price unknown."
    try:
        seconds = parse_duration(ttl) if ttl else default_ttl_s
        cap = float(max_cost) if max_cost else None
    except (InvalidRequest, ValueError):
        # What is wrong with it is said when it is launched.
        return f"{rate_text(price_per_hour)}."
    at_the_end = price_per_hour * seconds / 3600
    if cap is not None and cap < at_the_end:
        return f"{rate_text(price_per_hour)}, at most {money_text(cap)}: then it is ended."
    return f"{rate_text(price_per_hour)}, at most {money_text(at_the_end)}: it is ended after {duration_text(seconds)}."


def _label(machine: dict[str, Any]) -> str:
    gpus = machine["gpus"]
    parts = [
        machine["name"],
        f"{gpus} GPU{'s' if gpus > 1 else ''}" if gpus else "",
        f"{machine['vcpus']} vCPU" if machine["vcpus"] else "",
        f"{machine['memory_gib']:g} GiB" if machine["memory_gib"] else "",
        rate_text(machine["price_per_hour"]) if machine["price_per_hour"] is not None else "price unknown",
    ]
    return " · ".join(part for part in parts if part)
