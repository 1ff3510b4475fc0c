"""Awaitable twins of transfers: they run in a thread, and a cancelled one has ended when it says so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from runctl_jupyter.orchestration.storage.crew import Cancelled

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.storage.crew import OnProgress, Progress

P = ParamSpec("P")
R = TypeVar("R")


def awaitable(transfer: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Return the twin of a method that takes `on_progress`, which is called in the loop's thread then."""

    @wraps(transfer)
    async def twin(*args: P.args, **kwargs: P.kwargs) -> R:
        loop, stop = asyncio.get_running_loop(), threading.Event()
        on_progress = cast("OnProgress | None", kwargs.pop("on_progress", None))

        def tick(progress: Progress) -> None:
            # In the thread that waits for the transfer: what is raised here ends it in good order.
            if stop.is_set():
                raise Cancelled
            if on_progress is not None:
                loop.call_soon_threadsafe(on_progress, progress)

        kwargs["on_progress"] = tick
        task = asyncio.ensure_future(asyncio.to_thread(partial(transfer, *args, **kwargs)))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            stop.set()
            with suppress(Cancelled):
                await task
            raise

    return twin
