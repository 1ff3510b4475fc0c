"""The command tree: verbs, flags, help, completion. Parses, calls Runctl, hands results to a door."""

from runctl_jupyter.commands.completion import candidates
from runctl_jupyter.commands.panel import PanelView
from runctl_jupyter.commands.references import Shown
from runctl_jupyter.commands.request import Choice, Door, Request
from runctl_jupyter.commands.results import (
    Detached,
    Interrupted,
    Launched,
    LogView,
    Place,
    Story,
    Text,
    Watched,
    require_success,
)
from runctl_jupyter.commands.tree import Outcome, invoke, runctl

__all__ = [
    "Choice", "Detached", "Door", "Interrupted", "Launched", "LogView", "Outcome", "PanelView", "Place", "Request",
    "Shown", "Story", "Text", "Watched", "candidates", "invoke", "require_success", "runctl",
]  # fmt: skip
