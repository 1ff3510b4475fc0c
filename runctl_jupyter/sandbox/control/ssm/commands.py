"""Run Command: what SendCommand starts on machines and what can be read of it.

Source for the semantics: the SSM agent's source (five workers per instance, execution timeout rule, cut output,
SIGKILL to the process group, reboot and run again after exit code 194) and the Systems Manager API reference. Not
emulated: output to S3 or CloudWatch, limits on concurrency and errors across instances.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from runctl_jupyter.sandbox.control.ec2.machines import Machine, Machines
from runctl_jupyter.sandbox.control.settings import Settings
from runctl_jupyter.sandbox.hosts.base import HostError, RunningScript, ScriptEnd, ScriptResult, ShellScript

log = logging.getLogger(__name__)

SLOTS_PER_INSTANCE = 5
DEFAULT_TIMEOUT_S = 3600
STDOUT_CHARACTERS, STDOUT_CUT = 24_000, "\n---Output truncated---"
STDERR_CHARACTERS, STDERR_CUT = 8_000, "\n---Error truncated----"
LISTED_CHARACTERS = 2_500
KILLED = 137
REBOOT, DONE = 194, 168
"""Exit codes by which a script asks for a reboot and to be run again, or says that no further step is needed."""
_BOOT_POLL_S = 0.05
NOT_STARTED = -1
FINAL = ("Success", "Failed", "TimedOut", "Cancelled")


def execution_timeout(text: str) -> int:
    """Give the seconds that the agent makes of ``executionTimeout``: 5 to 172,800, anything else is an hour."""
    seconds = int(text) if text.isdigit() else 0
    return seconds if 5 <= seconds <= 172_800 else DEFAULT_TIMEOUT_S


def cut(text: str, limit: int, marker: str) -> str:
    """Cut output to `limit` characters, the marker included."""
    return text if len(text) <= limit else text[: limit - len(marker)] + marker


@dataclass(frozen=True)
class CommandRequest:
    """A valid SendCommand."""

    document_name: str
    commands: Sequence[str]
    execution_timeout: str
    working_directory: str | None
    comment: str
    delivery_timeout_s: int
    parameters: Mapping[str, Sequence[str]]
    instance_ids: Sequence[str]
    targets: Sequence[Mapping[str, Any]]


@dataclass
class Invocation:
    """One command on one instance."""

    instance_id: str
    status: str = "Pending"
    details: str = "Pending"
    response_code: int = NOT_STARTED
    stdout: str = ""
    stderr: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    cancelled: bool = False
    script: RunningScript | None = None


@dataclass
class Command:
    """One SendCommand and its invocations."""

    request: CommandRequest
    command_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    requested_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    visible_from: float = 0.0
    invocations: dict[str, Invocation] = field(default_factory=dict)

    @property
    def expires_at(self) -> datetime:
        """End of the time in which it may be delivered and run."""
        run = execution_timeout(self.request.execution_timeout)
        return self.requested_at + timedelta(seconds=self.request.delivery_timeout_s + run)

    @property
    def status(self) -> tuple[str, str]:
        """Status and details over all invocations."""
        statuses = [one.status for one in self.invocations.values()]
        if not statuses:
            return "Success", "NoInstancesInTag"
        if all(status in FINAL for status in statuses):
            worst = next(status for status in ("Failed", "TimedOut", "Cancelled", "Success") if status in statuses)
            return worst, worst
        for word in ("Cancelling", "InProgress"):
            if word in statuses:
                return word, word
        return ("Pending", "Pending") if set(statuses) == {"Pending"} else ("InProgress", "InProgress")


class _Slots:
    """The agent's workers on one instance: five at a time, the rest in order of arrival."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._working = 0

    def submit(self, job: Callable[[], None]) -> None:
        with self._lock:
            self._waiting.append(job)
            if self._working == SLOTS_PER_INSTANCE:
                return
            self._working += 1
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._working -= 1
                    return
                job = self._waiting.popleft()
            job()


class Commands:
    """All commands of the sandbox's life (they do not survive a restart of it).

    Parameters
    ----------
    online
        Whether the agent of a machine is registered and answers.
    await_agent
        Waits while a fault keeps the agent of an instance from its service; gives whether it waited.
    """

    def __init__(
        self,
        settings: Settings,
        machines: Machines,
        online: Callable[[Machine], bool],
        await_agent: Callable[[str], bool],
    ) -> None:
        self._settings = settings
        self._machines = machines
        self._online = online
        self._await_agent = await_agent
        self._commands: dict[str, Command] = {}
        self._slots: dict[str, _Slots] = {}
        self._lock = threading.Lock()

    def reachable(self, instance_id: str) -> Machine | None:
        """Give the machine of an instance whose agent is registered and online; else None."""
        machine = self._machines.find(instance_id)
        return machine if machine is not None and self._online(machine) else None

    def send(self, request: CommandRequest, instance_ids: Sequence[str]) -> Command:
        """Queue a command on instances that are reachable."""
        command = Command(request, visible_from=time.monotonic() + self._settings.invocation_visible_s)
        command.invocations = {instance_id: Invocation(instance_id) for instance_id in instance_ids}
        with self._lock:
            self._commands[command.command_id] = command
            slots = {one: self._slots.setdefault(one, _Slots()) for one in instance_ids}
        for instance_id, invocation in command.invocations.items():
            slots[instance_id].submit(lambda one=invocation: self._execute(command, one))  # type: ignore[misc]
        return command

    def all(self) -> list[Command]:
        """Give all commands, newest first."""
        with self._lock:
            return list(reversed(self._commands.values()))

    def find(self, command_id: str) -> Command | None:
        """Give a command by id."""
        with self._lock:
            return self._commands.get(command_id)

    def invocation(self, command: Command, instance_id: str) -> Invocation | None:
        """Give an invocation, or None while it is too fresh to be seen or when there is none."""
        if time.monotonic() < command.visible_from:
            return None
        found = command.invocations.get(instance_id)
        if found is not None:
            self._expire(command, found)
        return found

    def cancel(self, command: Command, instance_ids: Sequence[str]) -> None:
        """Cancel invocations: those waiting never start, those running are killed. No guarantee, as on AWS."""
        for instance_id in instance_ids or list(command.invocations):
            invocation = command.invocations[instance_id]
            with self._lock:
                if invocation.status in FINAL:
                    continue
                invocation.cancelled = True
                script = invocation.script
                waiting = invocation.status == "Pending"
                invocation.status = invocation.details = "Cancelled" if waiting else "Cancelling"
                if waiting:
                    invocation.ended_at = datetime.now(UTC)
            if script is not None:
                script.cancel()

    def _expire(self, command: Command, invocation: Invocation) -> None:
        """End what was never delivered when its delivery timeout is over."""
        limit = command.requested_at + timedelta(seconds=command.request.delivery_timeout_s)
        with self._lock:
            if invocation.status == "Pending" and datetime.now(UTC) > limit:
                invocation.status, invocation.details = "TimedOut", "DeliveryTimedOut"

    def _execute(self, command: Command, invocation: Invocation) -> None:
        self._await_agent(invocation.instance_id)
        machine = self.reachable(invocation.instance_id)
        if machine is None:  # stopped meanwhile: it stays Pending until the delivery timeout
            return
        with self._lock:
            if invocation.status != "Pending":
                return
            invocation.status = invocation.details = "InProgress"
            invocation.started_at = datetime.now(UTC)
        request = command.request
        shell_script = ShellScript(
            command.command_id,
            "\n".join(request.commands) + "\n",
            execution_timeout(request.execution_timeout),
            request.working_directory,
        )
        try:
            script = machine.host.start_script(shell_script)
            with self._lock:
                invocation.script = script
                cancelled = invocation.cancelled
            if cancelled:
                script.cancel()
            result = script.result()
            while (result.end, result.exit_code) == (ScriptEnd.EXITED, REBOOT) and not invocation.cancelled:
                if not self._reboot(machine, command.expires_at):
                    return
                script = machine.host.start_script(shell_script)
                with self._lock:
                    invocation.script = script
                result = script.result()
        except (HostError, OSError) as error:
            if not machine.host.alive:
                return
            log.exception("command %s on %s", command.command_id, invocation.instance_id)
            result = ScriptResult(ScriptEnd.EXITED, 1, "", f"failed to run commands: {error}", 0.0)
        if self._await_agent(invocation.instance_id) and not machine.host.alive:
            return  # it ended with a machine that had not been able to say so
        self._finish(invocation, result)

    def _reboot(self, machine: Machine, until: datetime) -> bool:
        """Start a machine anew and wait until its agent is back; gives whether it came."""
        before = machine.running_since
        self._machines.reboot(machine)
        while machine.running_since == before or not self._online(machine):
            if machine.state != "running" or datetime.now(UTC) > until:
                return False
            time.sleep(_BOOT_POLL_S)
        return True

    def _finish(self, invocation: Invocation, result: ScriptResult) -> None:
        if result.end is ScriptEnd.MACHINE_GONE:
            return  # nobody is left to report: InProgress stays, as on AWS
        words = {
            ScriptEnd.TIMED_OUT: ("TimedOut", "ExecutionTimedOut"),
            ScriptEnd.CANCELLED: ("Cancelled", "Cancelled"),
        }.get(result.end, ("Success", "Success") if result.exit_code in (0, DONE) else ("Failed", "Failed"))
        with self._lock:
            invocation.script = None
            invocation.response_code = result.exit_code
            invocation.stdout = cut(result.stdout, STDOUT_CHARACTERS, STDOUT_CUT)
            invocation.stderr = cut(result.stderr, STDERR_CHARACTERS, STDERR_CUT)
            invocation.ended_at = datetime.now(UTC)
            invocation.status, invocation.details = words
