"""The end of a log on one display, replaced as lines come: a cell that follows must not grow without end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from runctl_jupyter.display.log_text import Tail
from runctl_jupyter.orchestration.units import size_text

if TYPE_CHECKING:
    from IPython.core.display_functions import DisplayHandle

_PAUSE_S = 0.25


class LogPane:
    """Shows the last `lines` lines."""

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._tail = Tail(lines)
        self._handle: DisplayHandle | None = None
        self._painted = 0.0
        self._late: threading.Timer | None = None
        self._lock = threading.Lock()

    def follow(self, log: Iterable[bytes]) -> None:
        """Show `log` until it ends."""
        from IPython.display import display

        self._handle = display(self._bundle(), raw=True, display_id=True)  # type: ignore[no-untyped-call]  # IPython
        try:
            for chunk in log:
                self._tail.feed(chunk)
                self._paint_soon()
        finally:
            self._paint()

    def _paint_soon(self) -> None:
        """Paint, or see to it that the last lines of a burst are painted when its pause is over."""
        if time.monotonic() - self._painted >= _PAUSE_S:
            self._paint()
        elif self._late is None or not self._late.is_alive():
            self._late = threading.Timer(_PAUSE_S, self._paint)
            self._late.daemon = True
            self._late.start()

    def _paint(self) -> None:
        with self._lock:
            self._painted = time.monotonic()
            if self._handle is not None:
                self._handle.update(self._bundle(), raw=True)  # type: ignore[no-untyped-call]  # IPython

    def _bundle(self) -> dict[str, str]:
        lines = self._tail.text_lines()
        shown = sum(len(line.encode()) + 1 for line in lines)
        if self._tail.bytes_seen > shown and len(lines) >= self._lines:
            lines.insert(
                0, f"… the last {self._lines} lines of {size_text(self._tail.bytes_seen)}; %runctl logs has it all"
            )
        return {"text/plain": "\n".join(lines)}
