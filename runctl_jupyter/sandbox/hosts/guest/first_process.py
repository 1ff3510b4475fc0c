"""First process of a sandbox machine: init and SSM agent in one, single-threaded, standard library only.

It starts what the sandbox asks for over one control socket, reaps every orphan of the machine, and listens
on a FIFO for ``shutdown``. When the sandbox process disappears (end of file on the socket) the machine ends.

Messages are JSON lines. To here: ``spawn`` (with two file descriptors: stdout, stderr), ``kill`` and ``forget``.
From here: ``ready``, ``exited``, ``poweroff``, ``reboot``, ``agent-restart``.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

PR_SET_CHILD_SUBREAPER = 36
"""From linux/prctl.h: orphaned descendants become our children, so that none can leave the machine."""


def adopt_orphans() -> None:
    """Become the reaper of every descendant (Linux; elsewhere the sandbox finds them by environment)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def parents_by_pid() -> dict[int, int]:
    """Parent of every process that can be seen."""
    table: dict[int, int] = {}
    if Path("/proc/self/stat").exists():
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text(errors="replace")
                except OSError:  # ended meanwhile
                    continue
                table[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
        return table
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    for line in listing.stdout.splitlines():
        pid, parent = line.split()
        table[int(pid)] = int(parent)
    return table


def descendants() -> list[int]:
    """Every living descendant of this process."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents_by_pid().items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    queue = [os.getpid()]
    while queue:
        for child in children.get(queue.pop(), []):
            found.append(child)
            queue.append(child)
    return found


def exec_program(request: dict[str, Any], stdout: int, stderr: int) -> NoReturn:
    """Turn the freshly forked child into the requested program; never returns."""
    try:
        os.setpgid(0, 0)  # as the agent does: a cancel reaches the group, what calls setsid survives
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        if os.getppid() == 1:
            Path("/proc/self/oom_score_adj").write_text("0")  # the first process is protected, its children are not
        os.chdir(request["cwd"])
        os.execvpe(request["argv"][0], request["argv"], request["env"])  # noqa: S606 (the agent starts the shell itself)
    except OSError as error:
        os.write(2, f"{error.filename}: {error.strerror}\n".encode())
    finally:
        os._exit(1)


class FirstProcess:
    """The loop of a machine's first process."""

    def __init__(self, control: socket.socket, power_fifo: int) -> None:
        self._control = control
        self._power_fifo = power_fifo
        self._received = b""
        self._descriptors: list[int] = []
        self._tag_of: dict[int, str] = {}
        self._group_of: dict[str, int] = {}
        self._power_off_at: float | None = None
        self._last_word = "poweroff"

    def run(self) -> None:
        """Serve until the sandbox is gone."""
        wake_read, wake_write = os.pipe()
        for descriptor in (wake_read, wake_write):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            for source in (self._control, self._power_fifo, wake_read):
                selector.register(source, selectors.EVENT_READ)
            self._say(event="ready")
            while True:
                left = None if self._power_off_at is None else max(0.0, self._power_off_at - time.monotonic())
                for key, _ in selector.select(left):
                    if key.fileobj is self._control and not self._serve_control():
                        return
                    if key.fd == self._power_fifo:
                        self._serve_power()
                    if key.fd == wake_read:
                        os.read(wake_read, 4096)
                self._reap()
                if self._power_off_at is not None and time.monotonic() >= self._power_off_at:
                    self._power_off_at = None
                    self._say(event=self._last_word)

    def _say(self, **message: object) -> None:
        try:
            self._control.sendall(json.dumps(message).encode() + b"\n")
        except BrokenPipeError:  # the sandbox is gone: the next read sees the end of file and ends the loop
            self._power_off_at = None

    def _serve_control(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, 1 << 16, 16)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        self._descriptors += descriptors
        if not data:
            return False
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if request["op"] == "spawn":
                self._spawn(request)
            elif request["op"] == "kill":
                self._kill(request["tag"])
            else:
                self._group_of.pop(request["tag"], None)
        return True

    def _spawn(self, request: dict[str, Any]) -> None:
        stdout, stderr = self._descriptors[:2]
        del self._descriptors[:2]
        try:
            for path, text in request["files"].items():
                target = Path(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, errors="surrogateescape")
                target.chmod(0o700)
            pid = os.fork()
            if pid == 0:
                exec_program(request, stdout, stderr)
            self._tag_of[pid] = request["tag"]
            self._group_of[request["tag"]] = pid
        except OSError as error:  # a full disk or too many processes: this program fails, the machine lives on
            os.write(stderr, f"{error}\n".encode())
            self._say(event="exited", tag=request["tag"], code=1)
        finally:
            os.close(stdout)
            os.close(stderr)

    def _kill(self, tag: str) -> None:
        """SIGKILL the group, also when its leader has ended and others of it hold its output open."""
        group = self._group_of.get(tag)
        if group is None:
            return
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            self._group_of.pop(tag)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            tag = self._tag_of.pop(pid, None)
            if tag is not None:
                code = os.waitstatus_to_exitcode(status)
                self._say(event="exited", tag=tag, code=code if code >= 0 else 128 - code)

    def _serve_power(self) -> None:
        """Take the last word of ``shutdown``: ``off`` or ``reboot`` and the seconds until then, or ``cancel``."""
        for word in os.read(self._power_fifo, 4096).decode().split():
            if word == "agent-restart":
                self._say(event=word)
                continue
            what, _, seconds = word.partition(":")
            self._last_word = "reboot" if what == "reboot" else "poweroff"
            self._power_off_at = None if word == "cancel" else time.monotonic() + float(seconds)


def main() -> None:
    """Run the machine until it is powered off or the sandbox is gone."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--control-fd", type=int, required=True)
    arguments.add_argument("--power-fifo", type=Path, required=True)
    options = arguments.parse_args()
    control = socket.socket(fileno=options.control_fd)
    control.set_inheritable(False)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if os.getpid() == 1:
        with contextlib.suppress(PermissionError):  # without CAP_SYS_RESOURCE it stays the smallest process, at least
            Path("/proc/self/oom_score_adj").write_text("-1000")
    else:
        adopt_orphans()
    options.power_fifo.unlink(missing_ok=True)
    os.mkfifo(options.power_fifo, 0o600)
    # Read and write: the FIFO then never reports end of file when a writer leaves.
    FirstProcess(control, os.open(options.power_fifo, os.O_RDWR | os.O_NONBLOCK)).run()
    if os.getpid() == 1:
        return  # the kernel kills the rest of the namespace
    while left := [pid for pid in descendants() if pid != os.getpid()]:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break


if __name__ == "__main__":
    main()
