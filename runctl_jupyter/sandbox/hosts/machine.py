"""What plain and isolated machines have in common: power, agent, metadata, user data, console."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from runctl_jupyter.sandbox.hosts import disk
from runctl_jupyter.sandbox.hosts.agent import AgentLink, AgentScript, NeverRan, Program
from runctl_jupyter.sandbox.hosts.base import HostError, HostServices, HostSpec, RunningScript, ShellScript
from runctl_jupyter.sandbox.imds import InstanceMetadata, MetadataServer

BOOT_TIMEOUT_S = 20.0
CONSOLE_BYTES = 64 << 10
"""GetConsoleOutput returns at most 64 KiB (EC2 API Reference)."""
GUEST_PROGRAMS = Path(__file__).parent / "guest"
AGENT_FOLDER = "var/lib/amazon/ssm"
USER_DATA_SCRIPT = "var/lib/cloud/instance/scripts/part-001"
BOOT_SCRIPTS = "var/lib/cloud/scripts/per-boot"
USER_DATA_LOG = "var/log/cloud-init-output.log"
INSTANCE_STORE = "opt/dlami/nvme"
"""Where Deep Learning AMIs mount the instance store."""


class Machine(ABC):
    """A `base.Host`; the subclass supplies processes, disk and network."""

    def __init__(self, spec: HostSpec, services: HostServices, private_ip: str) -> None:
        self.spec = spec
        self.folder = services.state_dir.resolve() / "hosts" / spec.instance_id
        self._services = services
        self._private_ip = private_ip
        self._power = threading.RLock()
        self._link: AgentLink | None = None
        self._first: subprocess.Popen[bytes] | None = None
        self._imds: MetadataServer | None = None
        self._boots_log = self.folder / "boots.json"

    @property
    def private_ip(self) -> str:
        """IPv4 address peers can reach it by."""
        return self._private_ip

    @property
    def gateway_address(self) -> str | None:
        """Address from which the machine's requests reach the sandbox; None when they have none of their own."""
        return None

    @property
    def alive(self) -> bool:
        """Whether the machine's first process is running."""
        first, link = self._first, self._link
        return first is not None and link is not None and not link.gone and first.poll() is None

    def boot(self) -> None:
        """Power on; starts user data or the scripts for each boot in the background. No effect on a running machine."""
        with self._power:
            if self.alive:
                return
            self.power_off()  # what a first process that died by itself left behind
            try:
                self._power_on()
            except (OSError, subprocess.SubprocessError, HostError) as error:
                self.power_off()
                detail = getattr(error, "stderr", None)
                text = detail.decode(errors="replace") if isinstance(detail, bytes) else str(error)
                raise HostError(" ".join(text.split())[:400]) from error
            if self._count_boot() == 1:
                self._start_user_data()
            else:
                self._start_boot_scripts()

    def start_script(self, script: ShellScript) -> RunningScript:
        """Start a shell script as the SSM agent would; on a machine that is off it ends as "machine gone"."""
        link = self._link
        if link is None or link.gone:
            return NeverRan()
        orchestration = f"{AGENT_FOLDER}/{self.spec.instance_id}/document/orchestration/{script.command_id}"
        path = self._inside(f"{orchestration}/awsrunShellScript/0.awsrunShellScript/_script.sh")
        identity = {
            "AWS_SSM_INSTANCE_ID": self.spec.instance_id,
            "AWS_SSM_REGION_NAME": self.spec.region,
            "SSM_COMMAND_ID": script.command_id,
        }
        program = Program(
            # `sh -c PATH`: the kernel honours a shebang, without one this sh reads the file.
            argv=["sh", "-c", shlex.quote(path)],
            environment=self._environment() | identity,
            working_directory=script.working_directory or self._working_directory(),
            files={path: script.text},
        )
        return AgentScript(link, program, script.timeout_s)

    def power_off(self) -> None:
        """Kill every process; the disk stays. Returns when all are gone."""
        with self._power:
            link, self._link = self._link, None
            first, self._first = self._first, None
            if link is not None:
                link.sever()
            if first is not None:
                self._kill_processes(first)
                first.wait()
            if link is not None:
                link.close()
            if self._imds is not None:
                self._imds.close()
                self._imds = None
            self._release()

    def destroy(self) -> None:
        """`power_off`, then remove the disk. Returns when nothing is left."""
        with self._power:
            self.power_off()
            if self.folder.exists():
                shutil.rmtree(self.folder)

    def announce_spot_interruption(self, action: str, at: str) -> None:
        """Make IMDS answer ``spot/instance-action`` with `action` at `at` (ISO 8601 UTC)."""
        with self._power:
            if self._imds is not None:
                self._imds.metadata.announce_spot_interruption(action, at)

    def announce_rebalance(self, at: str) -> None:
        """Make IMDS answer ``events/recommendations/rebalance`` with the notice time `at` (ISO 8601 UTC)."""
        with self._power:
            if self._imds is not None:
                self._imds.metadata.announce_rebalance(at)

    def fill_disk(self) -> int:
        """Leave no free block on the machine's disk; gives the bytes that took."""
        with self._power:
            return disk.fill(self._disk())

    def free_disk(self) -> None:
        """Undo `fill_disk`."""
        with self._power:
            disk.free(self._disk())

    def console_output(self) -> bytes:
        """Boot log and user-data output, newest bytes last, 64 KiB at most."""
        logs = [self.folder / "console.log", self._user_data_log()]
        return b"".join(log.read_bytes() for log in logs if log.exists())[-CONSOLE_BYTES:]

    # What a mode supplies -------------------------------------------------------------------------------------

    @abstractmethod
    def _start_first_process(self, control_fd: int, console: int) -> subprocess.Popen[bytes]:
        """Prepare disk and network and start the first process with `control_fd` inherited."""

    @abstractmethod
    def _listen_for_metadata(self) -> socket.socket:
        """Socket on which this machine's programs reach the metadata service."""

    @abstractmethod
    def _kill_processes(self, first: subprocess.Popen[bytes]) -> None:
        """SIGKILL every process of the machine and wait until they are gone."""

    @abstractmethod
    def _release(self) -> None:
        """Give back what a running machine holds beside processes and disk; called again and again."""

    @abstractmethod
    def _inside(self, path: str) -> str:
        """Absolute path of `path` (relative to the machine's root) as the machine's programs see it."""

    @abstractmethod
    def _disk(self) -> Path:
        """Give a folder on the running machine's disk, as the sandbox sees it; HostError when there is none."""

    @abstractmethod
    def _environment(self) -> dict[str, str]:
        """Environment of the agent, and so of every script."""

    @abstractmethod
    def _working_directory(self) -> str:
        """Folder a script starts in when it names none."""

    @abstractmethod
    def _user_data_log(self) -> Path:
        """`USER_DATA_LOG` as the sandbox sees it, also while the machine is off."""

    # Power on ---------------------------------------------------------------------------------------------------

    def _power_on(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._user_data_log().parent.mkdir(parents=True, exist_ok=True)
        console_log = self.folder / "console.log"
        agent_restarted = self._services.on_agent_restart
        link = AgentLink(self.spec.instance_id, self._ended_by_itself, lambda: agent_restarted(self.spec.instance_id))
        self._link = link
        with console_log.open("ab") as console:
            seen = console.tell()
            self._first = self._start_first_process(link.guest_end.fileno(), console.fileno())
        link.listen()
        metadata = InstanceMetadata(self.spec, self._private_ip, self._services.credentials)
        self._imds = MetadataServer(self._listen_for_metadata(), metadata)
        if not link.wait_ready(BOOT_TIMEOUT_S):
            said = console_log.read_bytes()[seen:].decode(errors="replace").strip()
            raise HostError(
                said.rpartition("\n")[2] or f"the first process did not answer within {BOOT_TIMEOUT_S:.0f} s"
            )

    def _ended_by_itself(self, link: AgentLink) -> None:
        with self._power:
            if link is not self._link:
                return  # the control plane was faster, or the machine has been started anew
            self.power_off()
        ended = self._services.on_guest_reboot if link.reboots else self._services.on_guest_shutdown
        ended(self.spec.instance_id)

    def _count_boot(self) -> int:
        boots = json.loads(self._boots_log.read_text()) + 1 if self._boots_log.exists() else 1
        self._boots_log.write_text(json.dumps(boots))
        return int(boots)

    def _start_user_data(self) -> None:
        """Run the user data as cloud-init does: only a script (``#!``), as a program of its own, output to its log."""
        user_data = self.spec.user_data
        if user_data is None:
            return
        if not user_data.startswith(b"#!"):
            with (self.folder / "console.log").open("ab") as console:
                console.write(b"sandbox: user data does not start with #! and is ignored\n")
            return
        path = self._inside(USER_DATA_SCRIPT)
        text = user_data.decode(errors="surrogateescape")
        self._start_logged(Program([path], self._environment(), self._working_directory(), {path: text}))

    def _start_boot_scripts(self) -> None:
        """Run what lies in cloud-init's folder for that, in order (cloud-init, module "scripts per boot").

        At the first boot it is empty: the images bring nothing, and user data runs after it.
        """
        each = f'for each in {shlex.quote(self._inside(BOOT_SCRIPTS))}/*; do [ ! -x "$each" ] || "$each"; done'
        self._start_logged(Program(["sh", "-c", each], self._environment(), self._working_directory()))

    def _start_logged(self, program: Program) -> None:
        if self._link is None:
            return
        log = os.open(self._user_data_log(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            self._link.start(program, log, log)
        finally:
            os.close(log)


def install_guest_programs(
    folder: Path, programs: Path, spec: HostSpec, interpreter: Sequence[str], power_fifo: str
) -> None:
    """Write the machine's first process to `programs` and its commands to `folder`.

    Parameters
    ----------
    folder
        On the machine's PATH: ``shutdown``, ``poweroff``, ``halt``, ``reboot``, ``systemctl`` and ``snap`` that know
        the SSM agent only, a refusing ``systemd-run``; ``nvidia-smi`` when the type has GPUs.
    programs
        Where the Python sources go, as the sandbox sees it.
    interpreter
        Command line that starts a Python source found in `programs`, up to the folder as the machine sees it.
    power_fifo
        The FIFO of the first process, as the machine sees it.
    """
    programs.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    for source in GUEST_PROGRAMS.glob("*.py"):
        shutil.copyfile(source, programs / source.name)
    *python, inside = interpreter
    commands = {name: ["shutdown.py", power_fifo, name] for name in ("shutdown", "poweroff", "halt", "reboot")}
    # A program that asked the systemd of the person's own computer, as root, could switch that off.
    commands |= {"systemd-run": ["no_systemd.py", "systemd-run"]}
    commands |= {name: ["agent_unit.py", power_fifo, name] for name in ("systemctl", "snap")}
    if spec.gpus:
        inventory = {"gpus": spec.gpus, "name": spec.gpu_name, "memory_mib": spec.gpu_memory_mib}
        (programs / "gpus.json").write_text(json.dumps(inventory))
        commands["nvidia-smi"] = ["nvidia_smi.py", f"{inside}/gpus.json"]
    for name, (source_name, *arguments) in commands.items():
        line = shlex.join([*python, f"{inside}/{source_name}", *arguments])
        command = folder / name
        command.unlink(missing_ok=True)  # never write through a link of the image
        command.write_text(f'#!/bin/sh\n# sandbox: stands in for the real {name}\nexec {line} "$@"\n')
        command.chmod(0o755)
