"""Schedules that are made, deleted and due at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runctl_jupyter.sandbox.control.other_services.scheduler import Scheduler
from runctl_jupyter.sandbox.control.requests.protocol_errors import ServiceError
from runctl_jupyter.sandbox.control.requests.service_calls import ServiceCall

_CALLERS = 8


class Case:
    """A scheduler whose target waits until the test lets it go on."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(lambda _role: True, self.invoke)
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.invoked: list[Mapping[str, Any]] = []

    def invoke(self, _service: str, _operation: str, given: Mapping[str, Any], _role: str) -> None:
        self.invoked.append(given)
        self.begun.set()
        assert self.go_on.wait(10)

    def call(self, action: str, **parameters: Any) -> Mapping[str, Any]:
        call = ServiceCall("scheduler", "POST", "/", "", {"x-amz-target": f"AWSScheduler.{action}"}, b"")
        call.__dict__["action"] = action
        return self.scheduler.answer(call, parameters)

    def create(self, name: str, seconds: float, **changes: Any) -> Mapping[str, Any]:
        due = datetime.now(UTC) + timedelta(seconds=seconds)
        target = {"Arn": "arn:aws:scheduler:::aws-sdk:ec2:deleteVolume", "RoleArn": "arn:aws:iam::1:role/r"}
        return self.call(
            "CreateSchedule", Name=name, ScheduleExpression=f"at({due:%Y-%m-%dT%H:%M:%S})", Target=target,
            FlexibleTimeWindow={"Mode": "OFF"}, ActionAfterCompletion="DELETE", **changes,
        )  # fmt: skip

    def names(self) -> list[str]:
        return [one["Name"] for one in self.call("ListSchedules")["Schedules"]]


@pytest.fixture
def case() -> Iterator[Case]:
    made = Case()
    yield made
    made.go_on.set()
    made.scheduler.close()


def test_a_schedule_made_anew_while_the_old_one_is_at_work_stays(case: Case) -> None:
    case.create("again", 1.5)
    assert case.begun.wait(10)
    worker = next(one for one in threading.enumerate() if isinstance(one, threading.Timer) and one.is_alive())
    case.call("DeleteSchedule", Name="again")
    case.create("again", 3600)
    case.go_on.set()
    worker.join(10)
    assert not worker.is_alive()
    assert case.names() == ["again"]
    assert len(case.invoked) == 1


def test_of_many_that_make_one_name_one_does(case: Case) -> None:
    together = threading.Barrier(_CALLERS)
    outcomes: list[str] = []

    def create(number: int) -> None:
        together.wait()
        try:
            case.create("same", 3600, ClientToken=str(number))
            outcomes.append("made")
        except ServiceError as error:
            outcomes.append(str(error.code))

    callers = [threading.Thread(target=create, args=[number]) for number in range(_CALLERS)]
    for one in callers:
        one.start()
    for one in callers:
        one.join()
    assert sorted(outcomes) == ["ConflictException"] * (_CALLERS - 1) + ["made"]
    assert case.names() == ["same"]


def test_what_was_deleted_does_not_happen(case: Case) -> None:
    case.create("gone", 1.5)
    case.create("stays", 1.5)
    case.call("DeleteSchedule", Name="gone")
    assert case.begun.wait(10)
    case.go_on.set()
    assert len(case.invoked) == 1
