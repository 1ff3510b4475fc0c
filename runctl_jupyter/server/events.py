"""What is followed, over a WebSocket: one for each page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.websocket import WebSocketHandler

from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.server.base import AUTH_RESOURCE

if TYPE_CHECKING:
    from runctl_jupyter.panels import Feed, Panels

_TAKEN = ("subscribe", "unsubscribe")
"""Looking only: what changes the world goes over HTTP, where XSRF is checked and ``write`` is asked for."""
_MOST_BYTES = 64 << 10
_MESSAGE_BYTES = 2_000_000
"""This connection carries nothing else: twice what a script of 100,000 lines a second prints meanwhile, so that a page
that was busy for a moment catches up."""


class EventsHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """``GET events``: a `Feed`."""

    auth_resource = AUTH_RESOURCE
    _track_activity = False
    _feed: Feed | None = None
    _gone = False

    def initialize(self, panels: Callable[[], Panels], pool: ThreadPoolExecutor) -> None:
        """Take what all handlers share."""
        self.panels, self.pool = panels, pool

    @ws_authenticated
    @authorized
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Become a WebSocket."""
        await super().get(*args, **kwargs)

    def get_compression_options(self) -> dict[str, Any]:
        """Compress: rows and logs say the same things again and again."""
        return {"compression_level": 1, "mem_level": 5}

    @property
    def max_message_size(self) -> int:
        """Return how large a message of a page may be."""
        return _MOST_BYTES

    async def open(self, *args: str, **kwargs: str) -> None:
        """Begin to carry messages; tornado takes none before this is done."""
        super().open(*args, **kwargs)
        loop = asyncio.get_running_loop()

        def send(message: dict[str, Any]) -> None:
            # Waits until the page has taken it: that is what makes the feed join what comes meanwhile.
            text = json.dumps(message)
            asyncio.run_coroutine_threadsafe(self._write(text), loop).result()

        self._feed = await loop.run_in_executor(self.pool, self._begin, send)
        if self._gone:
            self._let_go()

    def _begin(self, send: Callable[[dict[str, Any]], None]) -> Feed:
        from runctl_jupyter.panels import Feed

        return Feed(self.panels(), send, message_bytes=_MESSAGE_BYTES)

    async def on_message(self, message: str | bytes) -> None:
        """Take a message of the page; the next one waits until this one is dealt with."""
        try:
            said = json.loads(message)
            if not isinstance(said, dict) or said.get("type") not in _TAKEN or self._feed is None:
                raise InvalidRequest("This is no message of a view.", "Reload the page.")
            await asyncio.get_running_loop().run_in_executor(self.pool, self._feed.receive, said)
        except (ValueError, InvalidRequest) as error:
            self.log.warning("runctl-jupyter: a page sent what it should not: %s", error)
            self.close(1008, "not understood")

    def on_close(self) -> None:
        """Follow nothing any more."""
        self._gone = True
        self._let_go()
        super().on_close()

    def _let_go(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            # It takes locks that a thread may hold for a moment.
            self.pool.submit(feed.close)

    async def _write(self, text: str) -> None:
        await self.write_message(text)
