"""S3 objects on disk: every write is there before it is answered, and all are back after a restart.

moto keeps objects in memory and forgets them at exit. After each write request this module copies the object's
bytes to a file, makes moto read them from there (which also keeps memory small) and records its attributes.
Writers of one key take turns, so that of two conditional writes one wins.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from moto.s3.models import FakeKey, s3_backends

from runctl_jupyter.sandbox.control.requests.protocol_errors import ServiceError
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID, BUCKET, REGION
from runctl_jupyter.sandbox.control.store import StateStore

_STRIPES = 64
_CONFLICT = "The conditional request cannot succeed due to a conflicting operation against this resource."
T = TypeVar("T")
_PLAIN_ATTRIBUTES = (
    "checksum_algorithm", "checksum_value", "checksum_type", "checksum_parts", "encryption", "kms_key_id",
    "bucket_key_enabled", "website_redirect_location", "lock_mode", "lock_legal_status", "lock_until",
)  # fmt: skip


class StoredBody:
    """The bytes of an object in a file, as the file object that moto expects; opened only while it is read."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self._size = size
        self._position = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        """Set the position, as `io.IOBase.seek`."""
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def tell(self) -> int:
        """Give the position."""
        return self._position

    def read(self, count: int = -1) -> bytes:
        """Read from the position on."""
        with self.path.open("rb") as file:
            file.seek(self._position)
            content = file.read(count)
        self._position += len(content)
        return content

    def close(self) -> None:
        """Nothing is held open."""


class Turn:
    """The turn of one writer of a key at a time; readers need none, and can tell whether a writer was at work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.version = 0
        """Odd while somebody writes."""

    def __enter__(self) -> None:
        self._lock.acquire()
        self.version += 1

    def __exit__(self, *_: object) -> None:
        self.version += 1
        self._lock.release()

    def read(self, look: Callable[[], T]) -> T:
        """Return what `look` finds, looked up again in a turn of its own when somebody has written meanwhile."""
        before = self.version
        found = look()
        if before % 2 or self.version != before:
            # moto shows an object before it has its metadata; S3 shows a write whole or not at all.
            with self:
                found = look()
        return found


class ObjectJournal:
    """Keeps the objects of the account's buckets on disk."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._turns = [Turn() for _ in range(_STRIPES)]
        self._writers: Counter[tuple[str, str]] = Counter()
        self._counting = threading.Lock()

    @property
    def _backend(self) -> Any:
        return s3_backends[ACCOUNT_ID]["aws"]

    def turn(self, bucket: str, key: str) -> Turn:
        """Give the turn of the writers of a key."""
        return self._turns[hash((bucket, key)) % _STRIPES]

    @contextmanager
    def writing(self, bucket: str, key: str, *, conditional: bool) -> Iterator[None]:
        """Write a key, in turn.

        Raises
        ------
        ServiceError
            ``ConditionalRequestConflict``: a write with a condition while another write of the same key is under way
            (S3 User Guide, "Conditional requests").
        """
        place = (bucket, key)
        with self._counting:
            if conditional and self._writers[place]:
                raise ServiceError("ConditionalRequestConflict", _CONFLICT, 409)
            self._writers[place] += 1
        try:
            with self.turn(bucket, key):
                yield
        finally:
            with self._counting:
                self._writers[place] -= 1
                if not self._writers[place]:
                    del self._writers[place]

    def region_of(self, bucket: str) -> str | None:
        """Region of a bucket of this account."""
        found = self._backend.buckets.get(bucket)
        return None if found is None else str(found.region_name)

    def upload_is_open(self, bucket: str, upload_id: str) -> bool:
        """Whether a multipart upload can go on; those of before a restart cannot, their parts are lost."""
        return bucket in self._backend.buckets and upload_id in self._backend.buckets[bucket].multiparts

    def restore(self) -> list[str]:
        """Bring all objects back into moto; says what was lost."""
        self._store.sweep_bodies()
        lost = 0
        for stored in self._store.objects():
            if stored.bucket not in self._backend.buckets:
                lost += 1
                continue
            self._backend.buckets[stored.bucket].keys.setlist(
                stored.key, [self._restored(stored.bucket, stored.key, stored.body, stored.attributes)]
            )
        return [f"{lost} S3 objects of other buckets than {BUCKET}"] if lost else []

    def _restored(self, bucket: str, name: str, body: Path, attributes: dict[str, Any]) -> Any:
        key = FakeKey(
            name=name, value=b"", account_id=ACCOUNT_ID, region_name=REGION, bucket_name=bucket,
            storage=attributes["storage_class"], etag=attributes["etag"], version_id="null",
        )  # fmt: skip
        _attach(key, body, body.stat().st_size)
        key.last_modified = datetime.fromisoformat(attributes["last_modified"])
        key.set_metadata(dict(attributes["metadata"]), replace=False)
        for attribute in _PLAIN_ATTRIBUTES:
            setattr(key, attribute, attributes[attribute])
        if attributes["tags"]:
            self._backend.tagger.tag_resource(key.arn, attributes["tags"])
        return key

    def record(self, bucket: str, name: str) -> None:
        """After a write request: bring the disk to what moto has now for this key."""
        key = self._backend.buckets[bucket].keys.get(name) if bucket in self._backend.buckets else None
        if not isinstance(key, FakeKey):
            self._store.delete_object(bucket, name)
            return
        buffer = key._value_buffer  # noqa: SLF001 - moto has no other way to replace where the bytes lie
        if isinstance(buffer, StoredBody):
            body = buffer.path
        else:
            etag = key.etag  # computed from the bytes while they are at hand
            key._etag = etag.strip('"')  # noqa: SLF001
            content = key.value
            body = self._store.write_body(content)
            _attach(key, body, len(content))
        self._store.save_object(bucket, name, body, self._attributes(key))

    def record_bucket(self, bucket: str) -> None:
        """After a request that removed several keys: forget what moto no longer has."""
        keys = self._backend.buckets[bucket].keys if bucket in self._backend.buckets else {}
        for name in self._store.object_keys(bucket):
            if name not in keys:
                self._store.delete_object(bucket, name)

    def _attributes(self, key: Any) -> dict[str, Any]:
        return {
            "etag": key.etag.strip('"'),
            "storage_class": key.storage_class,
            "last_modified": key.last_modified.isoformat(),
            "metadata": dict(key.metadata),
            "tags": self._backend.tagger.list_tags_for_resource(key.arn)["Tags"],
            **{attribute: getattr(key, attribute) for attribute in _PLAIN_ATTRIBUTES},
        }


def _attach(key: Any, body: Path, size: int) -> None:
    before: BinaryIO = key._value_buffer  # noqa: SLF001
    with key.lock:
        key._value_buffer = StoredBody(body, size)  # noqa: SLF001
        key.contentsize = size
    before.close()
