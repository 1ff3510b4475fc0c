"""The server process: builds the account from disk, listens on a loopback port, and cleans up when it ends."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

from filelock import FileLock, Timeout

from runctl_jupyter.sandbox.connection import connection_path, write_connection
from runctl_jupyter.sandbox.control.settings import Settings

log = logging.getLogger(__name__)
IDLE_CHECK_S = 30.0


class _Starter:
    """The process that waits for this one on a pipe."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor: int | None = descriptor

    def tell(self, line: str) -> None:
        if self._descriptor is not None:
            os.write(self._descriptor, line.encode())
            os.close(self._descriptor)
            self._descriptor = None


def serve(settings: Settings, ready_fd: int) -> int:
    """Be the sandbox of ``settings.home`` until a signal or idleness ends it; gives the exit code.

    Says ``ready``, or two lines on what failed, on the pipe `ready_fd`.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    starter = _Starter(ready_fd)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    try:
        with FileLock(settings.home / "server.lock", timeout=0):
            (settings.home / "server.pid").write_text(str(os.getpid()), "ascii")
            _serve_locked(settings, starter, ending)
    except Timeout:
        starter.tell(f"Another sandbox holds {settings.home}.\nRun `runctl sandbox stop`, then start again.")
        return 1
    except Exception as error:
        log.exception("the sandbox failed")
        lines = str(error).splitlines() or [type(error).__name__]
        todo = lines[1] if len(lines) > 1 else f"Read {settings.home / 'sandbox.log'}."
        starter.tell(f"The sandbox did not start: {lines[0]}\n{todo}")
        return 1
    return 0


def _serve_locked(settings: Settings, starter: _Starter, ending: threading.Event) -> None:
    from runctl_jupyter.sandbox.control.ec2.preload import import_moto_ec2

    import_moto_ec2()
    # After the preload: everything in there imports moto's EC2.
    from runctl_jupyter.sandbox.control.assembly import assemble
    from runctl_jupyter.sandbox.control.store import StateStore
    from runctl_jupyter.sandbox.hosts import choose_factory

    factory = choose_factory(settings.mode or "plain", settings.home)
    store = StateStore(settings.home)
    factory.start()
    try:
        sandbox = assemble(settings, factory, store)
        sandbox.start()
        try:
            write_connection(settings.home, sandbox.connection)
            starter.tell("ready\n")
            log.info("ready: %s mode at %s", factory.mode, sandbox.connection.endpoint_url)
            while not ending.wait(IDLE_CHECK_S):
                if sandbox.idle_s() > settings.idle_hours * 3600:
                    log.info("nobody has asked anything for %s hours", settings.idle_hours)
                    break
        finally:
            connection_path(settings.home).unlink(missing_ok=True)
            sandbox.close()
    finally:
        factory.close()
        store.close()
        log.info("ended")
