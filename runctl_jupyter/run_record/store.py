"""What the record needs of a store: read, write once, compare-and-swap. S3 and a folder both give it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Optional, Protocol


class StoreError(Exception):
    """The store could not do it; `transient` says whether trying again can help."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class NotFound(StoreError):
    """There is no such object."""


class PreconditionFailed(StoreError):
    """The object exists already, or has changed since it was read."""


@dataclass(frozen=True)
class StoredObject:
    """An object as read: `etag` is opaque and serves compare-and-swap."""

    data: bytes
    etag: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    modified: Optional[datetime] = None
    """When it was written, by the store's own clock; None when the store does not tell."""


class RecordStore(Protocol):
    """Reads and conditional writes of small objects (chunks and JSON)."""

    def get(self, key: str) -> StoredObject:
        """Read a whole object.

        Raises
        ------
        NotFound
            There is no such object.
        StoreError
            The store failed.
        """

    def put(
        self,
        key: str,
        data: bytes,
        *,
        create_only: bool = False,
        if_etag: Optional[str] = None,
        metadata: Optional[Mapping[str, str]] = None,
    ) -> str:
        """Write an object and return its etag.

        Parameters
        ----------
        create_only
            Write only if the key does not exist (S3: ``If-None-Match: *``).
        if_etag
            Write only if the object's etag still is this one (S3: ``If-Match``).

        Raises
        ------
        PreconditionFailed
            The condition did not hold.
        StoreError
            The store failed.
        """
