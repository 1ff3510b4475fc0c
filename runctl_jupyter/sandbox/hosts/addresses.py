"""Private addresses of machines: kept for an instance's life, handed out round-robin."""

from __future__ import annotations

import hashlib
import ipaddress
import sys
import threading
from pathlib import Path

FIRST_HOST, LAST_HOST = 10, 249


def loopback_network(state_dir: Path) -> ipaddress.IPv4Network | None:
    """Choose a /24 of 127/8 by `state_dir`, so that two sandboxes rarely share one; None outside Linux.

    Linux answers on all of 127/8 without set-up; macOS only on 127.0.0.1.
    """
    if sys.platform != "linux":
        return None
    digest = hashlib.sha256(str(state_dir).encode()).digest()
    return ipaddress.IPv4Network(f"127.{64 + digest[0] % 128}.{digest[1]}.0/24")


class AddressPool:
    """Addresses of one sandbox's machines, remembered beside their disks."""

    def __init__(self, hosts: Path, network: ipaddress.IPv4Network | None) -> None:
        """`hosts` is the folder of all machines; without a network every machine is 127.0.0.1."""
        self._hosts = hosts
        self._network = network
        self._lock = threading.Lock()
        self._next = FIRST_HOST

    def take(self, instance_id: str) -> str:
        """Address of `instance_id`: the one it had, else the next free one.

        A freed address is reused as late as possible: peers may still hold it in their ARP tables.
        """
        if self._network is None:
            return "127.0.0.1"
        note = self._hosts / instance_id / "private-ip"
        with self._lock:
            if note.exists():
                return note.read_text()
            used = {path.read_text() for path in self._hosts.glob("*/private-ip")}
            span = LAST_HOST - FIRST_HOST + 1
            for step in range(span):
                number = FIRST_HOST + (self._next - FIRST_HOST + step) % span
                address = str(self._network[number])
                if address not in used:
                    self._next = number + 1
                    note.parent.mkdir(parents=True, exist_ok=True)
                    note.write_text(address)
                    return address
        raise RuntimeError(f"all {span} addresses of the sandbox are taken")
