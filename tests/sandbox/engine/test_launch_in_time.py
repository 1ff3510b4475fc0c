"""Launching where AWS takes its time: a profile that EC2 does not know yet, an id that is unknown for a moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration import Instance, Runctl
from runctl_jupyter.orchestration.aws.ec2 import Ec2
from runctl_jupyter.orchestration.aws.session import AwsSession
from runctl_jupyter.orchestration.errors import PermissionDenied
from runctl_jupyter.orchestration.instances.describe import TAG_PROTECTED
from runctl_jupyter.sandbox import faults_client, service
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.conftest import client, sandbox_mode
from tests.sandbox.control.conftest import Account
from tests.sandbox.control.test_users import acting

PROFILE = "runctl-instance"


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """A sandbox that takes its time, so that what is only briefly so can be seen, on a busy machine too."""
    home = tmp_path / "sandbox"
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    try:
        started = service.start(home, sandbox_mode(), service.StartOptions(pace=4.0))
        monkeypatch.setenv("RUNCTL_SANDBOX_HOME", started.home)
        yield started
    finally:
        service.stop(home)


def make_profile(iam: Any) -> None:
    """Make the instance profile anew: EC2 does not know it for a moment."""
    iam.remove_role_from_instance_profile(InstanceProfileName=PROFILE, RoleName=PROFILE)
    iam.delete_instance_profile(InstanceProfileName=PROFILE)
    iam.create_instance_profile(InstanceProfileName=PROFILE)
    iam.add_role_to_instance_profile(InstanceProfileName=PROFILE, RoleName=PROFILE)


@pytest.mark.machineless
def test_a_launch_right_after_the_profile_was_made(slow: Connection, tmp_path: Path) -> None:
    account = Account(lambda name: client(slow, name))
    rc = Runctl(target="sandbox", cwd=tmp_path)
    refused: list[bool] = []

    def note(parsed: dict[str, Any], **_: Any) -> None:
        refused.append("Invalid IAM Instance Profile" in str(parsed))

    iam = acting(slow, faults_client.admin_env(slow), "iam")

    def again(**_: Any) -> None:
        """Just before each try, however long the plan has taken, until one was refused for it."""
        if not any(refused):
            make_profile(iam)

    events = rc._session.launcher.meta.events
    events.register("before-call.ec2.CreateFleet", again)
    events.register("after-call.ec2.CreateFleet", note)
    make_profile(iam)
    made = rc.instances.create("m5.large")
    # The template is fresh as well, and EC2 may say so first.
    assert (any(refused), refused[-1]) == (True, False)
    assert isinstance(made, Instance)
    assert [each.id for each in rc.instances.list()] == [made.id]
    assert account.ec2.describe_launch_templates()["LaunchTemplates"] == []


@pytest.mark.machineless
def test_a_launch_that_is_refused_at_once_leaves_no_template(slow: Connection, tmp_path: Path) -> None:
    faults_client.add(slow, "denied", service="ec2", operation="CreateFleet")
    faults_client.add(slow, "denied", service="ec2", operation="RunInstances")
    with pytest.raises(PermissionDenied):
        Runctl(target="sandbox", cwd=tmp_path).instances.create("m5.large")
    ec2 = client(slow, "ec2")
    assert ec2.describe_launch_templates()["LaunchTemplates"] == []
    assert ec2.describe_instances()["Reservations"] == []


@pytest.mark.machineless
def test_what_is_done_with_an_id_at_once_is_done_when_it_is_known(slow: Connection, tmp_path: Path) -> None:
    account = Account(lambda name: client(slow, name))
    ec2 = Ec2(AwsSession(Runctl(target="sandbox", cwd=tmp_path).connection))
    fresh = account.launch()
    ec2.set_tag(fresh, TAG_PROTECTED, "true")
    tags = {tag["Key"]: tag["Value"] for tag in account.describe(fresh)["Tags"]}
    assert tags[TAG_PROTECTED] == "true"
    other = account.launch()
    ec2.terminate([other])
    assert account.state(other) in ("shutting-down", "terminated")
