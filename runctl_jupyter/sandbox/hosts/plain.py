"""Plain mode: a machine is a tree of ordinary processes of the user, with folders and an address of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from runctl_jupyter.sandbox.hosts.addresses import AddressPool, loopback_network
from runctl_jupyter.sandbox.hosts.base import Host, HostError, HostServices, HostSpec
from runctl_jupyter.sandbox.hosts.environment import (
    TAG,
    aws_config,
    endpoint_settings,
    machine_settings,
    proxy_settings,
    search_path,
)
from runctl_jupyter.sandbox.hosts.machine import INSTANCE_STORE, USER_DATA_LOG, Machine, install_guest_programs
from runctl_jupyter.sandbox.hosts.processes import kill_machine


class PlainHost(Machine):
    """A machine made of the user's own processes."""

    def __init__(self, spec: HostSpec, services: HostServices, private_ip: str, uv_cache: Path) -> None:
        super().__init__(spec, services, private_ip)
        self._root = self.folder / "root"
        self._home = self._root / "home"
        self._uv_cache = uv_cache
        self._metadata_url = ""

    def _start_first_process(self, control_fd: int, console: int) -> subprocess.Popen[bytes]:
        self._wipe_volatile()
        for name in ("home/.aws", "tmp", "run", "var/lib/runctl", "var/log"):
            (self._root / name).mkdir(parents=True, exist_ok=True)
        config = aws_config(self.spec.region, self._services.endpoint_urls)
        (self._home / ".aws/config").write_text(config)
        if self.spec.instance_store_gib:
            (self._root / INSTANCE_STORE).mkdir(parents=True)
        programs = self._root / "usr/lib/sandbox"
        power_fifo = str(self._root / "run/initctl")
        python = [sys.executable, "-I"]
        install_guest_programs(self._root / "bin", programs, self.spec, [*python, str(programs)], power_fifo)
        line = [
            *python,
            str(programs / "first_process.py"),
            "--control-fd",
            str(control_fd),
            "--power-fifo",
            power_fifo,
        ]
        return subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            cwd=self._root,
            env={TAG: self.spec.instance_id, "PATH": search_path(), "LANG": "C.UTF-8"},
            pass_fds=[control_fd],
            start_new_session=True,
        )

    def _listen_for_metadata(self) -> socket.socket:
        listener = socket.create_server((self.private_ip, 0))
        self._metadata_url = f"http://{self.private_ip}:{listener.getsockname()[1]}/"
        return listener

    def _kill_processes(self, first: subprocess.Popen[bytes]) -> None:
        kill_machine(frozenset([self.spec.instance_id]), first.pid)

    def _release(self) -> None:
        self._wipe_volatile()

    def _wipe_volatile(self) -> None:
        """Lose what a stop loses: memory-backed folders and the instance store."""
        for name in ("tmp", "run", INSTANCE_STORE):
            shutil.rmtree(self._root / name, ignore_errors=True)

    def _inside(self, path: str) -> str:
        return str(self._root / path)

    def _disk(self) -> Path:
        raise HostError("plain machines keep their files on your own disk; only isolated mode gives them one")

    def _environment(self) -> dict[str, str]:
        return {
            **machine_settings(),
            **proxy_settings("127.0.0.1", "localhost", self.private_ip),
            **endpoint_settings(self._services.endpoint_urls),
            "PATH": search_path(self._root / "bin"),
            "HOME": str(self._home),
            "TMPDIR": str(self._root / "tmp"),
            "LANG": "C.UTF-8",
            "AWS_CONFIG_FILE": str(self._home / ".aws/config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self._home / ".aws/credentials"),
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self._metadata_url,
            "RUNCTL_ROOT": str(self._root / "var/lib/runctl"),
            "UV_CACHE_DIR": str(self._uv_cache),
            TAG: self.spec.instance_id,
        }

    def _working_directory(self) -> str:
        return str(self._home)

    def _user_data_log(self) -> Path:
        return self._root / USER_DATA_LOG


class PlainHostFactory:
    """Makes plain machines; owns their addresses and the package cache they share."""

    mode = "plain"
    cannot: tuple[str, ...] = (
        "separate machines from each other and from yours: their programs run as you and see your files and processes",
        "limit memory, processes or disk to those of the instance type",
        "give a machine its own host name, root user or port numbers on 0.0.0.0",
        "answer at 169.254.169.254: programs find the metadata service by AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "run docker or systemd in a machine",
    )

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir.resolve()
        self._addresses = AddressPool(self._state_dir / "hosts", loopback_network(self._state_dir))
        self._hosts: dict[str, PlainHost] = {}
        if os.geteuid() == 0:
            power = "keep a program that calls /sbin/shutdown by its full path from your own system, since you are root"
            self.cannot = (*self.cannot, power)
        if sys.platform != "linux":
            self.cannot = (*self.cannot, "give each machine an address of its own: all are 127.0.0.1 on this system")

    def start(self) -> None:
        """End processes of machines that a crashed sandbox left behind."""
        folder = self._state_dir / "hosts"
        folder.mkdir(parents=True, exist_ok=True)
        (self._state_dir / "uv-cache").mkdir(exist_ok=True)
        left_behind = frozenset(entry.name for entry in folder.iterdir())
        if left_behind:
            kill_machine(left_behind)

    def create(self, spec: HostSpec, services: HostServices) -> Host:
        """Make a machine; an existing disk (and address) of the same instance id is reused."""
        private_ip = self._addresses.take(spec.instance_id)
        host = PlainHost(spec, services, private_ip, self._state_dir / "uv-cache")
        self._hosts[spec.instance_id] = host
        return host

    def close(self) -> None:
        """Power off what still runs; disks stay."""
        for host in self._hosts.values():
            host.power_off()
