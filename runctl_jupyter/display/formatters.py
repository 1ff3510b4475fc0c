"""Teaches an IPython shell to show the engine's values. Costs nothing until one is shown.

Formatters are registered by name, so that installing them imports neither engine nor anything it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_MODEL = "runctl_jupyter.orchestration.model"
VALUES = (
    ("runctl_jupyter.orchestration.listing", "Listing"),
    (_MODEL, "Instance"),
    (_MODEL, "EndedInstance"),
    (_MODEL, "LaunchPlan"),
    (_MODEL, "StatusReport"),
    (_MODEL, "Checkpoint"),
    (_MODEL, "Transfer"),
    ("runctl_jupyter.orchestration.checkpoints.inside", "CheckpointInfo"),
    ("runctl_jupyter.orchestration.checkpoints.difference", "CheckpointDiff"),
    (_MODEL, "PruneReport"),
    ("runctl_jupyter.orchestration.resources.model", "ResourceSummary"),
    ("runctl_jupyter.orchestration.resources.model", "CleanupReport"),
    ("runctl_jupyter.orchestration.account.checkup", "DoctorReport"),
    ("runctl_jupyter.orchestration.account.setup", "SetupReport"),
    ("runctl_jupyter.orchestration.account.by_hand", "SetupByHand"),
    ("runctl_jupyter.orchestration.instances.processes", "MachineProcesses"),
    (_MODEL, "SyncReport"),
    ("runctl_jupyter.orchestration.costs.report", "CostReport"),
    ("runctl_jupyter.orchestration.jobs.provenance", "JobProvenance"),
    ("runctl_jupyter.orchestration.jobs.comparison", "JobComparison"),
)
LOG = ("runctl_jupyter.orchestration.jobs.log", "Log")
JOB = ("runctl_jupyter.orchestration.jobs.job", "Job")
_LOG_LINES = 2000
"""Lines of a log that a cell keeps; more would weigh the notebook down for ever."""

ShowJob = Callable[[Any], object]


def install(shell: InteractiveShell, show_job: ShowJob | None = None) -> None:
    """Register the formatters.

    Parameters
    ----------
    show_job
        Shows a Job itself, e.g. as a live card; without it a Job is shown as it is now.
    """
    formatter = shell.display_formatter
    if formatter is None:
        return
    for module, name in VALUES:
        formatter.mimebundle_formatter.for_type_by_name(module, name, _value_bundle)
    formatter.mimebundle_formatter.for_type_by_name(*LOG, _log_bundle)
    formatter.mimebundle_formatter.for_type_by_name(*JOB, _job_bundle)
    if show_job is not None:
        formatter.ipython_display_formatter.for_type_by_name(*JOB, show_job)


def remove(shell: InteractiveShell) -> None:
    """Forget the formatters."""
    formatter = shell.display_formatter
    if formatter is None:
        return
    for key in (*VALUES, LOG, JOB):
        for registry in (formatter.mimebundle_formatter, formatter.ipython_display_formatter):
            # A by-name entry moves to the types once one was seen: `pop` with a string finds either.
            registry.pop(".".join(key), None)


def _value_bundle(value: Any, **_: object) -> dict[str, str]:
    from runctl_jupyter.display.values import notebook_bundle

    return notebook_bundle(value)


def _log_bundle(log: Any, **_: object) -> dict[str, str]:
    lines = log.text().splitlines()
    left_out = len(lines) - _LOG_LINES
    if left_out > 0:
        lines = [
            f"… {left_out:,} earlier lines left out here; --tail N, or .text() and .read(), give any part",
            *lines[-_LOG_LINES:],
        ]
    return {"text/plain": "\n".join(lines) or "No output yet."}


def _job_bundle(job: Any, **_: object) -> dict[str, str]:
    from runctl_jupyter.display.card import card_bundle
    from runctl_jupyter.display.job_snapshot import snapshot

    return card_bundle(snapshot(job))
