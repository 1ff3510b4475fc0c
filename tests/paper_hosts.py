"""Machines that exist on paper alone, and a control plane in this process that has them.

For what asks about states and counts and runs no program: a thousand instances, or ten thousand changes of state.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runctl_jupyter.sandbox.connection import Connection, connection_path, write_connection
from runctl_jupyter.sandbox.control.settings import Settings
from runctl_jupyter.sandbox.hosts.agent import NeverRan
from runctl_jupyter.sandbox.hosts.base import HostError, HostServices, HostSpec, RunningScript, ShellScript


class PaperHost:
    """A `base.Host` without processes, disk and network: it is on or off."""

    gateway_address: str | None = None

    def __init__(self, spec: HostSpec, services: HostServices, private_ip: str) -> None:
        self.spec, self._services, self.private_ip = spec, services, private_ip
        self._on = threading.Event()
        self.notices: list[tuple[str, str]] = []
        """Announcements of Spot, as action and time."""

    @property
    def alive(self) -> bool:
        """Whether it is on."""
        return self._on.is_set()

    def boot(self) -> None:
        """Be on."""
        self._on.set()

    def start_script(self, script: ShellScript) -> RunningScript:
        """Run nothing: the script ends as on a machine that is gone."""
        return NeverRan()

    def power_off(self) -> None:
        """Be off."""
        self._on.clear()

    def destroy(self) -> None:
        """Be off for good."""
        self._on.clear()

    def shut_down(self) -> None:
        """Power off from within, as ``shutdown -h now`` on the machine does."""
        self._on.clear()
        self._services.on_guest_shutdown(self.spec.instance_id)

    def announce_spot_interruption(self, action: str, at: str) -> None:
        """Note it."""
        self.notices.append((action, at))

    def announce_rebalance(self, at: str) -> None:
        """Note it."""
        self.notices.append(("rebalance", at))

    def fill_disk(self) -> int:
        """Refuse: there is no disk."""
        raise HostError("a machine on paper has no disk")

    def free_disk(self) -> None:
        """Refuse: there is no disk."""
        raise HostError("a machine on paper has no disk")

    def console_output(self) -> bytes:
        """Return nothing: no program has written."""
        return b""


class PaperHosts:
    """A `base.HostFactory` of paper machines."""

    mode = "plain"
    cannot: tuple[str, ...] = ("run programs",)
    make: type[PaperHost] = PaperHost

    def __init__(self) -> None:
        self.hosts: dict[str, PaperHost] = {}
        """By instance id."""
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def start(self) -> None:
        """Nothing is shared."""

    def create(self, spec: HostSpec, services: HostServices) -> PaperHost:
        """Make a machine, off."""
        with self._lock:
            number = next(self._numbers)
            host = self.make(spec, services, f"172.31.{number >> 8 & 255}.{number & 255}")
            self.hosts[spec.instance_id] = host
        return host

    def close(self) -> None:
        """Switch all off."""
        for host in list(self.hosts.values()):
            host.power_off()


@contextmanager
def paper_sandbox(
    home: Path, *, max_instances: int = 8, pace: float = 0.0, hosts: PaperHosts | None = None
) -> Iterator[tuple[Connection, PaperHosts]]:
    """Run a control plane in this process; yield how to reach it, and its machines. One at a time in a process."""
    from runctl_jupyter.sandbox.control.ec2.preload import import_moto_ec2

    import_moto_ec2()
    # After the preload: everything in there imports moto's EC2.
    from moto.moto_api._internal.models import moto_api_backend

    from runctl_jupyter.sandbox.control.assembly import assemble
    from runctl_jupyter.sandbox.control.store import StateStore

    home.mkdir(parents=True, exist_ok=True)
    hosts, store = hosts or PaperHosts(), StateStore(home)
    try:
        sandbox = assemble(Settings(home, pace=pace, max_instances=max_instances), hosts, store)
        sandbox.start()
        try:
            write_connection(home, sandbox.connection)
            yield sandbox.connection, hosts
        finally:
            connection_path(home).unlink(missing_ok=True)
            sandbox.close()
    finally:
        hosts.close()
        store.close()
        moto_api_backend.reset()  # moto's state is this process's: the next account begins empty
