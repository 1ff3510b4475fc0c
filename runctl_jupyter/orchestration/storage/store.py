"""The store protocol of the engine: the record's, with listing and files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from runctl_jupyter.orchestration.storage.listed import ListedObject
from runctl_jupyter.run_record import RecordStore, StoredObject


@dataclass(frozen=True)
class ObjectHead:
    """What a store knows of an object without its bytes."""

    size: int
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class ObjectPart(StoredObject):
    """A part of an object: `data` is the part, `size` the whole's."""

    size: int = 0


class Store(RecordStore, Protocol):
    """A `RecordStore` that can be listed and moves files; a bucket or a folder."""

    @property
    def uri(self) -> str:
        """Address of the root, no slash at the end."""

    def uri_of(self, key: str) -> str:
        """Return the address of `key`."""

    def exists(self, key: str) -> bool:
        """Return whether there is such an object."""

    def head(self, key: str) -> ObjectHead:
        """Return size and metadata of an object; raises `NotFound`."""

    def get_part(self, key: str, start: int, end: int) -> ObjectPart:
        """Read bytes `start` to `end` of an object, or as many of them as there are; raises `NotFound`."""

    def children(self, prefix: str) -> tuple[list[str], list[ListedObject]]:
        """List one level under `prefix`: names of sub-prefixes, and objects."""

    def walk(self, prefix: str) -> Iterator[ListedObject]:
        """List every object under `prefix`."""

    def put_file(self, key: str, path: Path) -> int:
        """Upload a file and return the size the store says it has."""

    def get_file(self, key: str, path: Path) -> int:
        """Download to `path`, which appears only when whole; return its size."""

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; one that is not there is no error."""
