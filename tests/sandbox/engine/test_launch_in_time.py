"""Launching where AWS takes its time: a profile that EC2 does not know yet, an id that is unknown for a moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from runctl_jupyter.orchestration import Instance, Runctl
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


@pytest.mark.machineless
def test_a_launch_right_after_the_profile_was_made(slow: Connection, tmp_path: Path) -> None:
    iam = acting(slow, faults_client.admin_env(slow), "iam")
    iam.remove_role_from_instance_profile(InstanceProfileName=PROFILE, RoleName=PROFILE)
    iam.delete_instance_profile(InstanceProfileName=PROFILE)
    iam.create_instance_profile(InstanceProfileName=PROFILE)
    iam.add_role_to_instance_profile(InstanceProfileName=PROFILE, RoleName=PROFILE)
    account = Account(lambda name: client(slow, name))
    with pytest.raises(ClientError, match="Invalid IAM Instance Profile"):
        account.launch()
    rc = Runctl(target="sandbox", cwd=tmp_path)
    made = rc.instances.create("m5.large")
    assert isinstance(made, Instance)
    assert [each.id for each in rc.instances.list()] == [made.id]
    assert account.ec2.describe_launch_templates()["LaunchTemplates"] == []
