"""What is kept of a job besides its running: where it came from, what it ran with, what it brought back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from runctl_jupyter.run_record.documents import SCHEMA, Document
from runctl_jupyter.run_record.schemas import StoredValue


@dataclass(frozen=True)
class DataFile(Document):
    """A file of ``RUNCTL_DATA_DIR`` and the object it came from."""

    path: str
    size: int
    etag: str


@dataclass(frozen=True)
class DataManifest(Document):
    """What ``--data-s3`` brought."""

    uri: str
    files: list[DataFile] = field(default_factory=list)


@dataclass(frozen=True)
class VariableSet(Document):
    """The variables an attempt brought back, and why others could not be."""

    values: list[StoredValue] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RemoteFailure(Document):
    """The exception that ended a cell's script."""

    type: str
    """With its module, e.g. ``builtins.ValueError``."""
    message: str
    traceback: str
    line: Optional[int] = None
    """Line of the cell's file that raised, or called what raised."""
    source: str = ""
    """Text of that line."""


@dataclass(frozen=True)
class Provenance(Document):
    """Where a job came from: written by the client that launched it."""

    cell: Optional[str] = None
    """Source of the notebook cell."""
    git_commit: Optional[str] = None
    git_branch: Optional[str] = None
    git_remote: Optional[str] = None
    """Without credentials."""
    git_diff: Optional[str] = None
    """SHA-256 of the blob that holds what differs from the commit; None when nothing does."""
    client: dict[str, str] = field(default_factory=dict)
    """Versions of what launched it: ``runctl-jupyter``, ``python``, ``platform``."""
    image_id: Optional[str] = None
    schema: int = SCHEMA


@dataclass(frozen=True)
class ResolvedEnvironment(Document):
    """What the script ran with, as found on the machine."""

    python: str
    executable: str
    platform: str
    packages: dict[str, str] = field(default_factory=dict)
    """Distributions and versions the script could import."""
    image_id: Optional[str] = None
    instance_type: Optional[str] = None
    schema: int = SCHEMA
