"""The panels of a kernel: one for each place, whatever the number of widgets, so that one poll serves them all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from runctl_jupyter.panels import Panels

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Job, Runctl

_panels: dict[str, Panels] = {}
_lock = threading.Lock()


def panels_of(rc: Runctl, launching: list[Job] | None = None) -> Panels:
    """Return what answers widgets that look at the place of `rc`.

    It asks through an engine of its own, which starts no sandbox: something that is merely shown must start nothing.

    Parameters
    ----------
    rc
        Launches, and says which place it is.
    launching
        Jobs whose launch is under way here, shared with the notebook's door.
    """
    key = f"{rc.cwd} {rc.settings!r}"
    with _lock:
        found = _panels.get(key)
        if found is None:
            found = _panels[key] = Panels(
                lambda place: _open(rc, place, start_sandbox=False),
                open_to_launch=lambda place: rc if place in (None, rc.place) else _open(rc, place, start_sandbox=True),
                launching=launching,
            )
        return found


def _open(rc: Runctl, place: str | None, *, start_sandbox: bool) -> Runctl:
    """Return a new engine for a place; None is that of `rc`."""
    from runctl_jupyter.orchestration import Runctl
    from runctl_jupyter.orchestration.places import open_place

    settings = rc.settings
    if place is None:
        aws = settings.aws
        return Runctl(
            settings.target,
            profile=aws.profile,
            region=aws.region,
            bucket=aws.bucket,
            prefix=settings.prefix,
            project_root=settings.project_root,
            cwd=rc.cwd,
            start_sandbox=start_sandbox,
        )
    return Runctl(**open_place(place), cwd=rc.cwd, start_sandbox=start_sandbox)
