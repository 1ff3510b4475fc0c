"""What an ``s3://`` address names: one object, or all below a prefix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Optional
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from runctl_jupyter.run_record import NotFound, StoreError, from_iso

if TYPE_CHECKING:
    from runctl_jupyter.runner.s3 import S3Store

_NO_DATE = "Thu, 01 Jan 1970 00:00:00 GMT"


@dataclass(frozen=True)
class S3Address:
    """An ``s3://`` address, taken apart."""

    bucket: str
    key: str = ""

    @classmethod
    def parse(cls, uri: str) -> S3Address:
        """Read an address; any character may stand in a key, so nothing of it is decoded.

        Raises
        ------
        ValueError
            It is none.
        """
        scheme, _, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise ValueError(f"not an s3:// address: {uri!r}")
        return cls(bucket, key)

    @property
    def name(self) -> str:
        """The last part: what a copy of it is called."""
        return PurePosixPath(self.key).name or self.bucket


@dataclass(frozen=True)
class ListedFile:
    """An object as S3 lists it; `etag` with its quotes, `modified` in whole seconds since 1970."""

    key: str
    size: int
    etag: str
    modified: int = 0


@dataclass(frozen=True)
class ListPage:
    """One answer of ListObjectsV2 (Amazon S3 API reference), asked for with ``encoding-type=url``."""

    files: list[ListedFile]
    next_token: Optional[str]

    @classmethod
    def of_answer(cls, document: bytes) -> ListPage:
        """Read an answer.

        Raises
        ------
        StoreError
            It is none.
        """
        try:
            root = ElementTree.fromstring(document)  # noqa: S314 - S3's own answer, over a signed request
            files = [
                ListedFile(
                    key=unquote_plus(_text(each, "Key")),
                    size=int(_text(each, "Size")),
                    etag=_text(each, "ETag"),
                    modified=int(from_iso(_text(each, "LastModified")).timestamp()),
                )
                for each in root.iterfind("{*}Contents")
            ]
        except (ElementTree.ParseError, ValueError) as error:
            raise StoreError(f"S3's list of objects cannot be read: {error}", transient=True) from error
        more = _text(root, "IsTruncated") == "true"
        return cls(files, _text(root, "NextContinuationToken") if more else None)


def unfinished_uploads(document: bytes) -> list[tuple[str, str]]:
    """Return key and id of each upload in an answer of ListMultipartUploads, asked for with ``encoding-type=url``.

    Raises
    ------
    StoreError
        It is none.
    """
    try:
        root = ElementTree.fromstring(document)  # noqa: S314 - S3's own answer, over a signed request
    except ElementTree.ParseError as error:
        raise StoreError(f"S3's list of uploads cannot be read: {error}", transient=True) from error
    return [(unquote_plus(_text(each, "Key")), _text(each, "UploadId")) for each in root.iterfind("{*}Upload")]


def find_objects(store: S3Store, key: str) -> Iterator[tuple[str, ListedFile]]:
    """Find what `key` means in a store: the object of this name, else all below it as a folder.

    Yields
    ------
    tuple
        Path relative to the folder that the files are brought to, and the object.

    Raises
    ------
    StoreError
        S3 failed or refused.
    """
    if key and not key.endswith("/"):
        try:
            headers = store.call("HEAD", key).headers
        except NotFound:
            key += "/"  # never half a name: `data` does not bring `database/x`
        else:
            modified = int(parsedate_to_datetime(headers.get("last-modified", _NO_DATE)).timestamp())
            found = ListedFile(key, int(headers.get("content-length", "0")), headers.get("etag", ""), modified)
            yield key.rpartition("/")[2], found
            return
    for listed in store.list(key):
        # Consoles make an object "folder/" for an empty folder.
        if listed.size or not listed.key.endswith("/"):
            yield listed.key[len(key) :], listed


def _text(element: ElementTree.Element, name: str) -> str:
    return element.findtext(f"{{*}}{name}") or ""
