"""Objects and logs byte for byte, for whoever makes files of them."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.storage.uris import S3Uri

if TYPE_CHECKING:
    from runctl_jupyter.panels.handles import Handles


@dataclass(frozen=True)
class Download:
    """Bytes on their way."""

    name: str
    """Of the file."""
    size: int | None
    """Bytes in all; None when that is not known before."""
    chunks: Generator[bytes, None, None]
    """Not empty each; closed by who takes them."""


class Downloads:
    """Opens downloads.

    Parameters
    ----------
    handles
        How to reach the engine.
    """

    def __init__(self, handles: Handles) -> None:
        self._handles = handles

    def of_object(self, uri: str, place: str | None) -> Download:
        """Open an object.

        Raises
        ------
        InvalidRequest
            The address names none.
        ObjectMissing
            There is none.
        """
        name = S3Uri.parse(uri).key.rpartition("/")[2]
        if not name:
            raise InvalidRequest(f"{uri} names a folder.", "Download its objects one by one, or copy it from the menu.")
        with self._handles.engines.using(place) as rc:
            stream = rc.storage.stream(uri)
        return Download(name, stream.size, _not_empty(stream.chunks))

    def of_log(self, ref: str, place: str | None) -> Download:
        """Open a job's log as far as it goes.

        Raises
        ------
        JobNotFound
            There is no such job.
        """
        with self._handles.job(place, ref) as job:
            return Download(f"{job.name}-{job.id.rpartition('-')[2]}.log", None, _not_empty(job.logs()))


def _not_empty(chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
    yield from filter(None, chunks)
