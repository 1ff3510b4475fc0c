"""A program with everything it starts: its output goes to the log, and it is ended as a whole."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Callable, Optional

from runctl_jupyter.runner.processes import Process, descendants, reap, send
from runctl_jupyter.runner.stops import StopSignal

LEFTOVER_GRACE_S = 5.0
"""For what a script leaves behind when it has ended by itself."""
_LOOK_S = 0.02
_READ_BYTES = 1 << 16
_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031  # linux/fcntl.h
_PIPE_PATIENCE_S = 5.0


class ChildProcess:
    """A program started in a session of its own.

    Its standard output and error are one pipe, so that the order of lines is kept. All descendants of the
    runner are taken for the program's, so there must be one such program at a time.

    Parameters
    ----------
    write
        Takes the output as it comes.
    stop
        Ends waiting; its time of grace bounds the end.

    Raises
    ------
    OSError
        The program could not be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        folder: Path,
        environ: Mapping[str, str],
        write: Callable[[bytes], None],
        stop: StopSignal,
    ) -> None:
        self._write = write
        self._stop = stop
        self._killed = False
        self._exited = threading.Event()
        reading, writing = os.pipe()
        _widen(writing)
        try:
            self._process = subprocess.Popen(
                list(argv),
                cwd=folder,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._reader = threading.Thread(target=self._read, args=(reading,), name="output", daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait_for_exit, name="wait", daemon=True).start()

    @property
    def return_code(self) -> Optional[int]:
        """As `subprocess.Popen.returncode`: negative for a signal; None while it runs."""
        return self._process.returncode if self._exited.is_set() else None

    @property
    def killed(self) -> bool:
        """Whether SIGKILL had to be used."""
        return self._killed

    def wait(self) -> bool:
        """Wait until it exits or is to be stopped; return whether it exited by itself."""
        self._stop.wait_for(lambda: self._exited.is_set() or self._stop.reason is not None)
        return self._stop.reason is None

    def end(self, before_kill: Callable[[], None] = lambda: None) -> None:
        """End the program and every descendant, and return when all are gone and the output is read.

        SIGTERM goes to the program's process group, and to what has left the group once the group is gone.
        What is there when the time of grace is over gets SIGKILL, after `before_kill`.
        """
        left_over_until = time.monotonic() + LEFTOVER_GRACE_S if self._exited.is_set() else float("inf")
        told_group = told_rest = False
        while True:
            alive = self._alive()
            if not alive:
                break
            group = [process.pid for process in alive if process.group == self._process.pid]
            if group and not told_group:
                told_group = True
                self._signal_group(signal.SIGTERM)
            if not group and not told_rest:
                told_rest = True
                send((process.pid for process in alive), signal.SIGTERM)
            if time.monotonic() >= min(left_over_until, self._stop.kill_at):
                if not self._killed:
                    before_kill()
                    self._killed = True
                send((process.pid for process in alive), signal.SIGKILL)
            time.sleep(_LOOK_S)
        self._exited.wait()
        self._reader.join(_PIPE_PATIENCE_S)

    def _alive(self) -> list[Process]:
        below = descendants()
        reap(process.pid for process in below if process.zombie and process.pid != self._process.pid)
        return [process for process in below if not process.zombie]

    def _signal_group(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # gone meanwhile

    def _wait_for_exit(self) -> None:
        self._process.wait()
        self._exited.set()
        self._stop.poke()

    def _read(self, reading: int) -> None:
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            while True:
                data = pipe.read(_READ_BYTES)
                if not data:
                    return
                self._write(data)


def _widen(pipe: int) -> None:
    """Let the pipe hold 1 MiB where that is possible: a script that prints in bursts is held up less."""
    try:
        fcntl.fcntl(pipe, _F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:
        return  # not on this system, or over the user's limit
