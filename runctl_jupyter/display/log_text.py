"""The last lines of a log as text: progress bars collapsed, escape sequences removed, nothing unbounded."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LONGEST_LINE = 64 * 1024
"""Bytes kept of a line that does not end: a bar may redraw itself for hours without a newline."""
_LONGEST_PENDING = 16 << 20
"""Bytes waited for the end of a line before it is shown as far as it goes: not every log is text."""


class Tail:
    """Keeps the last `lines` lines of the bytes fed to it.

    Feeding costs little whatever the rate: bytes become text only when `text_lines` is called.
    """

    def __init__(self, lines: int) -> None:
        self._ended: deque[bytes] = deque(maxlen=lines)
        self._open = b""
        self.bytes_seen = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the log."""
        self.bytes_seen += len(data)
        *ended, last = (self._open + data).rsplit(b"\n", (self._ended.maxlen or 0) + 1)
        # rsplit left everything older in the first piece; only its last line may still be wanted.
        if ended:
            ended[0] = ended[0].rpartition(b"\n")[2]
        self._ended.extend(line[-_LONGEST_LINE:] for line in ended)
        self._open = last[-_LONGEST_LINE:]

    def text_lines(self, width: int | None = None) -> list[str]:
        """Return the lines as a terminal would show them, each cut to `width` characters."""
        raw = [*self._ended, self._open] if self._open else list(self._ended)
        shown = [visible_line(line) for line in raw[-(self._ended.maxlen or 0) :]]
        return [line if width is None or len(line) <= width else f"{line[: width - 1]}…" for line in shown]


def visible_line(line: bytes) -> str:
    """Return what a line without its newline looks like in the end: the last redraw, without escapes."""
    text = _last_redraw(line).decode("utf-8", "replace")
    return _CONTROLS.sub("", _ESCAPES.sub("", text)).expandtabs(4)


def collapsed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield whole lines as they end, each with only the last redraw of its progress bar."""
    pending = b""
    for chunk in chunks:
        *ended, pending = (pending + chunk).split(b"\n")
        # Redraws that are already over need not be kept until the newline comes.
        head, _, last = pending.rpartition(b"\r")
        pending = last or (head.rpartition(b"\r")[2] + b"\r" if head else pending)
        if ended:
            yield b"".join(_last_redraw(line) + b"\n" for line in ended)
        if len(pending) > _LONGEST_PENDING:
            yield _last_redraw(pending)
            pending = b""
    if pending:
        yield _last_redraw(pending)


def _last_redraw(line: bytes) -> bytes:
    return next((part for part in reversed(line.split(b"\r")) if part), b"")
