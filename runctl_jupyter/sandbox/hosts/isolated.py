"""Isolated mode (root on Linux): a machine has its own network, disk, processes, users and limits."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from runctl_jupyter.sandbox.hosts.addresses import FIRST_HOST, LAST_HOST, AddressPool
from runctl_jupyter.sandbox.hosts.base import Host, HostError, HostServices, HostSpec
from runctl_jupyter.sandbox.hosts.environment import (
    TAG,
    aws_config,
    endpoint_settings,
    machine_settings,
    search_path,
)
from runctl_jupyter.sandbox.hosts.gateway import Gateway, Service
from runctl_jupyter.sandbox.hosts.limits import LimitGroups, Limits
from runctl_jupyter.sandbox.hosts.machine import GUEST_PROGRAMS, Machine, install_guest_programs
from runctl_jupyter.sandbox.hosts.netns import NetworkNamespace
from runctl_jupyter.sandbox.hosts.processes import kill_machine
from runctl_jupyter.sandbox.imds import private_dns_name

SUBNET = ipaddress.IPv4Network("10.233.0.0/24")
"""Every sandbox has a VPC namespace of its own, so all may use the same addresses."""
ROUTER = SUBNET[1]
ROUTER_MAC = "02:00:0a:e9:00:01"
"""Fixed: a bridge without an address of its own takes a port's, and loses it when that machine leaves."""
METADATA_ADDRESS = "169.254.169.254"
PROXY_ADDRESS, PROXY_PORT = "169.254.170.1", 3128
GUEST_LIBRARY = "usr/lib/sandbox"
POWER_FIFO = "/run/initctl"
TOOLS = ("ip", "nsenter", "unshare", "mount", "mkfs.ext4")
_JOIN_AND_RUN = 'while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift; exec "$@"'
"""Join control groups before exec, so that every descendant is counted and limited."""


class IsolatedHost(Machine):
    """A machine in namespaces of its own."""

    def __init__(self, spec: HostSpec, services: HostServices, private_ip: str, factory: IsolatedHostFactory) -> None:
        super().__init__(spec, services, private_ip)
        self._factory = factory
        self._network: NetworkNamespace | None = None
        self._services_inside: list[Service] = []
        self._link_name = f"v{private_ip.rpartition('.')[2]}"

    @property
    def gateway_address(self) -> str:
        """Address from which the machine's requests reach the sandbox: its own, moved to the loopback network."""
        return f"127.{self.private_ip.partition('.')[2]}"

    def _start_first_process(self, control_fd: int, console: int) -> subprocess.Popen[bytes]:
        network = self._connect()
        self._make_disk()
        self._write_seed()
        for name in ("disk", "mnt"):
            (self.folder / name).mkdir(exist_ok=True)
        python = [sys.executable, "-I", f"/{GUEST_LIBRARY}/first_process.py"]
        first = [*python, "--control-fd", str(control_fd), "--power-fifo", POWER_FIFO]
        state_dir = self.folder.parent.parent
        build = [
            "sh",
            str(GUEST_PROGRAMS / "isolated_boot.sh"),
            *(str(self.folder / name) for name in ("root.img", "disk", "mnt", "seed")),
            str(self._user_data_log()),
            str(state_dir / "uv-cache"),
            "yes" if self.spec.instance_store_gib else "no",
            self._host_name().partition(".")[0],
            *hidden_folders(state_dir),
            "--",
            *interpreter_folders(),
            "--",
            *first,
        ]
        namespaces = ["--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=KILL", "--propagation", "private"]
        join = ["sh", "-c", _JOIN_AND_RUN, "join", *self._factory.limit(self.spec), "--"]
        self._user_data_log().touch()
        return subprocess.Popen(
            [*join, "nsenter", f"--net={network.path}", "unshare", *namespaces, "--", *build],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env={TAG: self.spec.instance_id, "PATH": search_path(), "LANG": "C.UTF-8"},
            pass_fds=[control_fd],
            start_new_session=True,
        )

    def _connect(self) -> NetworkNamespace:
        """Make the network interface, the metadata address and the ways out."""
        network = self._network = NetworkNamespace()
        self._factory.vpc.configure(
            f"link add {self._link_name} type veth peer name eth0 netns {network.path}",
            f"link set {self._link_name} master br0 up",
        )
        network.configure(
            "link set lo up",
            f"addr add {METADATA_ADDRESS}/32 dev lo",
            f"addr add {PROXY_ADDRESS}/32 dev lo",
            f"addr add {self.private_ip}/{SUBNET.prefixlen} dev eth0",
            "link set eth0 up",
        )
        gateway = self._factory.gateway
        unplugged = self._services.unplugged
        for port in {urlsplit(url).port for url in self._services.endpoint_urls.values()}:
            if port is not None:
                inside = network.listen("127.0.0.1", port)
                way = gateway.forward(inside, "127.0.0.1", port, self.gateway_address, unplugged)
                self._services_inside.append(way)
        self._services_inside.append(gateway.proxy(network.listen(PROXY_ADDRESS, PROXY_PORT), unplugged))
        return network

    def _make_disk(self) -> None:
        image = self.folder / "root.img"
        if image.exists():
            return
        draft = image.with_suffix(".new")  # renamed when complete: a crash leaves no half-made file system
        with draft.open("wb") as file:
            file.truncate(self.spec.root_gib << 30)
        line = [
            "mkfs.ext4",
            "-q",
            "-F",
            "-m",
            "0",
            "-E",
            "lazy_itable_init=1,lazy_journal_init=1,nodiscard",
            str(draft),
        ]
        subprocess.run(line, check=True, capture_output=True)
        draft.rename(image)

    def _write_seed(self) -> None:
        """Files that are copied over the root at each boot."""
        seed = self.folder / "seed"
        shutil.rmtree(seed, ignore_errors=True)
        (seed / "etc").mkdir(parents=True)
        (seed / "root/.aws").mkdir(parents=True)
        config = aws_config(self.spec.region, self._services.endpoint_urls)
        (seed / "root/.aws/config").write_text(config)
        name = self._host_name()
        (seed / "etc/hostname").write_text(name.partition(".")[0] + "\n")
        lines = ["127.0.0.1 localhost"]
        # There is no VPC resolver: peers find each other's host names here (torchrun announces them).
        for number in range(FIRST_HOST, LAST_HOST + 1):
            peer = private_dns_name(str(SUBNET[number]), self.spec.region)
            lines.append(f"{SUBNET[number]} {peer} {peer.partition('.')[0]}")
        (seed / "etc/hosts").write_text("\n".join(lines) + "\n")
        interpreter = [sys.executable, "-I", f"/{GUEST_LIBRARY}"]
        install_guest_programs(seed / "usr/local/sbin", seed / GUEST_LIBRARY, self.spec, interpreter, POWER_FIFO)

    def _host_name(self) -> str:
        return private_dns_name(self.private_ip, self.spec.region)

    def _listen_for_metadata(self) -> socket.socket:
        if self._network is None:
            raise HostError("the machine has no network")
        return self._network.listen(METADATA_ADDRESS, 80)

    def _kill_processes(self, first: subprocess.Popen[bytes]) -> None:
        """Kill the namespace's pid 1: the kernel ends everything in it before its parent (`unshare`) sees it end."""
        while first.poll() is None:
            try:
                children = psutil.Process(first.pid).children()
                for process in children or [psutil.Process(first.pid)]:
                    process.kill()
                psutil.wait_procs(children, timeout=0.2)
            except psutil.NoSuchProcess:
                continue

    def _release(self) -> None:
        for service in self._services_inside:
            service.close()
        self._services_inside.clear()
        if self._network is not None:
            # Before the namespace goes: the kernel would remove the interface too, but only some time later.
            self._factory.unplug(self._link_name)
            self._network.close()
            self._network = None
        self._factory.unlimit(self.spec)

    def _inside(self, path: str) -> str:
        return f"/{path}"

    def _disk(self) -> Path:
        outer = self._first if self.alive else None
        first = psutil.Process(outer.pid).children() if outer else []
        if not first:
            raise HostError("the machine is off")
        return Path(f"/proc/{first[0].pid}/root/var/tmp")  # a mount of its disk: no link can stand in its place

    def _environment(self) -> dict[str, str]:
        proxy = f"http://{PROXY_ADDRESS}:{PROXY_PORT}"
        direct = f"127.0.0.1,localhost,{METADATA_ADDRESS},{PROXY_ADDRESS},{SUBNET},.internal"
        outside = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "NO_PROXY": direct}
        return {
            **machine_settings(),
            **outside,
            **{name.lower(): value for name, value in outside.items()},
            **endpoint_settings(self._services.endpoint_urls),
            "PATH": search_path(Path("/usr/local/sbin")),
            "LANG": "C.UTF-8",
            "UV_CACHE_DIR": "/var/cache/uv",
            "UV_LINK_MODE": "copy",  # the cache is another file system: links cannot work, and uv would warn each time
            TAG: self.spec.instance_id,
        }

    def _working_directory(self) -> str:
        return "/usr/bin"

    def _user_data_log(self) -> Path:
        return self.folder / "cloud-init-output.log"


REPLACED = tuple(map(Path, ("/root", "/home", "/tmp", "/run", "/var/tmp")))  # noqa: S108 (nothing is put there)
"""Folders that `isolated_boot.sh` gives each machine anew."""


def hidden_folders(state_dir: Path) -> list[str]:
    """Folders of the surrounding machine that no machine may see: its disks, and a home outside `REPLACED`."""
    return [str(path) for path in (state_dir, Path.home()) if not any(map(path.is_relative_to, REPLACED))]


def interpreter_folders() -> list[str]:
    """Folders of this Python installation that the machine's own root may not show: other mounts, or hidden ones."""
    hidden = [*REPLACED, Path.home()]
    device = Path("/").stat().st_dev
    needed = []
    for folder in dict.fromkeys([sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parent.parent)]):
        path = Path(folder).resolve()
        if path.stat().st_dev != device or any(map(path.is_relative_to, hidden)):
            needed.append(str(path))
    return needed


class IsolatedHostFactory:
    """Makes isolated machines; owns their VPC, their gateway and their control groups.

    Parameters
    ----------
    state_dir
        Folder of this sandbox.
    memory_cap_mib
        No machine gets more memory than this, whatever its type says: it is the memory of the machine you sit at.
    processes
        Processes and threads a machine may have.
    """

    mode = "isolated"

    def __init__(self, state_dir: Path, memory_cap_mib: int = 2048, processes: int = 4096) -> None:
        self._state_dir = state_dir.resolve()
        self._memory_cap_mib = memory_cap_mib
        self._processes = processes
        self.cannot: tuple[str, ...] = (
            f"give a machine more than {memory_cap_mib} MiB of memory, or the vCPUs and GPUs of its type",
            "run another operating system than this machine's: the image is a private copy of its root",
            "reach the internet but by an HTTP proxy, which HTTPS_PROXY names",
            "run docker or systemd in a machine",
        )
        tag = hashlib.sha256(str(self._state_dir).encode()).hexdigest()[:8]
        self._groups: LimitGroups | None = LimitGroups(tag)
        self._addresses = AddressPool(self._state_dir / "hosts", SUBNET)
        self._hosts: dict[str, IsolatedHost] = {}
        self._vpc: NetworkNamespace | None = None
        self._gateway: Gateway | None = None

    @property
    def vpc(self) -> NetworkNamespace:
        """The namespace with the bridge that joins the machines."""
        if self._vpc is None:
            raise HostError("the sandbox network is not started")
        return self._vpc

    @property
    def gateway(self) -> Gateway:
        """The way out of the machines."""
        if self._gateway is None:
            raise HostError("the sandbox network is not started")
        return self._gateway

    def start(self) -> None:
        """End what a crashed sandbox left behind, then make the VPC.

        Networks, mounts and loop devices of a crashed sandbox ended with its processes; only control groups stay.
        """
        hosts = self._state_dir / "hosts"
        hosts.mkdir(parents=True, exist_ok=True)
        (self._state_dir / "uv-cache").mkdir(exist_ok=True)
        left_behind = frozenset(entry.name for entry in hosts.iterdir())
        if left_behind:
            kill_machine(left_behind)
        if self._groups is not None:
            try:
                self._groups.sweep()
                self._groups.prepare()
            except OSError as error:
                self._groups = None
                self.cannot = (*self.cannot, f"limit memory and processes: no usable control groups ({error.strerror})")
        self._vpc = NetworkNamespace()
        self._vpc.configure(
            "link set lo up",
            f"link add br0 address {ROUTER_MAC} type bridge",
            f"addr add {ROUTER}/{SUBNET.prefixlen} dev br0",
            "link set br0 up",
        )
        self._gateway = Gateway()

    def create(self, spec: HostSpec, services: HostServices) -> Host:
        """Make a machine; an existing disk (and address) of the same instance id is reused."""
        host = IsolatedHost(spec, services, self._addresses.take(spec.instance_id), self)
        self._hosts[spec.instance_id] = host
        return host

    def close(self) -> None:
        """Power off what still runs, then give back network and control groups; disks stay."""
        for host in self._hosts.values():
            host.power_off()
        if self._gateway is not None:
            self._gateway.close()
            self._gateway = None
        if self._vpc is not None:
            self._vpc.close()
            self._vpc = None
        if self._groups is not None:
            self._groups.close()

    def limit(self, spec: HostSpec) -> list[str]:
        """Make the control groups of a machine; returns the files its first process writes its pid to."""
        if self._groups is None:
            return []
        limits = Limits(min(spec.memory_mib, self._memory_cap_mib), self._processes)
        return [str(path) for path in self._groups.create(spec.instance_id, limits)]

    def unlimit(self, spec: HostSpec) -> None:
        """Remove the control groups of a machine."""
        if self._groups is not None:
            self._groups.remove(spec.instance_id)

    def unplug(self, link_name: str) -> None:
        """Remove a machine's interface; a boot that failed early may not have made it."""
        line = ["nsenter", f"--net={self.vpc.path}", "ip", "link", "del", link_name]
        ended = subprocess.run(line, capture_output=True, text=True, check=False)
        if ended.returncode != 0 and "Cannot find device" not in ended.stderr:
            raise HostError(ended.stderr.strip())


def why_not_isolated(state_dir: Path) -> str | None:
    """Reason why isolated machines cannot run here, found by booting one; None when they can."""
    if sys.platform != "linux":
        return "this system is not Linux"
    if os.geteuid() != 0:
        return "not started as root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"missing programs: {', '.join(missing)}"
    trial_dir = state_dir / f"trial-{os.getpid()}"
    factory = IsolatedHostFactory(trial_dir)
    url = {"default": "http://127.0.0.1:9"}
    spec = HostSpec("i-trial", "t3.nano", "ami-trial", "123456789012", "us-east-1", "us-east-1a", 1, 512, 1)
    try:
        factory.start()
        host = factory.create(spec, HostServices(trial_dir, url, lambda: None, lambda _: None))
        try:
            host.boot()
        finally:
            host.destroy()
    except (OSError, HostError, subprocess.SubprocessError) as error:
        return " ".join(str(error).split())
    finally:
        factory.close()
        shutil.rmtree(trial_dir, ignore_errors=True)
    return None
