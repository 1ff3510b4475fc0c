"""The sandbox's end of a machine's first process: start programs, kill them, learn how they ended.

Run Command semantics are those of reference "How AWS-RunShellScript really executes" (amazon-ssm-agent source:
`shell` plugin and `executers` package): own process group, SIGKILL on timeout and cancel, and an execution that
ends only when both output pipes are closed.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from runctl_jupyter.sandbox.hosts.base import ScriptEnd, ScriptResult

KILLED = 137
"""Exit code after SIGKILL: 128 + 9."""
OUTPUT_KEPT = 16 << 20
"""Bytes kept of each output stream; the rest is read and dropped, so that a flood cannot fill the sandbox's memory."""


@dataclass(frozen=True)
class Program:
    """What the first process shall start, in its own view of the file system."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    working_directory: str
    files: Mapping[str, str] = field(default_factory=dict)
    """Executables to write first: path → text."""


class AgentLink:
    """Control connection to one machine's first process, from power on to power off."""

    def __init__(
        self, name: str, on_power_off: Callable[[AgentLink], None], on_agent_restart: Callable[[], None]
    ) -> None:
        """Make the connection; `on_power_off` gets this link, once, when the machine ends without `sever`.

        `on_agent_restart` is called each time somebody on the machine starts its SSM agent anew.
        """
        self._socket, self.guest_end = socket.socketpair()
        self._name = name
        self._on_power_off = on_power_off
        self._on_agent_restart = on_agent_restart
        self._ready = threading.Event()
        self._gone = threading.Event()
        self._lock = threading.Lock()
        self._exits: dict[str, Future[int | None]] = {}
        self.reboots = False
        """Whether the machine has ended in order to start again."""

    def listen(self) -> None:
        """Start to follow the first process, once it has its end of the connection."""
        self.guest_end.close()
        threading.Thread(target=self._follow, name=f"agent-{self._name}", daemon=True).start()

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until the machine can run programs; False when it ended first or the time is over."""
        return self._ready.wait(timeout_s) and not self._gone.is_set()

    @property
    def gone(self) -> bool:
        """Whether the machine has ended or is being ended."""
        return self._gone.is_set()

    def start(self, program: Program, stdout: int, stderr: int) -> tuple[str, Future[int | None]]:
        """Start `program`; the future gives its exit code, or None when the machine ended first.

        Returns
        -------
        tag, exit
            The tag is what `kill` takes.
        """
        tag = uuid.uuid4().hex
        exited: Future[int | None] = Future()
        request = {
            "op": "spawn",
            "tag": tag,
            "argv": list(program.argv),
            "env": dict(program.environment),
            "cwd": program.working_directory,
            "files": dict(program.files),
        }
        with self._lock:
            self._exits[tag] = exited
            self._send(request, [stdout, stderr])
        return tag, exited

    def kill(self, tag: str) -> None:
        """SIGKILL the program's process group."""
        with self._lock:
            self._send({"op": "kill", "tag": tag}, [])

    def forget(self, tag: str) -> None:
        """Say that the program is over: its group id may belong to someone else from now on."""
        with self._lock:
            self._send({"op": "forget", "tag": tag}, [])

    def sever(self) -> None:
        """Say that the machine is being ended from outside: what still runs ends as "machine gone"."""
        with self._lock:
            self._gone.set()
            waiting = [*self._exits.values()]
            self._exits.clear()
        self._ready.set()
        for exited in waiting:
            exited.set_result(None)

    def close(self) -> None:
        """Close the connection; a first process that is still there ends its machine."""
        self.sever()
        self.guest_end.close()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:  # the other end is closed already
            return

    def _send(self, request: Mapping[str, object], descriptors: Sequence[int]) -> None:
        if self._gone.is_set():
            self._fail(str(request["tag"]))
            return
        data = json.dumps(request).encode() + b"\n"
        try:
            sent = socket.send_fds(self._socket, [data], descriptors) if descriptors else 0
            self._socket.sendall(data[sent:])
        except OSError:  # the machine ended under our hands; its reader thread says so to everyone else
            self._fail(str(request["tag"]))

    def _fail(self, tag: str) -> None:
        if (exited := self._exits.pop(tag, None)) is not None:
            exited.set_result(None)

    def _follow(self) -> None:
        with self._socket.makefile("rb") as lines:
            try:
                for line in lines:
                    message = json.loads(line)
                    if message["event"] == "ready":
                        self._ready.set()
                    elif message["event"] == "exited":
                        with self._lock:
                            exited = self._exits.pop(message["tag"], None)
                        if exited is not None:
                            exited.set_result(message["code"])
                    elif message["event"] == "agent-restart":
                        self._on_agent_restart()
                    else:
                        self.reboots = message["event"] == "reboot"
                        break
            except ConnectionResetError:  # a first process that was killed leaves unread data behind
                pass
        ended_by_itself = not self._gone.is_set()
        self.sever()
        if ended_by_itself:
            self._on_power_off(self)
        self._socket.close()


class AgentScript:
    """One shell script in flight (`base.RunningScript`)."""

    def __init__(self, link: AgentLink, program: Program, timeout_s: float) -> None:
        self._link = link
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._killed_by: ScriptEnd | None = None
        self._result: Future[ScriptResult] = Future()
        stdout_read, stdout_write = os.pipe()
        stderr_read, stderr_write = os.pipe()
        try:
            self._tag, self._exited = link.start(program, stdout_write, stderr_write)
        finally:
            os.close(stdout_write)
            os.close(stderr_write)
        self._timer = threading.Timer(timeout_s, self._kill, [ScriptEnd.TIMED_OUT])
        self._timer.daemon = True
        self._timer.start()
        threading.Thread(target=self._collect, args=(stdout_read, stderr_read), daemon=True).start()

    def cancel(self) -> None:
        """SIGKILL the script's process group; no effect once it has ended."""
        self._kill(ScriptEnd.CANCELLED)

    def result(self) -> ScriptResult:
        """Block until the script has ended and its output pipes are closed."""
        return self._result.result()

    def _kill(self, reason: ScriptEnd) -> None:
        with self._lock:
            if self._result.done():
                return
            self._killed_by = self._killed_by or reason
            self._link.kill(self._tag)

    def _collect(self, stdout: int, stderr: int) -> None:
        kept = {stdout: bytearray(), stderr: bytearray()}
        with selectors.DefaultSelector() as selector:
            for stream in kept:
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                # The timeout only matters in plain mode, when a process that escaped its dead machine holds the pipe.
                events = selector.select(1.0)
                if not events and self._link.gone:
                    break
                for key, _ in events:
                    chunk = os.read(key.fd, 1 << 16)
                    if not chunk:
                        selector.unregister(key.fd)
                    kept[key.fd] += chunk[: OUTPUT_KEPT - len(kept[key.fd])]
        os.close(stdout)
        os.close(stderr)
        code = self._exited.result()
        self._timer.cancel()
        with self._lock:
            end = ScriptEnd.EXITED if self._killed_by is None else self._killed_by
            if code is None:
                end = ScriptEnd.MACHINE_GONE
            result = ScriptResult(
                end=end,
                exit_code=code if code is not None and end is ScriptEnd.EXITED else KILLED,
                stdout=kept[stdout].decode(errors="replace"),
                stderr=kept[stderr].decode(errors="replace"),
                elapsed_s=time.monotonic() - self._started,
            )
            self._link.forget(self._tag)
            self._result.set_result(result)


class NeverRan:
    """A script for a machine that is not running."""

    def cancel(self) -> None:
        """Nothing to cancel."""

    def result(self) -> ScriptResult:
        """End at once, as for a machine that died a moment later."""
        return ScriptResult(ScriptEnd.MACHINE_GONE, KILLED, "", "", 0.0)
