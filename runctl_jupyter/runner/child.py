"""A program with everything it starts: watched until it exits, and ended as a whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Callable, Optional

from runctl_jupyter.runner.journal import Journal, StartedScript
from runctl_jupyter.runner.output_pipe import OutputPipe
from runctl_jupyter.runner.processes import Process, descendants, reap, send, start_time
from runctl_jupyter.runner.stops import StopSignal

LEFTOVER_GRACE_S = 5.0
"""For what a script leaves behind when it has ended by itself."""
_LOOK_S = 0.02
_PIPE_PATIENCE_S = 5.0
_UNKNOWN_EXIT_AFTER_S = 5.0
_NEVER_BEGUN = 249
# `read` fails when the runner is killed before it opens the gate. `true`, because a special builtin such as `:` would
# end the shell where the disk is full.
_GATE = f'read -r _ || exit {_NEVER_BEGUN}; true > "$0"; exec "$@" < /dev/null'


class Program:
    """A program that runs; all processes of the job are taken for its own, so there must be one at a time."""

    def __init__(self, pid: int, output: OutputPipe, stop: StopSignal) -> None:
        self._pid = pid
        self._output = output
        self._stop = stop
        self._killed = False
        self._exited = threading.Event()
        self._return_code: Optional[int] = None
        threading.Thread(target=self._wait_for_exit, name="wait", daemon=True).start()

    @property
    def return_code(self) -> Optional[int]:
        """As `subprocess.Popen.returncode`: negative for a signal; None while it runs, or when nobody saw its end."""
        return self._return_code if self._exited.is_set() else None

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
            group = [process.pid for process in alive if process.group == self._pid]
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
        self._output.join(_PIPE_PATIENCE_S)

    def _alive(self) -> list[Process]:
        below = descendants()
        reap(process.pid for process in below if process.zombie and process.pid != self._pid)
        return [process for process in below if not process.zombie]

    def _signal_group(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._pid, number)
        except (ProcessLookupError, PermissionError):
            return  # gone meanwhile

    def _wait_for_exit(self) -> None:
        self._return_code = self._await_exit()
        self._exited.set()
        self._stop.poke()

    def _await_exit(self) -> Optional[int]:
        raise NotImplementedError


class ChildProcess(Program):
    """A program started here, in a session of its own.

    With a journal it waits at a gate until it is written down which process it is. Whenever this runner is killed, the
    next one therefore either knows the process, or knows that it has not begun.

    Parameters
    ----------
    output
        Where it prints; emptied from now on.
    note
        Writes down, given the process id, what a runner that comes after this one must know.
    journal
        Is told of the exit.

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
        output: OutputPipe,
        stop: StopSignal,
        journal: Optional[Journal] = None,
        note: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._journal = journal
        writing = output.open_for_writing()
        try:
            self._process = subprocess.Popen(
                list(argv) if journal is None else ["/bin/sh", "-c", _GATE, str(journal.begun), *argv],
                cwd=folder,
                env=dict(environ),
                stdin=subprocess.DEVNULL if journal is None else subprocess.PIPE,
                stdout=writing,
                stderr=writing,
                start_new_session=True,
            )
            if self._process.stdin is not None:
                with self._process.stdin as gate:
                    note(self._process.pid)
                    gate.write(b"\n")
        except BaseException:
            output.close()
            raise
        output.close_for_writing()
        output.start()
        super().__init__(self._process.pid, output, stop)

    def _await_exit(self) -> Optional[int]:
        if self._journal is not None and hasattr(os, "waitid"):
            # Its exit is written down before the kernel forgets it.
            found = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            if found is not None:
                code = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
                self._journal.note_exit(self._process.pid, code)
        return self._process.wait()


class AdoptedChild(Program):
    """The script that a runner before this one has started, and left when it was killed."""

    def __init__(self, script: StartedScript, *, output: OutputPipe, stop: StopSignal, journal: Journal) -> None:
        self._script = script
        self._journal = journal
        output.start()
        super().__init__(script.pid, output, stop)

    def wait_until_begun(self) -> bool:
        """Return whether the script has begun; False when it has exited at the gate, which its runner never opened."""
        while not self._stop.wait_for(lambda: self._exited.is_set() or self._journal.begun.exists(), _LOOK_S):
            continue
        return self._journal.begun.exists() or self.return_code != _NEVER_BEGUN

    def _await_exit(self) -> Optional[int]:
        """Wait for what the keeper, whose child it is now, or the former runner has noted."""
        gone_since: Optional[float] = None
        while True:
            code = self._journal.exit_of(self._pid)
            if code is not None:
                return code
            if start_time(self._pid) == self._script.start_time:
                gone_since = None
            elif gone_since is None:
                gone_since = time.monotonic()
            elif time.monotonic() - gone_since > _UNKNOWN_EXIT_AFTER_S:
                sys.stderr.write(f"nobody has seen how process {self._pid} ended\n")
                return None
            time.sleep(_LOOK_S)
