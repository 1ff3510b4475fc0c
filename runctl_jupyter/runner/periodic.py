"""Something done again and again in a thread of its own."""

from __future__ import annotations

import sys
import threading
import traceback
from typing import Callable


class Periodic:
    """Calls `action` at once, then every `period_s`, and whenever it is kicked.

    Waits by the monotonic clock, so that a jump of the wall clock does not matter. An error of `action` is
    written to the runner's own log and the next call is made all the same: a watch that ends in silence
    would be worse than one that errs.
    """

    def __init__(self, name: str, period_s: Callable[[], float], action: Callable[[], None]) -> None:
        self._period_s = period_s
        self._action = action
        self._kicked = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def kick(self) -> None:
        """Make the next call now."""
        self._kicked.set()

    def stop(self, timeout_s: float = 0.0) -> bool:
        """Make no further call; wait up to `timeout_s` for one under way. Returns whether it is over."""
        self._stopping = True
        self._kicked.set()
        if timeout_s and self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping:
            self._kicked.clear()
            try:
                self._action()
            except Exception:  # noqa: BLE001 - reported, and tried again
                traceback.print_exc(file=sys.stderr)
            if not self._stopping:
                self._kicked.wait(self._period_s())
