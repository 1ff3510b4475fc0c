"""The life of instances: EC2's states over time, each one backed by a real host.

A call on EC2 only changes the state word and hands the slow part to a thread. The word is compared and changed under
one lock, so that of two calls that do not go together one happens. The threads of one machine take turns
(`Machine.power`) and look at the state again when it is their turn, so that a terminate that overtakes a boot or a
stop wins, as on AWS.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from runctl_jupyter.sandbox.control.settings import Settings
from runctl_jupyter.sandbox.hosts.base import Host

log = logging.getLogger(__name__)

STATE_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
LIVE_STATES = ("pending", "running", "stopping", "shutting-down")
_BEFORE_THE_END = ("pending", "running", "stopping", "stopped")
DESCRIBABLE_AFTER_END = timedelta(hours=1)
"""Terminated instances stay visible for about this long (EC2 User Guide, "Terminate your instance")."""


@dataclass(frozen=True)
class Reason:
    """Why an instance changed state: `code` of StateReason and the words of StateTransitionReason."""

    code: str = ""
    message: str = ""
    transition: str = ""


def user_initiated() -> Reason:
    """Somebody called StopInstances or TerminateInstances."""
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} GMT"
    return Reason("Client.UserInitiatedShutdown", "User initiated shutdown", f"User initiated ({when})")


GUEST_SHUTDOWN = Reason("Client.InstanceInitiatedShutdown", "Instance initiated shutdown")
SPOT_TERMINATION = Reason(
    "Server.SpotInstanceTermination", "Spot instance termination", "Server.SpotInstanceTermination"
)
SPOT_STOP = Reason("Server.SpotInstanceShutdown", "Spot instance shutdown", "Server.SpotInstanceShutdown")
NO_CAPACITY_AT_LAUNCH = Reason(
    "Server.InsufficientInstanceCapacity",
    "Insufficient capacity to launch instance",
    "Server.InsufficientInstanceCapacity",
)
POWER_LOSS = Reason("Server.InternalError", "The host of the instance lost power", "Server.InternalError")
SANDBOX_RESTART = Reason("Server.ScheduledStop", "The sandbox ended while the instance ran", "Server.ScheduledStop")


@dataclass(frozen=True)
class Fate:
    """How a boot goes."""

    delay_s: float = 0.0
    """So much longer ``pending``."""
    failure: Reason | None = None
    """Why it ends in ``terminated`` instead of ``running``."""


@dataclass
class Machine:
    """An instance of moto and the host that makes it real."""

    instance: Any
    """moto's `Instance`; its state is changed only through `Machines`."""
    host: Host
    created_at: float = field(default_factory=time.monotonic)
    running_since: float | None = None
    ended_at: datetime | None = None
    power: threading.Lock = field(default_factory=threading.Lock)

    @property
    def id(self) -> str:
        """Instance id."""
        return str(self.instance.id)

    @property
    def state(self) -> str:
        """EC2's word for its state."""
        return str(self.instance._state.name)  # noqa: SLF001 - moto offers no setter and no other place

    @property
    def market(self) -> str:
        """``spot`` or ``on-demand``."""
        return str(self.instance.lifecycle or "on-demand")

    @property
    def stoppable(self) -> bool:
        """Whether it can be stopped: instances of one-time Spot requests cannot."""
        return not self.instance.lifecycle or self.instance.spot_type == "persistent"


class Machines:
    """All machines of the sandbox.

    Parameters
    ----------
    on_change
        Called after each change of state, to keep it on disk.
    on_end
        Called when a machine is gone, before its state becomes ``terminated``, to give its volumes back.
    """

    def __init__(
        self, settings: Settings, on_change: Callable[[Machine], None], on_end: Callable[[Machine], None]
    ) -> None:
        self._settings = settings
        self._on_change = on_change
        self._on_end = on_end
        self._machines: dict[str, Machine] = {}
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._closing = threading.Event()
        self.on_up: Callable[[Machine], None] = lambda _: None
        """Called when a machine has booted and runs, also after a reboot."""
        self.on_agent_restart: Callable[[str], None] = lambda _: None
        """Called with the id of a machine whose SSM agent was started anew from inside."""

    def add(self, machine: Machine) -> None:
        """Take a machine in, in whatever state it is."""
        with self._lock:
            self._machines[machine.id] = machine
        self._on_change(machine)

    def find(self, instance_id: str) -> Machine | None:
        """Give the machine of an instance id; None for ids that are unknown or long gone."""
        with self._lock:
            return self._machines.get(instance_id)

    def all(self) -> list[Machine]:
        """Give every machine that can still be described."""
        with self._lock:
            return list(self._machines.values())

    def live(self) -> list[Machine]:
        """Give the machines that count against the limit of instances."""
        return [machine for machine in self.all() if machine.state in LIVE_STATES]

    def counted(self) -> list[Machine]:
        """Give the machines that count to quotas: those that run, and for a while those that have ended."""
        now, release = datetime.now(UTC), timedelta(seconds=self._settings.quota_release_s)
        return [
            machine
            for machine in self.all()
            if machine.state in ("pending", "running", "shutting-down")
            or (machine.ended_at is not None and now - machine.ended_at < release)
        ]

    def visible(self, instance_id: str) -> bool:
        """Whether other calls know a fresh id already (EC2 API reference, "Eventual consistency")."""
        machine = self.find(instance_id)
        return machine is None or time.monotonic() - machine.created_at >= self._settings.visible_s

    def forget_ended(self) -> list[str]:
        """Drop machines that ended long ago and give their ids."""
        horizon = datetime.now(UTC) - DESCRIBABLE_AFTER_END
        with self._lock:
            gone = [one.id for one in self._machines.values() if one.ended_at is not None and one.ended_at < horizon]
            for instance_id in gone:
                del self._machines[instance_id]
        return gone

    def boot(self, machine: Machine, fate: Fate | None = None) -> bool:
        """Take a new machine from ``pending`` to ``running``, when the host is up; gives whether it still is new."""
        return self._go(machine, ("pending",), "pending", Reason(), partial(self._boot, fate or Fate()))

    def start(self, machine: Machine, fate: Fate | None = None) -> bool:
        """Go from ``stopped`` to ``pending`` and on as a new one; gives whether it was stopped."""
        return self._go(machine, ("stopped",), "pending", Reason(), partial(self._boot, fate or Fate()))

    def stop(self, machine: Machine, reason: Reason) -> bool:
        """Go from ``running`` to ``stopping`` and, when every process is gone, to ``stopped``. The disk stays.

        Returns
        -------
        bool
            Whether it was running.
        """
        return self._go(machine, ("running",), "stopping", reason, self._stop)

    def terminate(self, machine: Machine, reason: Reason) -> bool:
        """Go to ``shutting-down`` and, when nothing is left of the host, to ``terminated``.

        Returns
        -------
        bool
            Whether it was neither at its end already nor on the way there.
        """
        return self._go(machine, _BEFORE_THE_END, "shutting-down", reason, self._terminate)

    def resume_termination(self, machine: Machine) -> None:
        """Go on with a termination that the end of the sandbox has cut off."""
        self._in_background(self._terminate, machine)

    def reboot(self, machine: Machine) -> None:
        """Power the host off and on; EC2 shows ``running`` all the while."""
        self._in_background(self._reboot, machine)

    def guest_shutdown(self, instance_id: str) -> None:
        """Obey a machine that powered itself off, by its ``InstanceInitiatedShutdownBehavior``."""
        machine = self.find(instance_id)
        if machine is None:
            return
        # A one-time Spot Instance cannot be stopped, so its shutdown ends it.
        ends = machine.instance.instance_initiated_shutdown_behavior == "terminate" or not machine.stoppable
        if ends:
            self._go(machine, ("running",), "shutting-down", GUEST_SHUTDOWN, self._terminate)
        else:
            self.stop(machine, GUEST_SHUTDOWN)

    def guest_reboot(self, instance_id: str) -> None:
        """Start a machine again that went down for that; EC2 shows ``running`` all the while."""
        machine = self.find(instance_id)
        if machine is not None and machine.state == "running":
            self.reboot(machine)

    def agent_restarted(self, instance_id: str) -> None:
        """Pass on that a machine's agent was started anew."""
        self.on_agent_restart(instance_id)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something later, unless the sandbox ends before."""

        def wait_and_act() -> None:
            if not self._closing.wait(seconds):
                action()

        threading.Thread(target=wait_and_act, daemon=True).start()

    def close(self) -> None:
        """Power every host off. Their states stay what they are, so that a restart can tell what was cut off."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        for machine in self.all():
            if machine.state != "terminated":
                with machine.power:
                    machine.host.power_off()

    def _go(
        self, machine: Machine, allowed: Sequence[str], state: str, reason: Reason, action: Callable[[Machine], None]
    ) -> bool:
        """Change the state and begin what belongs to it, if the state is one of `allowed`; gives whether it was."""
        with self._lock:
            if machine.state not in allowed:
                return False
            self._set_state(machine, state, reason)
        self._in_background(action, machine)
        return True

    def _in_background(self, action: Callable[[Machine], None], machine: Machine) -> None:
        threading.Thread(target=self._guarded, args=(action, machine), name=machine.id, daemon=True).start()

    def _guarded(self, action: Callable[[Machine], None], machine: Machine) -> None:
        with machine.power:
            if self._closing.is_set():
                return
            try:
                action(machine)
            except Exception as error:  # whatever it is: nobody else would see it, and the state would stay for ever
                log.exception("%s failed in state %s", machine.id, machine.state)
                if not self._closing.is_set():
                    self._end(machine, Reason("Server.InternalError", f"Internal error on launch: {error}"))

    def _boot(self, fate: Fate, machine: Machine) -> None:
        if machine.state != "pending":
            return
        self._stay(machine, "pending", fate.delay_s + (self._settings.pending_s if fate.failure else 0.0))
        if machine.state != "pending" or self._closing.is_set():
            return
        if fate.failure is not None:
            self._fail(machine, fate.failure)
            return
        started = time.monotonic()
        machine.host.boot()
        self._stay(machine, "pending", self._settings.pending_s - (time.monotonic() - started))
        with self._lock:
            if machine.state == "pending":
                machine.running_since = time.monotonic()
                self._set_state(machine, "running", Reason())
        self.on_up(machine)
        if not machine.host.alive:  # powered itself off before EC2 said "running"
            self.guest_shutdown(machine.id)

    def _stay(self, machine: Machine, state: str, seconds: float) -> None:
        """Wait while a machine is in a state; a call that overtakes ends the wait."""
        with self._changed:
            self._changed.wait_for(lambda: machine.state != state or self._closing.is_set(), max(0.0, seconds))

    def _fail(self, machine: Machine, failure: Reason) -> None:
        with self._lock:
            if machine.state != "pending":
                return  # somebody was faster and terminated it
            self._set_state(machine, "shutting-down", failure)
        self._terminate(machine)

    def _stop(self, machine: Machine) -> None:
        started = time.monotonic()
        machine.host.power_off()
        self._closing.wait(max(0.0, self._settings.stopping_s - (time.monotonic() - started)))
        with self._lock:
            if machine.state == "stopping":
                self._set_state(machine, "stopped", None)

    def _terminate(self, machine: Machine) -> None:
        if machine.state == "terminated":
            return
        started = time.monotonic()
        machine.host.destroy()
        self._closing.wait(max(0.0, self._settings.stopping_s - (time.monotonic() - started)))
        self._end(machine, None)

    def _reboot(self, machine: Machine) -> None:
        if machine.state == "running":
            machine.host.power_off()
            machine.host.boot()
            machine.running_since = time.monotonic()
            self.on_up(machine)

    def _end(self, machine: Machine, reason: Reason | None) -> None:
        with self._lock:
            if machine.state == "terminated":
                return
            if reason is not None:
                set_reason(machine.instance, reason)
            machine.ended_at = datetime.now(UTC)
            try:
                self._on_end(machine)
            except Exception:  # what it did not give back is lost; the machine has ended all the same
                log.exception("%s could not give back what it had", machine.id)
            self._set_state(machine, "terminated", None)

    def _set_state(self, machine: Machine, name: str, reason: Reason | None) -> None:
        """Write a state into moto's instance; `reason` None keeps the reason that is there."""
        instance = machine.instance
        with self._lock:
            if name not in ("running", "pending"):
                machine.running_since = None
            instance._state.name, instance._state.code = name, STATE_CODES[name]  # noqa: SLF001
            if reason is not None:
                set_reason(instance, reason)
            self._changed.notify_all()
        self._on_change(machine)


def set_reason(instance: Any, reason: Reason) -> None:
    """Write StateReason and StateTransitionReason as DescribeInstances shows them."""
    from moto.ec2.models.instances import StateReason

    message = f"{reason.code}: {reason.message}" if reason.code else ""
    instance.state_reason = StateReason(message, reason.code)
    instance._reason = reason.transition  # noqa: SLF001
