"""Objects and logs as files for a browser."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import TYPE_CHECKING
from urllib.parse import quote

import tornado.web
from jupyter_server.auth.decorator import authorized
from tornado.iostream import StreamClosedError

from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.server.base import PanelsHandler

if TYPE_CHECKING:
    from runctl_jupyter.panels.downloads import Download

_END = b""


class DownloadHandler(PanelsHandler):
    """``GET download?uri=<s3 address>&place=<id>`` or ``GET download?log=<job>&place=<id>``."""

    @property
    def content_security_policy(self) -> str:
        """Whatever a browser makes of the bytes, it runs nothing in our name."""
        return f"{super().content_security_policy}; sandbox"

    @tornado.web.authenticated
    @authorized
    async def get(self) -> None:
        """Send the bytes as they come."""
        uri, log = self.get_query_argument("uri", None), self.get_query_argument("log", None)
        place = self.get_query_argument("place", None)
        try:
            if (uri is None) == (log is None):
                raise InvalidRequest("A download is of an object or of a log.", "Give one of uri and log.")
            download = await self.in_thread(self._open, uri, log, place)
            # What cannot be read is said as long as nothing has been sent.
            first = await self.in_thread(next, download.chunks, _END)
        except Exception as error:  # noqa: BLE001 - what nobody foresaw is logged by `explained`
            await self.refuse(error)
            return
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Disposition", _disposition(download.name))
        if download.size is not None:
            self.set_header("Content-Length", str(download.size))
        await self._send(first, download.chunks)

    def _open(self, uri: str | None, log: str | None, place: str | None) -> Download:
        downloads = self.panels().downloads
        return downloads.of_log(log or "", place) if uri is None else downloads.of_object(uri, place)

    async def _send(self, chunk: bytes, chunks: Generator[bytes, None, None]) -> None:
        try:
            while chunk:
                self.write(chunk)
                await self.flush()
                chunk = await self.in_thread(next, chunks, _END)
        except StreamClosedError:
            return
        except Exception:
            self.log.exception("runctl-jupyter: a download ended early")
            # Not `finish`: a browser must see that the file is not whole.
            self.detach().close()
            return
        finally:
            await self.in_thread(chunks.close)
        await self.finish(set_content_type="application/octet-stream")


def _disposition(name: str) -> str:
    """Return the header for a file name (RFC 6266): plain for old browsers, exact for the others."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
