"""Adds the routes to a Jupyter server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_server.utils import url_path_join

from runctl_jupyter.panels import Panels
from runctl_jupyter.server.download import DownloadHandler
from runctl_jupyter.server.events import EventsHandler
from runctl_jupyter.server.requests import ActHandler, QueryHandler

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

    from runctl_jupyter.orchestration import Runctl

ROUTE = "runctl-jupyter"
_THREADS = 24
"""Questions, deeds and downloads under way at the same time, of all pages together."""


def load(server: ServerApp) -> None:
    """Add the routes: panels of all pages of this server share one `Panels`."""
    folder = Path(server.root_dir)
    panels = Panels(
        lambda place: _engine(place, folder, start_sandbox=False),
        open_to_launch=lambda place: _engine(place, folder, start_sandbox=True),
        folder=lambda: folder,
    )
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="runctl-server")
    add_routes(server, panels, pool)


def add_routes(server: ServerApp, panels: Panels, pool: ThreadPoolExecutor) -> None:
    """Let `server` answer with `panels`, in the threads of `pool`."""
    base = url_path_join(server.web_app.settings["base_url"], ROUTE)
    shared = {"panels": panels, "pool": pool}
    server.web_app.add_handlers(  # type: ignore[no-untyped-call]  # tornado has not annotated it
        ".*$",
        [
            (url_path_join(base, "query", "([a-z]+)"), QueryHandler, shared),
            (url_path_join(base, "act", "([a-z]+)"), ActHandler, shared),
            (url_path_join(base, "download"), DownloadHandler, shared),
            (url_path_join(base, "events"), EventsHandler, shared),
        ],
    )


def _engine(place: str | None, folder: Path, *, start_sandbox: bool) -> Runctl:
    from runctl_jupyter.orchestration import Runctl
    from runctl_jupyter.orchestration.places import open_place

    arguments = {} if place is None else open_place(place)
    return Runctl(**arguments, cwd=folder, start_sandbox=start_sandbox)
