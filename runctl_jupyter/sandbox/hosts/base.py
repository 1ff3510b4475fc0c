"""What a sandbox machine is: the one interface that plain and isolated hosts share.

The control plane (`sandbox.control`) decides *when* a machine boots, stops or ends, as EC2 would;
a host makes it happen with real processes. Nothing here knows moto.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class RoleCredentials:
    """Temporary credentials of the instance's role, as IMDS serves them. `expires_at` is ISO 8601 UTC."""

    role_name: str
    profile_arn: str
    access_key_id: str
    secret_access_key: str
    session_token: str
    expires_at: str


@dataclass(frozen=True)
class HostSpec:
    """Everything a host needs to know about its instance; fixed for the instance's life unless said otherwise."""

    instance_id: str
    instance_type: str
    image_id: str
    account_id: str
    region: str
    zone: str
    vcpus: int
    memory_mib: int
    root_gib: int
    lifecycle: str = "on-demand"
    """``on-demand`` or ``spot``, as IMDS ``instance-life-cycle`` says it."""
    user_data: bytes | None = None
    """Decoded user data. Runs once, at the first boot, as cloud-init would."""
    tags_in_metadata: Mapping[str, str] = field(default_factory=dict)
    gpus: int = 0
    gpu_name: str = ""
    gpu_memory_mib: int = 0
    instance_store_gib: int = 0
    """Local NVMe of the type; above 0 there is a folder ``/opt/dlami/nvme`` that every stop empties."""


@dataclass(frozen=True)
class ShellScript:
    """One `AWS-RunShellScript` plugin execution."""

    command_id: str
    text: str
    timeout_s: float
    working_directory: str | None = None


class ScriptEnd(Enum):
    """Why a script's execution ended."""

    EXITED = "exited"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    MACHINE_GONE = "machine_gone"


@dataclass(frozen=True)
class ScriptResult:
    """`exit_code` is 137 after SIGKILL and for a machine that is gone.

    The output is complete up to 16 MiB per stream; the control plane cuts it to 24,000/8,000 characters.
    """

    end: ScriptEnd
    exit_code: int
    stdout: str
    stderr: str
    elapsed_s: float


class RunningScript(Protocol):
    """A script in flight on a host."""

    def cancel(self) -> None:
        """SIGKILL the script's process group, as the agent does; what called ``setsid`` survives."""

    def result(self) -> ScriptResult:
        """Block until the script has ended *and its output pipes are closed* (reference: agent source)."""


class Host(Protocol):
    """A machine. All methods are safe to call from any thread and idempotent where that makes sense."""

    spec: HostSpec

    @property
    def private_ip(self) -> str:
        """IPv4 address peers can reach it by."""

    @property
    def gateway_address(self) -> str | None:
        """Address from which the machine's requests reach the sandbox; None when they have none of their own."""

    @property
    def alive(self) -> bool:
        """Whether the machine's first process is running."""

    def boot(self) -> None:
        """Power on: returns when processes can run and IMDS answers.

        The first boot starts the user data in the background, each further one what lies in cloud-init's folder of
        scripts for each boot.

        Raises
        ------
        HostError
            The machine could not be made; the message is one line for the instance's StateReason.
        """

    def start_script(self, script: ShellScript) -> RunningScript:
        """Start a shell script as the SSM agent would (root in isolated mode, the user in plain mode).

        On a machine that is off the script's result is ``MACHINE_GONE`` at once.
        """

    def power_off(self) -> None:
        """Kill every process of the machine; returns when all are gone.

        The disk stays, instance store and /tmp are lost.
        """

    def destroy(self) -> None:
        """`power_off`, then remove disk, network and limits. Returns when nothing is left."""

    def announce_spot_interruption(self, action: str, at: str) -> None:
        """Make IMDS answer ``spot/instance-action`` with `action` at `at` (ISO 8601 UTC)."""

    def announce_rebalance(self, at: str) -> None:
        """Make IMDS answer ``events/recommendations/rebalance`` with the notice time `at` (ISO 8601 UTC)."""

    def fill_disk(self) -> int:
        """Leave no free block on the machine's disk, until `free_disk` or the next boot; gives the bytes that took.

        Raises
        ------
        HostError
            The machine has no disk of its own, or is off.
        """

    def free_disk(self) -> None:
        """Undo `fill_disk`; raises as it does."""

    def console_output(self) -> bytes:
        """Boot log and user-data output, newest bytes last (64 KiB at most, as GetConsoleOutput)."""


class HostError(Exception):
    """A machine could not be made or reached."""


@dataclass(frozen=True)
class HostServices:
    """What the control plane gives to a host."""

    state_dir: Path
    """Folder that belongs to this sandbox; the host uses ``state_dir / "hosts" / instance_id``."""
    endpoint_urls: Mapping[str, str]
    """``{"default": "http://127.0.0.1:PORT", "s3": "http://127.0.0.1:PORT"}``; ``s3`` only when it differs.
    The same URLs must work inside the machine, so that a presigned URL made outside is valid inside."""
    credentials: Callable[[], RoleCredentials | None]
    """Current role credentials of this instance, or None without an instance profile."""
    on_guest_shutdown: Callable[[str], None]
    """Called with the instance id when the machine powered itself off (``shutdown``, or its first process died)."""
    on_guest_reboot: Callable[[str], None] = field(default=lambda _: None)
    """Called with the instance id when the machine has gone down in order to start again (``reboot``)."""
    on_agent_restart: Callable[[str], None] = field(default=lambda _: None)
    """Called with the instance id when somebody on the machine has started its SSM agent anew."""
    unplugged: Callable[[], bool] = field(default=lambda: False)
    """Whether the machine's network is to look unplugged to a connection that it opens now."""


class HostFactory(Protocol):
    """Makes hosts of one mode and owns what they share (network, sweep of leftovers)."""

    mode: str
    """``plain`` or ``isolated``."""
    cannot: tuple[str, ...]
    """What this mode cannot do, in words for `sandbox status`."""

    def start(self) -> None:
        """Prepare what hosts share and sweep what a crashed sandbox left behind."""

    def create(self, spec: HostSpec, services: HostServices) -> Host:
        """Make a host object; nothing runs before `boot`. An existing disk of the same instance id is reused."""

    def close(self) -> None:
        """Give everything back; hosts still alive are powered off (their disks stay)."""
