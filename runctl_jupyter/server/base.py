"""What all handlers share: who may ask, in which thread it is answered, and how a failure is said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_server.base.handlers import APIHandler

from runctl_jupyter.orchestration.errors import (
    AccountNotReady,
    AwsRefused,
    CheckpointUnreadable,
    ConfigInvalid,
    CredentialsMissing,
    InstanceBusy,
    InstanceNotFound,
    InstanceNotReady,
    InstanceProtected,
    InvalidRequest,
    JobNotFound,
    LaunchRefused,
    ObjectChanged,
    ObjectMissing,
    PermissionDenied,
    ProjectTooBig,
    RunctlError,
    StorageUnavailable,
    TargetUnavailable,
    WaitTimedOut,
)

if TYPE_CHECKING:
    from runctl_jupyter.panels import Panels

T = TypeVar("T")

AUTH_RESOURCE = "runctl"
"""What an authoriser of the server is asked about: ``read`` to look, ``write`` to do."""

_STATUSES: tuple[tuple[int, tuple[type[RunctlError], ...]], ...] = (
    (400, (InvalidRequest, ConfigInvalid, ProjectTooBig)),
    (403, (AccountNotReady, PermissionDenied)),
    (404, (InstanceNotFound, JobNotFound, ObjectMissing)),
    (409, (InstanceBusy, InstanceNotReady, InstanceProtected, LaunchRefused, ObjectChanged)),
    (422, (CheckpointUnreadable,)),
    (503, (AwsRefused, CredentialsMissing, StorageUnavailable, TargetUnavailable, WaitTimedOut)),
)


class PanelsHandler(APIHandler):
    """A handler that answers from the panels."""

    auth_resource = AUTH_RESOURCE
    # A panel that is merely open must not keep an idle server alive.
    _track_activity = False

    def initialize(self, panels: Callable[[], Panels], pool: ThreadPoolExecutor) -> None:
        """Take what all handlers share; `panels` is called in a thread, for at first it takes a while."""
        self.panels, self.pool = panels, pool

    def set_default_headers(self) -> None:
        """Let nobody keep an answer or guess what it is."""
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    async def in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        """Call something that blocks without holding up the server."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, partial(call, *arguments))

    async def answer(self, call: Callable[[], dict[str, Any]]) -> None:
        """Send what `call` returns, or why it could not."""
        try:
            found = await self.in_thread(call)
        except Exception as error:  # noqa: BLE001 - what nobody foresaw is logged by `explained`
            await self.refuse(error)
        else:
            # A lone surrogate in the name of an object would not encode: escaped, it travels.
            await self.finish(json.dumps(found))

    async def refuse(self, error: BaseException) -> None:
        """Send a failure in its two lines."""
        from runctl_jupyter.panels.troubles import explained

        self.set_status(status_of(error))
        await self.finish(json.dumps(explained(error)))


def status_of(error: BaseException) -> int:
    """Return the HTTP status that says the same as `error`."""
    return next((status for status, kinds in _STATUSES if isinstance(error, kinds)), 500)
