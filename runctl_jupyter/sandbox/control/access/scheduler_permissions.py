"""What a request to EventBridge Scheduler needs to be allowed (Service Authorization Reference)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote

from runctl_jupyter.sandbox.control.access.policies import Permission
from runctl_jupyter.sandbox.control.requests.service_calls import ServiceCall
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID

_LISTS = {"schedules": "ListSchedules", "schedule-groups": "ListScheduleGroups"}
_ON_ONE = {"GET": "Get", "POST": "Create", "PUT": "Update", "DELETE": "Delete"}
_ON_TAGS = {"GET": "ListTagsForResource", "POST": "TagResource", "DELETE": "UntagResource"}


def scheduler_permissions(call: ServiceCall) -> Iterator[Permission]:
    """List the permissions of a request; which operation it is stands in its method and path."""
    kind, _, rest = call.path.strip("/").partition("/")
    name = unquote(rest)
    if kind == "tags":
        yield Permission(f"scheduler:{_ON_TAGS.get(call.method, '')}", name)
    elif not name:
        yield Permission(f"scheduler:{_LISTS.get(kind, '')}")
    elif kind == "schedule-groups":
        yield Permission(f"scheduler:{_ON_ONE.get(call.method, '')}ScheduleGroup", _arn("schedule-group", name))
    else:
        yield Permission(
            f"scheduler:{_ON_ONE.get(call.method, '')}Schedule", _arn("schedule", f"{_group(call)}/{name}")
        )
        role = _role(call)
        if role is not None:
            yield Permission("iam:PassRole", role, {"iam:passedtoservice": ["scheduler.amazonaws.com"]})


def _group(call: ServiceCall) -> str:
    """Return the group of a schedule: in the query of what reads and deletes, else in the body."""
    named = parse_qs(call.query).get("groupName")
    if named:
        return named[0]
    return str(_document(call).get("GroupName") or "default")


def _role(call: ServiceCall) -> str | None:
    """Role that the schedule shall act with."""
    target = _document(call).get("Target")
    role = target.get("RoleArn") if isinstance(target, dict) else None
    return role if isinstance(role, str) else None


def _document(call: ServiceCall) -> dict[str, Any]:
    try:
        document = json.loads(call.body or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _arn(kind: str, name: str) -> str:
    return f"arn:aws:scheduler:*:{ACCOUNT_ID}:{kind}/{name}"
