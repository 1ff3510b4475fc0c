"""The runner's parent: so small that it outlives the runner, and so near that nothing is lost when the runner dies.

It holds the reading end of the script's output, so that the script does not die with the runner (conmon and
containerd's shim are made for the same reason); the kernel gives it the runner's orphans, so that their exit codes
are not lost; and it starts the next runner, which adopts the script.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Callable, Optional

from runctl_jupyter.runner.journal import Journal
from runctl_jupyter.runner.output_pipe import make_fifo
from runctl_jupyter.runner.processes import become_subreaper, call_this, kept_by

MOST_RESTARTS = 5
"""A runner that is killed more often is told to end the job: something on this machine does not want it."""
_PAUSE_S = 0.2
_LOCK = "keeper.lock"

Work = Callable[[int], int]
"""Runs the attempt in a process of its own; is told how many runners came before, returns the exit code."""


class AlreadyKept(Exception):
    """A keeper of this attempt lives on this machine."""


class Keeper:
    """Keeps one attempt's runner alive.

    Parameters
    ----------
    base
        The attempt's folder.
    pipe
        Path of the script's output, a FIFO.

    Raises
    ------
    AlreadyKept
        Another keeper has it.
    OSError
        The folder cannot be used.
    """

    def __init__(self, base: Path, pipe: Path) -> None:
        base.mkdir(parents=True, exist_ok=True)
        self._lock = (base / _LOCK).open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyKept(str(base)) from error
        self._journal = Journal(base)
        make_fifo(pipe)
        # Not a byte is read here; but as long as somebody could read, the script may write.
        self._output = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._runner: Optional[int] = None

    def keep(self, work: Work) -> int:
        """Start a runner, another one whenever it is killed, and return the exit code of the one that ended."""
        become_subreaper()
        call_this("runctl-keeper")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda told, _: self._pass_on(told))
        restarts = 0
        self._start(work, restarts)
        while True:
            pid, status = os.waitpid(-1, 0)
            code = _return_code(status)
            if pid != self._runner:
                self._journal.note_exit(pid, code)
            elif code >= 0:
                return code
            else:
                sys.stderr.write(f"the runner was ended by signal {-code}; starting another\n")
                restarts += 1
                time.sleep(_PAUSE_S)  # whoever ends runners in a loop shall not make this one
                self._start(work, restarts)

    def _start(self, work: Work, restarts: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        keeper = os.getpid()
        pid = os.fork()
        if pid:
            self._runner = pid
            return
        try:
            kept_by(keeper)
            call_this("runctl-runner")
            os.close(self._output)
            # The lock is the keeper's: with it the runner, and through it the script, would hold it for ever.
            self._lock.close()
            code = work(restarts)
        except BaseException:  # noqa: BLE001 - nothing may return into the keeper's own code
            traceback.print_exc(file=sys.stderr)
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    def _pass_on(self, number: int) -> None:
        if self._runner is not None:
            try:
                os.kill(self._runner, number)
            except ProcessLookupError:
                return  # it is just being replaced; the next one is asked again by whoever insists


def is_kept(base: Path) -> bool:
    """Return whether a keeper of the attempt with this folder lives on this machine."""
    try:
        with (base / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # there is no such file: none has ever been, or whoever starts one will be told why it cannot be
    return False


def _return_code(status: int) -> int:
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
