"""One machine, many callers: what may follow on what, and that every end is a whole one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from moto.ec2.models.instances import InstanceState

from runctl_jupyter.sandbox.control.ec2.machines import POWER_LOSS, Machine, Machines, user_initiated
from runctl_jupyter.sandbox.control.settings import Settings


class Host:
    """Counts what is done to it; its boot can be made to fail."""

    alive = True
    failure: Exception | None = None

    def __init__(self) -> None:
        self.done: list[str] = []

    def boot(self) -> None:
        self.done.append("boot")
        if self.failure is not None:
            raise self.failure

    def power_off(self) -> None:
        self.done.append("off")

    def destroy(self) -> None:
        self.done.append("destroy")


class Seen:
    """What the account's records saw at each change."""

    def __init__(self) -> None:
        self.words: list[tuple[str, bool, bool]] = []
        self.given_back = False
        self.end_fails = False

    def change(self, machine: Machine) -> None:
        self.words.append((machine.state, machine.ended_at is not None, self.given_back))

    def end(self, machine: Machine) -> None:
        assert machine.state != "terminated"
        if self.end_fails:
            raise KeyError("vol-gone")
        self.given_back = True


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def machines(seen: Seen) -> Machines:
    return Machines(Settings(home=Path("nowhere"), pace=0.0), seen.change, seen.end)


def machine_in(state: str, machines: Machines) -> Machine:
    instance: Any = SimpleNamespace(
        id="i-1", lifecycle=None, _state=InstanceState(state, 0), state_reason=None, _reason="",
        instance_initiated_shutdown_behavior="stop",
    )  # fmt: skip
    host: Any = Host()
    machine = Machine(instance, host)
    machines.add(machine)
    return machine


def host_of(machine: Machine) -> Host:
    host: Any = machine.host
    assert isinstance(host, Host)
    return host


def until(look: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not look():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("state", "allowed"),
    [
        ("pending", {"boot", "terminate"}),
        ("running", {"stop", "terminate"}),
        ("stopping", {"terminate"}),
        ("stopped", {"start", "terminate"}),
        ("shutting-down", set()),
        ("terminated", set()),
    ],
)
def test_what_may_follow_on_a_state(machines: Machines, state: str, allowed: set[str]) -> None:
    calls: dict[str, Callable[[Machine], bool]] = {
        "boot": machines.boot,
        "start": machines.start,
        "stop": lambda machine: machines.stop(machine, user_initiated()),
        "terminate": lambda machine: machines.terminate(machine, user_initiated()),
    }
    happened = {name for name, call in calls.items() if call(machine_in(state, machines))}
    assert happened == allowed


def test_of_many_calls_at_once_one_happens(machines: Machines) -> None:
    machine = machine_in("stopped", machines)
    together = threading.Barrier(8)
    happened: list[bool] = []

    def start() -> None:
        together.wait()
        happened.append(machines.start(machine))

    callers = [threading.Thread(target=start) for _ in range(8)]
    for one in callers:
        one.start()
    for one in callers:
        one.join()
    assert sorted(happened) == [False] * 7 + [True]
    until(lambda: machine.state == "running")
    assert host_of(machine).done == ["boot"]


def test_what_goes_wrong_in_whatever_way_ends_the_machine(
    machines: Machines, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    machine = machine_in("pending", machines)
    host_of(machine).failure = KeyError("no such thing")
    machines.boot(machine)
    until(lambda: machine.state == "terminated")
    assert machine.instance.state_reason.code == "Server.InternalError"
    assert "i-1 failed in state pending" in caplog.text
    assert seen.words[-1] == ("terminated", True, True)


def test_terminated_shows_only_when_all_is_given_back(machines: Machines, seen: Seen) -> None:
    machine = machine_in("running", machines)
    machines.terminate(machine, POWER_LOSS)
    until(lambda: machine.state == "terminated")
    assert [word for word in seen.words if word[0] == "terminated"] == [("terminated", True, True)]
    assert machine.instance.state_reason.code == POWER_LOSS.code


def test_what_cannot_be_given_back_keeps_no_machine_alive(machines: Machines, seen: Seen) -> None:
    machine = machine_in("running", machines)
    seen.end_fails = True
    machines.terminate(machine, user_initiated())
    until(lambda: machine.state == "terminated")
    assert seen.words[-1] == ("terminated", True, False)
