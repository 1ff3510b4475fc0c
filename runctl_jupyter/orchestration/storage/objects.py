"""What a browser of objects needs: a level, page by page, and parts of an object; of a bucket or of a local record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.model import ObjectEntry, ObjectPage, PrefixEntry
from runctl_jupyter.orchestration.storage.bucket import BucketStore
from runctl_jupyter.orchestration.storage.folder import ListableFolder
from runctl_jupyter.orchestration.storage.store import ObjectPart
from runctl_jupyter.orchestration.storage.uris import S3Uri, as_prefix

MOST_IN_PAGE = 1000
"""Entries that S3 gives at once (S3 API reference, "ListObjectsV2")."""

ListLevel = Callable[[str, str, "str | None", str, int], ObjectPage]
"""Lists a level of a bucket: bucket, prefix, token, how names begin, limit."""


class Objects(Protocol):
    """Objects by their addresses."""

    def page(self, uri: str, token: str | None, prefix_filter: str, limit: int) -> ObjectPage:
        """Return a page of a level; see `Storage.page`."""

    def part(self, uri: str, start: int, end: int) -> ObjectPart:
        """Read bytes `start` to `end` of an object, or as many of them as there are; raises `NotFound`."""


class BucketObjects:
    """Objects of any bucket that the credentials reach.

    Parameters
    ----------
    open_bucket
        Returns the store of a bucket.
    list_level
        Lists a level of a bucket.
    """

    def __init__(self, open_bucket: Callable[[str], BucketStore], list_level: ListLevel) -> None:
        self._open, self._list_level = open_bucket, list_level

    def page(self, uri: str, token: str | None, prefix_filter: str, limit: int) -> ObjectPage:
        """Return a page of a level; see `Storage.page`."""
        address = S3Uri.parse(uri)
        return self._list_level(address.bucket, as_prefix(address.key), token, prefix_filter, limit)

    def part(self, uri: str, start: int, end: int) -> ObjectPart:
        """Read a part of an object; see `Objects.part`."""
        address = S3Uri.parse(uri)
        return self._open(address.bucket).get_part(address.key, start, end)


class FolderObjects:
    """What lies in a record that is a folder; addresses are paths in it, and an empty one is the folder.

    Parameters
    ----------
    store
        The record.
    """

    def __init__(self, store: ListableFolder) -> None:
        self._store = store

    def page(self, uri: str, token: str | None, prefix_filter: str, limit: int) -> ObjectPage:
        """Return a page of a level; its token is the last name of the page before."""
        parent = self._key(uri)
        prefix = f"{parent}/" if parent else ""
        below, objects = self._store.children(parent)
        entries: list[PrefixEntry | ObjectEntry] = [PrefixEntry(n, self._store.uri_of(f"{prefix}{n}/")) for n in below]
        for each in objects:
            name = each.key.rpartition("/")[2]
            entries.append(ObjectEntry(name, self._store.uri_of(each.key), each.size, each.last_modified))
        wanted = [e for e in entries if e.name.startswith(prefix_filter) and (token is None or e.name > token)]
        wanted.sort(key=lambda entry: entry.name)
        here = wanted[:limit]
        return ObjectPage(
            uri=self._store.uri_of(prefix),
            prefixes=[each for each in here if isinstance(each, PrefixEntry)],
            objects=[each for each in here if isinstance(each, ObjectEntry)],
            next=here[-1].name if len(wanted) > limit else None,
        )

    def part(self, uri: str, start: int, end: int) -> ObjectPart:
        """Read a part of an object; see `Objects.part`."""
        return self._store.get_part(self._key(uri), start, end)

    def _key(self, uri: str) -> str:
        """Return the key of an address, without a slash at its end."""
        root = self._store.uri
        if uri.rstrip("/") in ("", root):
            return ""
        key = uri.removeprefix(f"{root}/").rstrip("/")
        try:
            self._store.path(key)
        except ValueError as error:
            raise InvalidRequest(
                f"{uri!r} does not lie in the record of target local.", f"See what does: {root}"
            ) from error
        return key
