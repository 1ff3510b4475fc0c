"""A level of a bucket, or all below a prefix, as a stream: the first rows are there before the last are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from runctl_jupyter.orchestration.model import StorageObject
from runctl_jupyter.orchestration.storage.bucket import BucketStore
from runctl_jupyter.orchestration.storage.listed import ListedObject

_PAGE = 1000


def everything(store: BucketStore, prefix: str) -> Iterator[StorageObject]:
    """Yield all objects under `prefix`."""
    return (_row(store, found) for found in store.walk(prefix))


def one_level(store: BucketStore, prefix: str) -> Iterator[StorageObject]:
    """Yield what lies directly under `prefix`: prefixes first, as far as they are among the first thousand names."""
    # S3 gives a level page by page, the library only all of it. A level without another below it, the only kind that
    # has many thousand objects as a rule, is the same as everything below.
    stream, start = store.walk(prefix), len(prefix)
    last = ""
    while page := list(islice(stream, _PAGE)):
        if any("/" in found.key[start:].rstrip("/") for found in page):
            yield from _level_at_once(store, prefix, after=last)
            return
        yield from (_row(store, found) for found in page if found.key[start:])
        last = page[-1].key


def _level_at_once(store: BucketStore, prefix: str, after: str) -> Iterator[StorageObject]:
    below, objects = store.children(prefix)
    for name in below:
        key = f"{prefix}{name}/"
        yield StorageObject(f"s3://{store.bucket}/{key}", key, None, None, is_prefix=True)
    yield from (_row(store, found) for found in objects if found.key > after and found.key[len(prefix) :])


def _row(store: BucketStore, found: ListedObject) -> StorageObject:
    return StorageObject(f"s3://{store.bucket}/{found.key}", found.key, found.size, found.last_modified)
