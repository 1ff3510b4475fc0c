"""The engine: launches, follows, stores, prices. Knows AWS and jobs; knows nothing of Jupyter.

Names are loaded when they are first asked for (PEP 562): the terminal imports `errors` for every line, and
``runctl --help`` must not pay for boto3, pydantic and obstore.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import errors
    from runctl_jupyter.orchestration.checkpoints.catalogue import Checkpoints
    from runctl_jupyter.orchestration.checkpoints.difference import CheckpointDiff
    from runctl_jupyter.orchestration.checkpoints.inside import CheckpointInfo, TensorInfo
    from runctl_jupyter.orchestration.config import Settings, parse_duration
    from runctl_jupyter.orchestration.costs.report import CostReport
    from runctl_jupyter.orchestration.errors import RunctlError
    from runctl_jupyter.orchestration.instances.instances import Instances
    from runctl_jupyter.orchestration.jobs.comparison import JobComparison
    from runctl_jupyter.orchestration.jobs.job import Job
    from runctl_jupyter.orchestration.jobs.jobs import Jobs
    from runctl_jupyter.orchestration.jobs.log import Log
    from runctl_jupyter.orchestration.jobs.provenance import JobProvenance
    from runctl_jupyter.orchestration.listing import Column, Listing, text_table
    from runctl_jupyter.orchestration.model import (
        Checkpoint,
        Instance,
        LaunchPlan,
        ObjectEvent,
        PruneReport,
        StatusReport,
        StorageObject,
        SyncReport,
        Transfer,
    )
    from runctl_jupyter.orchestration.resources.model import CleanupReport, Resource, ResourceSummary
    from runctl_jupyter.orchestration.runctl import Runctl
    from runctl_jupyter.orchestration.storage.options import S3Options
    from runctl_jupyter.orchestration.storage.storage import Storage
    from runctl_jupyter.run_record import JobState

_HOMES = {
    "checkpoints.catalogue": ("Checkpoints",),
    "checkpoints.difference": ("CheckpointDiff",),
    "checkpoints.inside": ("CheckpointInfo", "TensorInfo"),
    "config": ("Settings", "parse_duration"),
    "costs.report": ("CostReport",),
    "errors": ("RunctlError",),
    "instances.instances": ("Instances",),
    "jobs.job": ("Job",),
    "jobs.jobs": ("Jobs",),
    "jobs.comparison": ("JobComparison",),
    "jobs.log": ("Log",),
    "jobs.provenance": ("JobProvenance",),
    "listing": ("Column", "Listing", "text_table"),
    "model": (
        "Checkpoint",
        "Instance",
        "LaunchPlan",
        "ObjectEvent",
        "PruneReport",
        "StatusReport",
        "StorageObject",
        "SyncReport",
        "Transfer",
    ),
    "resources.model": ("CleanupReport", "Resource", "ResourceSummary"),
    "runctl": ("Runctl",),
    "storage.options": ("S3Options",),
    "storage.storage": ("Storage",),
}
_MODULE_OF = {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names}
_MODULE_OF["JobState"] = "runctl_jupyter.run_record"

__all__ = [
    "Checkpoint",
    "CheckpointDiff",
    "CheckpointInfo",
    "Checkpoints",
    "CleanupReport",
    "Column",
    "CostReport",
    "Instance",
    "Instances",
    "Job",
    "JobComparison",
    "JobProvenance",
    "JobState",
    "Jobs",
    "LaunchPlan",
    "Listing",
    "Log",
    "ObjectEvent",
    "PruneReport",
    "Resource",
    "ResourceSummary",
    "Runctl",
    "RunctlError",
    "S3Options",
    "Settings",
    "StatusReport",
    "Storage",
    "StorageObject",
    "SyncReport",
    "TensorInfo",
    "Transfer",
    "errors",
    "parse_duration",
    "text_table",
]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module(f"{__name__}.errors")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = found
    return found
