"""Panels in notebooks without our Lab extension: anywidgets that ask the kernel, and a form that launches.

Imports nothing heavy by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runctl_jupyter.widgets.form import LaunchForm, launch_form
    from runctl_jupyter.widgets.job_card import JobCardWidget
    from runctl_jupyter.widgets.panel import PanelWidget, panel_view

__all__ = ["JobCardWidget", "LaunchForm", "PanelWidget", "launch_form", "panel_view"]

_HOMES = {
    "JobCardWidget": "job_card",
    "LaunchForm": "form",
    "PanelWidget": "panel",
    "launch_form": "form",
    "panel_view": "panel",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
