"""Whether waiting for a profile can help."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from runctl_jupyter.orchestration.aws.profiles import may_be_new
from runctl_jupyter.orchestration.aws.session import AwsSession
from runctl_jupyter.run_record import now


def answer(made: datetime, role: datetime | None = None) -> dict[str, Any]:
    roles = [] if role is None else [{"CreateDate": role}]
    return {"InstanceProfile": {"CreateDate": made, "Roles": roles}}


def asked(found: dict[str, Any] | Exception) -> bool:
    def get_instance_profile(InstanceProfileName: str) -> dict[str, Any]:  # noqa: N803 - as boto3 names it
        assert InstanceProfileName == "runctl-instance"
        if isinstance(found, Exception):
            raise found
        return found

    session = SimpleNamespace(iam=SimpleNamespace(get_instance_profile=get_instance_profile))
    return may_be_new(cast(AwsSession, session), "runctl-instance")


@pytest.mark.parametrize(("profile", "role", "new"), [(0, 0, True), (60, 0, True), (60, 60, False), (60, None, False)])
def test_a_profile_is_as_new_as_its_role(profile: int, role: int | None, new: bool) -> None:
    def ago(minutes: int) -> datetime:
        return now() - timedelta(minutes=minutes)

    assert asked(answer(ago(profile), None if role is None else ago(role))) is new


@pytest.mark.parametrize(
    "error",
    [
        *(ClientError({"Error": {"Code": code}}, "GetInstanceProfile") for code in ("NoSuchEntity", "AccessDenied")),
        BotoCoreError(),
    ],
)
def test_what_iam_does_not_tell_is_not_waited_for(error: Exception) -> None:
    assert asked(error) is False
