"""EventBridge Scheduler: one-time schedules that call AWS when they are due, with the rights of their role.

Sources: EventBridge Scheduler API reference and User Guide ("Schedule types", "Using universal targets", "Deletion
after schedule completion"). Recurring schedules and dead-letter queues are not here; schedules end with the process.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from runctl_jupyter.sandbox.control.other_services.schedule_groups import ScheduleGroups, not_found, page
from runctl_jupyter.sandbox.control.requests.protocol_errors import ServiceError
from runctl_jupyter.sandbox.control.requests.service_calls import ServiceCall
from runctl_jupyter.sandbox.control.requests.services import SERVICES, operation_names
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID

log = logging.getLogger(__name__)

_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_TARGET = re.compile(r"arn:aws:scheduler:::aws-sdk:([a-z0-9-]+):([a-zA-Z0-9]+)")
_DEFAULT_GROUP = "default"

Invoke = Callable[[str, str, Mapping[str, Any], str], None]
"""Calls an operation (service, its name, its parameters) as a role (its ARN)."""


@dataclass
class Schedule:
    """A schedule that is waited for."""

    region: str
    group: str
    name: str
    parameters: Mapping[str, Any]
    due: datetime
    timer: threading.Timer | None = None
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is found by."""
        return self.region, self.group, self.name

    @property
    def arn(self) -> str:
        """Its ARN."""
        return f"arn:aws:scheduler:{self.region}:{ACCOUNT_ID}:schedule/{self.group}/{self.name}"

    def to_json(self, *, brief: bool) -> dict[str, Any]:
        """Describe it as GetSchedule does, or ListSchedules."""
        common = {
            "Arn": self.arn, "Name": self.name, "GroupName": self.group,
            "State": self.parameters.get("State", "ENABLED"),
            "CreationDate": self.created.timestamp(), "LastModificationDate": self.created.timestamp(),
        }  # fmt: skip
        target = self.parameters["Target"]
        if brief:
            return {**common, "Target": {"Arn": target["Arn"]}}
        named = ("ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow", "Description",
                 "ActionAfterCompletion")  # fmt: skip
        return {
            "ScheduleExpressionTimezone": "UTC", "ActionAfterCompletion": "NONE", **common, "Target": target,
            **{name: self.parameters[name] for name in named if name in self.parameters},
        }  # fmt: skip


class Scheduler:
    """The schedules of the account.

    Parameters
    ----------
    trusts
        Whether a role exists and lets this service take it.
    """

    def __init__(self, trusts: Callable[[str], bool], invoke: Invoke) -> None:
        self._trusts, self._invoke = trusts, invoke
        self._lock = threading.RLock()
        """Held for a whole call: what is looked at is what is changed."""
        self._schedules: dict[tuple[str, str, str], Schedule] = {}
        self._groups = ScheduleGroups()

    def answer(self, call: ServiceCall, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer a call.

        Raises
        ------
        ServiceError
            It is refused.
        NotImplementedError
            Recurring schedules and operations that are not here.
        """
        with self._lock:
            return self._answer(call, parameters)

    def _answer(self, call: ServiceCall, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        region, name = call.region, parameters.get("Name", "")
        if call.action == "DeleteScheduleGroup":
            for one in self._of(region, name):
                self._remove(one)
        if "Group" in call.action or call.action.endswith(("Resource", "ForResource")):
            return self._groups.answer(call.action, region, parameters)
        if call.action == "ListSchedules":
            return self._list(region, parameters)
        group = parameters.get("GroupName", _DEFAULT_GROUP)
        self._groups.require(region, group)
        if call.action == "CreateSchedule":
            return self._create(region, group, name, parameters)
        if call.action not in ("GetSchedule", "DeleteSchedule", "UpdateSchedule"):
            raise NotImplementedError(call.action)
        found = self._schedules.get((region, group, name))
        if found is None:
            raise not_found("Schedule", name)
        if call.action == "GetSchedule":
            return found.to_json(brief=False)
        if call.action == "UpdateSchedule":
            changed = self._checked(region, group, name, parameters)
            self._remove(found)
            self._add(changed)
            return {"ScheduleArn": found.arn}
        self._remove(found)
        return {}

    def close(self) -> None:
        """Let nothing become due any more."""
        with self._lock:
            for one in list(self._schedules.values()):
                self._remove(one)

    def _create(self, region: str, group: str, name: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        schedule = self._checked(region, group, name, parameters)
        existing = self._schedules.get((region, group, name))
        if existing is not None:
            if existing.parameters == parameters:  # its ClientToken is among them: the same call once more
                return {"ScheduleArn": existing.arn}
            raise ServiceError("ConflictException", f"Schedule {name} already exists.", 409)
        self._add(schedule)
        return {"ScheduleArn": schedule.arn}

    def _of(self, region: str, group: str | None) -> list[Schedule]:
        rows = [one for _, one in sorted(self._schedules.items()) if one.region == region]
        return [one for one in rows if group in (None, one.group)]

    def _list(self, region: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        rows = self._of(region, parameters.get("GroupName"))
        rows = [one for one in rows if one.name.startswith(parameters.get("NamePrefix", ""))]
        return page("Schedules", [one.to_json(brief=True) for one in rows], parameters)

    def _checked(self, region: str, group: str, name: str, parameters: Mapping[str, Any]) -> Schedule:
        due = _due(str(parameters["ScheduleExpression"]), str(parameters.get("ScheduleExpressionTimezone", "UTC")))
        if due <= datetime.now(UTC):
            raise _invalid("The schedule expression is in the past.")
        window = parameters["FlexibleTimeWindow"]
        if window["Mode"] == "FLEXIBLE" and "MaximumWindowInMinutes" not in window:
            raise _invalid("A FLEXIBLE time window needs MaximumWindowInMinutes.")
        target = parameters["Target"]
        _operation(target["Arn"])
        try:
            given = json.loads(target.get("Input", "{}"))
        except ValueError:
            given = None
        if not isinstance(given, dict):
            raise _invalid("The Input of the target is not a JSON object.")
        if not self._trusts(target["RoleArn"]):
            raise _invalid("The execution role you provide must allow AWS EventBridge Scheduler to assume the role.")
        return Schedule(region, group, name, dict(parameters), due)

    def _add(self, schedule: Schedule) -> None:
        seconds = max(0.0, (schedule.due - datetime.now(UTC)).total_seconds())
        self._schedules[schedule.key] = schedule
        if schedule.parameters.get("State") != "DISABLED":
            schedule.timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), self._fire, [schedule])
            schedule.timer.daemon = True
            schedule.timer.start()

    def _remove(self, schedule: Schedule) -> None:
        """Take out this very schedule, not one that has its name by now."""
        if schedule.timer is not None:
            schedule.timer.cancel()
        with self._lock:
            if self._schedules.get(schedule.key) is schedule:
                del self._schedules[schedule.key]

    def _fire(self, schedule: Schedule) -> None:
        with self._lock:
            if self._schedules.get(schedule.key) is not schedule:
                return  # deleted or changed while its timer was on the way
        target = schedule.parameters["Target"]
        service, operation = _operation(target["Arn"])
        try:
            self._invoke(service, operation, json.loads(target.get("Input", "{}")), target["RoleArn"])
            log.info("schedule %s has called %s:%s", schedule.name, service, operation)
        except Exception:  # whatever the service answers: a schedule has nobody to tell it
            log.exception("schedule %s could not call %s:%s", schedule.name, service, operation)
        if schedule.parameters.get("ActionAfterCompletion") == "DELETE":
            self._remove(schedule)


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def _due(expression: str, zone: str) -> datetime:
    match = _AT.fullmatch(expression)
    if match is None:
        if re.fullmatch(r"(rate|cron)\(.+\)", expression):
            raise NotImplementedError("recurring schedules")
        raise _invalid(f"Invalid Schedule Expression {expression}.")
    try:
        return datetime.fromisoformat(match[1]).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    except (ValueError, ZoneInfoNotFoundError):
        raise _invalid(f"Invalid Schedule Expression {expression} in {zone}.") from None


def _operation(arn: str) -> tuple[str, str]:
    """Service and operation that a universal target names."""
    match = _TARGET.fullmatch(arn)
    if match is None:
        raise _invalid(f"Provided Arn is not in correct format or not a target of the sandbox: {arn}")
    service, operation = match[1], match[2][0].upper() + match[2][1:]
    if service not in SERVICES or operation not in operation_names(service):
        raise _invalid(f"{arn} names no operation of a service here.")
    return service, operation
