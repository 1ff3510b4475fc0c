"""Trying again: how long to wait, and for how long at all."""

from __future__ import annotations

import random
import time
from typing import Callable, Optional, TypeVar

from runctl_jupyter.run_record import NotFound, PreconditionFailed, StoreError

T = TypeVar("T")


class Backoff:
    """Growing pauses with full jitter (AWS architecture blog, "Exponential Backoff And Jitter").

    Parameters
    ----------
    first_s, most_s
        Upper bound in seconds of the first pause and of every later one.
    """

    def __init__(self, first_s: float = 0.1, most_s: float = 5.0) -> None:
        self._bound_s = first_s
        self._most_s = most_s

    def next(self) -> float:
        """Return the seconds to wait now."""
        bound = self._bound_s
        self._bound_s = min(self._most_s, bound * 2)
        return random.uniform(bound / 10, bound)  # noqa: S311 - not a secret


def persist(
    action: Callable[[], T], *, until: float, pause: Callable[[float], bool], until_refused: Optional[float] = None
) -> T:
    """Do `action` until the store takes it.

    Parameters
    ----------
    until
        `time.monotonic` after which the last error is raised.
    pause
        Waits for seconds; returns True to stop trying, and the last error is raised.
    until_refused
        The same as `until` for errors that trying again hardly helps against; `until` by default.

    Raises
    ------
    NotFound, PreconditionFailed
        At once: facts, that no waiting changes.
    StoreError
        The store failed to the end.
    """
    backoff = Backoff()
    while True:
        try:
            return action()
        except (NotFound, PreconditionFailed):
            raise
        except StoreError as error:
            last = until if error.transient or until_refused is None else until_refused
            if time.monotonic() >= last or pause(backoff.next()):
                raise
