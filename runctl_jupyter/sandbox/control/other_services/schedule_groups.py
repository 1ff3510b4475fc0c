"""Groups of schedules: the only things of EventBridge Scheduler that have tags (API reference, TagResource)."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from runctl_jupyter.sandbox.control.requests.protocol_errors import ServiceError
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID

_DEFAULT = "default"


def not_found(kind: str, name: str) -> ServiceError:
    """Make the error of what does not exist."""
    return ServiceError("ResourceNotFoundException", f"{kind} {name} does not exist.", 404)


def page(member: str, rows: Sequence[Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Give one page of a list under the name of its member."""
    start = int(parameters.get("NextToken") or 0)
    end = start + int(parameters.get("MaxResults") or 100)
    following = {"NextToken": str(end)} if end < len(rows) else {}
    return {member: rows[start:end], **following}


class ScheduleGroups:
    """The groups of every region; ``default`` is there from the start and has no tags."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tags: dict[tuple[str, str], dict[str, str]] = {}
        self._created: dict[tuple[str, str], float] = {}

    def require(self, region: str, name: str) -> None:
        """Refuse a group that does not exist."""
        if name != _DEFAULT and (region, name) not in self._tags:
            raise not_found("Schedule group", name)

    def answer(self, action: str, region: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer a call about groups or their tags.

        Raises
        ------
        ServiceError
            It is refused.
        NotImplementedError
            It is no call about groups.
        """
        if action == "ListScheduleGroups":
            with self._lock:
                names = [_DEFAULT, *sorted(name for where, name in self._tags if where == region)]
            prefix = parameters.get("NamePrefix", "")
            rows = [self._described(region, one) for one in names if one.startswith(prefix)]
            return page("ScheduleGroups", rows, parameters)
        if action == "CreateScheduleGroup":
            return self._create(region, str(parameters["Name"]), _tags(parameters))
        name = str(parameters.get("Name") or str(parameters["ResourceArn"]).rpartition("/")[2])
        self.require(region, name)
        if action == "GetScheduleGroup":
            return self._described(region, name)
        if name == _DEFAULT and action != "ListTagsForResource":
            raise ServiceError("ValidationException", "The default schedule group cannot be changed.")
        with self._lock:
            return self._changed(action, (region, name), parameters)

    def _create(self, region: str, name: str, tags: dict[str, str]) -> Mapping[str, Any]:
        with self._lock:
            if name == _DEFAULT or (region, name) in self._tags:
                raise ServiceError("ConflictException", f"Schedule group {name} already exists.", 409)
            self._tags[region, name] = tags
            self._created[region, name] = time.time()
        return {"ScheduleGroupArn": _arn(region, name)}

    def _changed(self, action: str, place: tuple[str, str], parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        tags = self._tags.get(place, {})
        if action == "ListTagsForResource":
            return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        if action == "TagResource":
            tags.update(_tags(parameters))
        elif action == "UntagResource":
            for key in parameters["TagKeys"]:
                tags.pop(key, None)
        elif action == "DeleteScheduleGroup":
            del self._tags[place]
        else:
            raise NotImplementedError(action)
        return {}

    def _described(self, region: str, name: str) -> dict[str, Any]:
        created = self._created.get((region, name), 0.0)
        return {"Arn": _arn(region, name), "Name": name, "State": "ACTIVE", "CreationDate": created,
                "LastModificationDate": created}  # fmt: skip


def _tags(parameters: Mapping[str, Any]) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in parameters.get("Tags") or ()}


def _arn(region: str, name: str) -> str:
    return f"arn:aws:scheduler:{region}:{ACCOUNT_ID}:schedule-group/{name}"
