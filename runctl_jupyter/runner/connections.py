"""Kept-alive HTTP connections, one for each thread.

`http.client` reads no proxy settings, which is what the link-local metadata service and loopback endpoints need.
"""

from __future__ import annotations

import http.client
import os
import threading
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Optional, Union
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl

Body = Union[bytes, IO[bytes]]

_BLOCK = 1 << 20  # http.client's own 8 KiB would cost a system call for each 8 KiB of a checkpoint


class Connections:
    """Connections to one server.

    Parameters
    ----------
    base_url
        ``http://`` or ``https://`` with host and, if need be, port; a path is ignored.
    timeout_s
        Seconds a connect or a single read or write may take.
    """

    def __init__(self, base_url: str, timeout_s: float) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an http(s) URL: {base_url!r}")
        self._secure = parts.scheme == "https"
        self._hostname = parts.hostname
        self._port = parts.port
        self._timeout_s = timeout_s
        self._local = threading.local()
        self._context: Optional[ssl.SSLContext] = None
        self._context_lock = threading.Lock()
        self.host = parts.netloc.rpartition("@")[2]
        """As the ``Host`` header names it."""

    def send(self, method: str, target: str, headers: Mapping[str, str], body: Body = b"") -> http.client.HTTPResponse:
        """Send a request; the caller reads the answer to its end, or calls `discard`.

        Raises
        ------
        OSError, http.client.HTTPException
            No answer came; whether the server acted is unknown.
        """
        connection = self._connection()
        try:
            connection.request(method, target, body=body, headers=dict(headers))
        except (BrokenPipeError, ConnectionResetError):
            # A server may refuse a large body before it has read it: its answer is the better news.
            if isinstance(body, bytes):
                raise
        return connection.getresponse()

    def discard(self) -> None:
        """Close this thread's connection: it failed or has an unread answer."""
        connection: Optional[http.client.HTTPConnection] = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _connection(self) -> http.client.HTTPConnection:
        connection: Optional[http.client.HTTPConnection] = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._open()
            self._local.connection = connection
        return connection

    def _open(self) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._hostname, self._port, timeout=self._timeout_s, blocksize=_BLOCK)
        import ssl

        with self._context_lock:  # reading the authorities takes longer than a connection; once is enough
            if self._context is None:
                self._context = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or None)
        return http.client.HTTPSConnection(
            self._hostname, self._port, timeout=self._timeout_s, blocksize=_BLOCK, context=self._context
        )
