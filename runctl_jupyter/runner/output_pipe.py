"""The pipe a program prints into, and the thread that empties it."""

from __future__ import annotations

import fcntl
import os
import sys
import termios
import threading
import time
import traceback
from pathlib import Path
from typing import Callable, Optional

_READ_BYTES = 1 << 16
_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ, _F_GETPIPE_SZ = 1031, 1032  # linux/fcntl.h
_SMALLEST_PIPE_BYTES = 1 << 14
_STEADY_S = 0.01
_FIRST_GATHER_S, _LONGEST_GATHER_S = 0.01, 0.05
"""Output that is waited for no longer than `_STEADY_S` comes steadily. It is gathered, for a wake-up costs more than a
line: a thousand lines a second are read twenty times, but a table of ten lines is not kept waiting."""
_AFTER_ERROR_S = 1.0
_BURST_BYTES_S = 20e6
"""A program that suddenly prints as fast as this still finds room in its pipe."""

Take = Callable[[int], bool]
"""Takes what waits in a pipe; returns False when there will be no more."""


class OutputPipe:
    """What a program prints, standard output and error in one, so that the order of lines is kept.

    Parameters
    ----------
    take
        Called whenever something waits.
    path
        A FIFO, which another process holds open too; None for a pipe of this process's own.
    """

    def __init__(self, take: Take, path: Optional[Path] = None) -> None:
        self._take = take
        self.writing: Optional[int]
        if path is None:
            self._reading, self.writing = os.pipe()
        else:
            make_fifo(path)
            self._reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.set_blocking(self._reading, True)
            self.writing = None
        self._path = path
        self._thread = threading.Thread(target=self._empty, name="output", daemon=True)

    def open_for_writing(self) -> int:
        """Return the end that the program gets."""
        if self.writing is None:
            if self._path is None:
                raise AssertionError("the writing end was closed already")
            self.writing = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        _widen(self.writing)
        return self.writing

    def close_for_writing(self) -> None:
        """Leave the writing end to the program: the pipe ends when nobody has it any more."""
        if self.writing is not None:
            os.close(self.writing)
            self.writing = None

    def close(self) -> None:
        """Give up a pipe that was never read."""
        self.close_for_writing()
        os.close(self._reading)

    def start(self) -> None:
        """Begin to empty it."""
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait until it has ended and is empty."""
        self._thread.join(timeout_s)

    def _empty(self) -> None:
        capacity = _capacity(self._reading)
        plenty = capacity // 4
        longest_s = max(_FIRST_GATHER_S, min(_LONGEST_GATHER_S, capacity / _BURST_BYTES_S))
        gather_s = _FIRST_GATHER_S
        with os.fdopen(self._reading, "rb", buffering=0):
            while True:
                asked = time.monotonic()
                try:
                    if not self._take(self._reading):
                        return
                except Exception:  # noqa: BLE001 - a script must not be stopped by a pipe that nobody empties
                    traceback.print_exc(file=sys.stderr)
                    time.sleep(_AFTER_ERROR_S)
                if time.monotonic() - asked > _STEADY_S:
                    gather_s = _FIRST_GATHER_S
                elif _waiting(self._reading) < plenty:
                    time.sleep(gather_s)
                    gathered = _waiting(self._reading)
                    if gathered < plenty // 2:
                        gather_s = min(2 * gather_s, longest_s)
                    elif gathered >= plenty:
                        gather_s /= 2


def make_fifo(path: Path) -> None:
    """Make a FIFO, if there is none yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        os.mkfifo(path, 0o600)


def into(write: Callable[[bytes], None]) -> Take:
    """Return a `Take` that reads and hands over."""

    def take(pipe: int) -> bool:
        data = os.read(pipe, _READ_BYTES)
        if data:
            write(data)
        return bool(data)

    return take


def _waiting(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4), sys.byteorder)


def _capacity(pipe: int) -> int:
    try:
        return fcntl.fcntl(pipe, _F_GETPIPE_SZ)
    except OSError:
        return _SMALLEST_PIPE_BYTES


def _widen(pipe: int) -> None:
    """Let the pipe hold 1 MiB where that is possible: a script that prints in bursts is held up less."""
    try:
        fcntl.fcntl(pipe, _F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:
        return  # not on this system, or over the user's limit
