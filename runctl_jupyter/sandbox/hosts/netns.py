"""Network namespaces without names: each lives as long as a descriptor, socket or process in it.

Nothing is left in ``/run/netns`` when the sandbox crashes. Python gets ``os.setns`` and ``os.unshare`` only in 3.12.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

CLONE_NEWNET = 0x40000000
T = TypeVar("T")


def _call(function: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def _in_own_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread that ends at once: a namespace belongs to a thread, and no other may notice."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(work).result()


class NetworkNamespace:
    """A network namespace that this process holds open."""

    def __init__(self) -> None:
        """Make an empty one.

        Raises
        ------
        OSError
            Not permitted: needs CAP_SYS_ADMIN.
        """

        def make() -> int:
            _call("unshare", CLONE_NEWNET)
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY)

        self._descriptor = _in_own_thread(make)

    @property
    def path(self) -> str:
        """Path by which a child process of ours can open it."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def listen(self, address: str, port: int) -> socket.socket:
        """Open a listening TCP socket inside the namespace, owned by this process."""

        def make() -> socket.socket:
            _call("setns", self._descriptor, CLONE_NEWNET)
            return socket.create_server((address, port))

        return _in_own_thread(make)

    def configure(self, *commands: str) -> None:
        """Run ``ip`` commands inside, in one process.

        Raises
        ------
        subprocess.CalledProcessError
            One of them failed; its ``stderr`` says which.
        """
        line = ["nsenter", f"--net={self.path}", "ip", "-batch", "-"]
        subprocess.run(line, input="\n".join(commands).encode(), capture_output=True, check=True)

    def close(self) -> None:
        """Let go; the kernel removes it when nothing else is in it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
