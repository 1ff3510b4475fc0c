"""The contract between engine and runner: names of objects, schemas, states. Depends on nothing.

Both sides import this package and nothing of each other. It runs on the machine with whatever
Python its image has, hence standard library only and Python 3.9 syntax.
"""

from __future__ import annotations

from runctl_jupyter.run_record.folder import FolderStore
from runctl_jupyter.run_record.layout import AttemptKeys, JobKeys, blob_key
from runctl_jupyter.run_record.measures import (
    GpuSample,
    MachineColumns,
    MachineSample,
    Measures,
    PhaseMark,
    Progress,
    SeriesColumns,
)
from runctl_jupyter.run_record.provenance import (
    DataFile,
    DataManifest,
    Provenance,
    RemoteFailure,
    ResolvedEnvironment,
    VariableSet,
)
from runctl_jupyter.run_record.schemas import (
    AttemptPlan,
    Cause,
    CheckpointFile,
    CheckpointManifest,
    Claim,
    CodeFile,
    CodeTree,
    EndRequest,
    JobSpec,
    LatestCheckpoint,
    Limits,
    MachineAsked,
    MachineOffer,
    Pacing,
    ResumeFrom,
    Status,
    StoredValue,
)
from runctl_jupyter.run_record.states import ATTEMPT_IS_KEPT, JobState
from runctl_jupyter.run_record.store import (
    NotFound,
    PreconditionFailed,
    RecordStore,
    StoredObject,
    StoreError,
)
from runctl_jupyter.run_record.times import from_iso, now, to_iso

__all__ = [
    "ATTEMPT_IS_KEPT",
    "AttemptKeys",
    "AttemptPlan",
    "Cause",
    "CheckpointFile",
    "CheckpointManifest",
    "Claim",
    "CodeFile",
    "CodeTree",
    "DataFile",
    "DataManifest",
    "EndRequest",
    "FolderStore",
    "GpuSample",
    "JobKeys",
    "JobSpec",
    "JobState",
    "LatestCheckpoint",
    "Limits",
    "MachineAsked",
    "MachineColumns",
    "MachineOffer",
    "MachineSample",
    "Measures",
    "NotFound",
    "Pacing",
    "PhaseMark",
    "PreconditionFailed",
    "Progress",
    "Provenance",
    "RecordStore",
    "RemoteFailure",
    "ResolvedEnvironment",
    "ResumeFrom",
    "SeriesColumns",
    "Status",
    "StoreError",
    "StoredObject",
    "StoredValue",
    "VariableSet",
    "blob_key",
    "from_iso",
    "now",
    "to_iso",
]
