"""Listing of buckets with many objects: a page costs one look at the names, not a sort of all objects.

moto collects and sorts every object of a prefix for every page: seconds for 100,000 of them, where S3 takes some
tens of milliseconds. A continuation token that was never given is refused, as by S3; moto fails on it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from moto.s3.exceptions import InvalidContinuationToken
from moto.s3.models import FakeDeleteMarker, S3Backend

from runctl_jupyter.sandbox.control.s3.response import SandboxS3Response


class SandboxS3Backend(S3Backend):  # type: ignore[misc]  # moto is not typed
    """moto's S3, with pages that are found quickly."""

    @property
    def url_paths(self) -> dict[str, Any]:
        """Who answers which path."""
        return {path: getattr(SandboxS3Response, handler.__name__) for path, handler in super().url_paths.items()}

    def create_multipart_upload(self, *args: Any, **kwargs: Any) -> Any:
        """Begin an upload in parts, and note when."""
        upload = super().create_multipart_upload(*args, **kwargs)
        upload.initiated = datetime.now(UTC)
        return upload

    def list_objects_v2(
        self,
        bucket: Any,
        prefix: str | None,
        delimiter: str | None,
        continuation_token: str | None,
        start_after: str | None,
        max_keys: int,
    ) -> tuple[Any, bool, str | None]:
        """Return keys and common prefixes of a page, whether there are more, and the token for them."""
        after = start_after or ""
        if continuation_token:
            known = self._pagination_tokens.get(continuation_token)
            if known is None:
                raise InvalidContinuationToken
            after = known
        names = {name for name in _names(bucket, prefix or "", delimiter) if name > after}
        page = heapq.nsmallest(max_keys + 1, names)
        start = len(prefix or "")
        found = [name if delimiter and delimiter in name[start:] else bucket.keys.get(name) for name in page]
        # One that was deleted a moment ago is no more.
        found = [each for each in found if each is not None]
        result: tuple[Any, bool, str | None] = self._truncate_result(found, max_keys)
        return result


def _names(bucket: Any, prefix: str, delimiter: str | None) -> Iterator[str]:
    """Yield the name of each object below a prefix, or of the common prefix it is in; some more than once."""
    versioned = bucket.versioning_status is not None
    # A copy: others write meanwhile.
    for name in list(bucket.keys.keys()):
        if not name.startswith(prefix):
            continue
        if versioned and isinstance(bucket.keys.get(name), FakeDeleteMarker):
            continue
        end = name.find(delimiter, len(prefix)) if delimiter else -1
        yield name if end < 0 else name[: end + len(delimiter or "")]
