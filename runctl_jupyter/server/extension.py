"""Adds the routes to a Jupyter server."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_server.utils import url_path_join

from runctl_jupyter.server.download import DownloadHandler
from runctl_jupyter.server.events import EventsHandler
from runctl_jupyter.server.requests import ActHandler, QueryHandler

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

    from runctl_jupyter.orchestration import Runctl
    from runctl_jupyter.panels import Panels

ROUTE = "runctl-jupyter"
_THREADS = 24
"""Questions, deeds and downloads under way at the same time, of all pages together."""


class ServerPanels:
    """The panels that all pages of a server share, made when first asked for: its start does not wait for the engine.

    Parameters
    ----------
    folder
        The server's root.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._panels: Panels | None = None

    def __call__(self) -> Panels:
        """Return them."""
        with self._lock:
            if self._panels is None:
                from runctl_jupyter.panels import Panels

                self._panels = Panels(
                    lambda place: self._engine(place, start_sandbox=False),
                    open_to_launch=lambda place: self._engine(place, start_sandbox=True),
                    folder=lambda: self._folder,
                )
            return self._panels

    def _engine(self, place: str | None, *, start_sandbox: bool) -> Runctl:
        from runctl_jupyter.orchestration import Runctl
        from runctl_jupyter.orchestration.places import open_place

        arguments = {} if place is None else open_place(place)
        return Runctl(**arguments, cwd=self._folder, start_sandbox=start_sandbox)


def load(server: ServerApp) -> None:
    """Add the routes."""
    base = url_path_join(server.web_app.settings["base_url"], ROUTE)
    shared = {
        "panels": ServerPanels(Path(server.root_dir)),
        "pool": ThreadPoolExecutor(_THREADS, thread_name_prefix="runctl-server"),
    }
    server.web_app.add_handlers(  # type: ignore[no-untyped-call]  # tornado has not annotated it
        ".*$",
        [
            (url_path_join(base, "query", "([a-z]+)"), QueryHandler, shared),
            (url_path_join(base, "act", "([a-z]+)"), ActHandler, shared),
            (url_path_join(base, "download"), DownloadHandler, shared),
            (url_path_join(base, "events"), EventsHandler, shared),
        ],
    )
