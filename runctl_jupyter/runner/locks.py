"""Turns between jobs on one machine: two that need the same thing bring it once."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

from runctl_jupyter.runner.stops import Stopped, StopSignal

_LOOK_S = 0.1


@contextmanager
def turn(lock: Path, stop: StopSignal, waits: Callable[[], None]) -> Iterator[None]:
    """Hold a lock that the kernel takes back when its holder dies.

    Parameters
    ----------
    lock
        File that stands for what is brought; made when it is not there.
    waits
        Called once when another job has the turn.

    Raises
    ------
    Stopped
        The job was told to end while it waited.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    waiting = False
    with lock.open("w") as held:
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if not waiting:
                    waiting = True
                    waits()
                if stop.wait_for(lambda: stop.reason is not None, _LOOK_S):
                    raise Stopped from None
        yield
