"""The engine: launches, follows, stores, prices. Knows AWS and jobs; knows nothing of Jupyter."""

from __future__ import annotations

from runctl_jupyter.orchestration import errors
from runctl_jupyter.orchestration.checkpoints.catalogue import Checkpoints
from runctl_jupyter.orchestration.config import Settings, parse_duration
from runctl_jupyter.orchestration.errors import RunctlError
from runctl_jupyter.orchestration.instances.instances import Instances
from runctl_jupyter.orchestration.jobs.job import Job
from runctl_jupyter.orchestration.jobs.jobs import Jobs
from runctl_jupyter.orchestration.jobs.log import Log
from runctl_jupyter.orchestration.listing import Column, Listing, text_table
from runctl_jupyter.orchestration.model import (
    Checkpoint,
    Instance,
    LaunchPlan,
    StatusReport,
    StorageObject,
    Transfer,
)
from runctl_jupyter.orchestration.runctl import Runctl
from runctl_jupyter.orchestration.storage.storage import Storage
from runctl_jupyter.run_record import JobState

__all__ = [
    "Checkpoint",
    "Checkpoints",
    "Column",
    "Instance",
    "Instances",
    "Job",
    "JobState",
    "Jobs",
    "LaunchPlan",
    "Listing",
    "Log",
    "Runctl",
    "RunctlError",
    "Settings",
    "StatusReport",
    "Storage",
    "StorageObject",
    "Transfer",
    "errors",
    "parse_duration",
    "text_table",
]
