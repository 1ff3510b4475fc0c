"""The SSM agents of machines: when each registers, and how long one sleeps that was refused.

Source: aws/amazon-ssm-agent 3.3, ``core/app/credentialrefresher``: without an instance profile it asks again after
minutes; when its role has no right to ``ssm:UpdateInstanceInformation`` it sleeps 25 to 30 minutes, every time. A
restart of the agent asks at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum

from runctl_jupyter.sandbox.control.ec2.machines import Machine, Machines
from runctl_jupyter.sandbox.control.settings import Settings

_LEAST_SLEEP_S = 1.0
"""However fast the sandbox is: an agent that asked all the time would keep it busy."""


class Right(Enum):
    """What the agent of a machine finds when it asks for its credentials."""

    GRANTED = "granted"
    NO_PROFILE = "no profile"
    DENIED = "denied"


class SsmAgents:
    """All agents.

    Parameters
    ----------
    right_of
        What a machine's agent may do at this moment, by instance id.
    """

    def __init__(self, settings: Settings, machines: Machines, right_of: Callable[[str], Right]) -> None:
        self._settings, self._machines, self._right_of = settings, machines, right_of
        self._lock = threading.Lock()
        self._registered: dict[str, float | None] = {}
        """Start of the run of each machine in which its agent has registered."""

    def online(self, machine: Machine) -> bool:
        """Whether the agent has registered and its machine runs."""
        since = machine.running_since
        with self._lock:
            registered = since is not None and self._registered.get(machine.id) == since
        return registered and machine.state == "running" and machine.host.alive

    def started(self, machine: Machine) -> None:
        """Let the agent of a machine that has booted register, after a while."""
        run = machine.running_since
        self._machines.after(self._settings.agent_online_s, lambda: self._ask(machine, run))

    def restarted(self, instance_id: str) -> None:
        """Let the agent of a machine ask at once."""
        machine = self._machines.find(instance_id)
        if machine is not None and not self.online(machine):
            self._ask(machine, machine.running_since)

    def _ask(self, machine: Machine, run: float | None) -> None:
        if run is None or machine.running_since != run or self.online(machine):
            return  # it went down meanwhile, or a restart was faster
        right = self._right_of(machine.id)
        if right is Right.GRANTED:
            with self._lock:
                self._registered[machine.id] = run
            return
        denied = right is Right.DENIED
        sleep = self._settings.agent_denied_s if denied else self._settings.agent_without_profile_s
        self._machines.after(max(_LEAST_SLEEP_S, sleep), lambda: self._ask(machine, run))
