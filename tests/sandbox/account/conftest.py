"""Engines on target aws whose endpoint is the sandbox, with a home and keys of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration import Runctl
from runctl_jupyter.orchestration.account.wanted import default_bucket
from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.account.acting import Acting, as_user

PASSING = ("setup-", "theirs")
"""How the roles and buckets of single tests are called."""


@pytest.fixture
def acting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Acting:
    """Make an engine with the credentials of an environment; its machines take `role`."""
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("AWS_PROFILE", "RUNCTL_TARGET", "RUNCTL_BUCKET"):
        monkeypatch.delenv(name, raising=False)

    def make(env: Mapping[str, str], role: str = "setup-role", settings: str = "", **more: Any) -> Runctl:
        for name, value in env.items():
            if name.startswith("AWS_"):
                monkeypatch.setenv(name, value)
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        (folder / ".runctl.toml").write_text(f'[launch]\ninstance_profile = "{role}"\n{settings}')
        return Runctl(target="aws", cwd=folder, **more)

    return make


@pytest.fixture
def admin(sandbox: Connection) -> dict[str, str]:
    return faults_client.admin_env(sandbox)


@pytest.fixture(autouse=True)
def clean(admin: dict[str, str]) -> Iterator[None]:
    """Leave nothing of these tests in the account that the session shares."""
    yield
    iam, s3 = as_user(admin, "iam"), as_user(admin, "s3")
    for profile in iam.list_instance_profiles()["InstanceProfiles"]:
        name = profile["InstanceProfileName"]
        if name.startswith(PASSING):
            for role in profile["Roles"]:
                iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=role["RoleName"])
            iam.delete_instance_profile(InstanceProfileName=name)
    for role in iam.list_roles()["Roles"]:
        name = role["RoleName"]
        if name.startswith(PASSING):
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                iam.delete_role_policy(RoleName=name, PolicyName=policy)
            iam.delete_role(RoleName=name)
    for bucket in s3.list_buckets()["Buckets"]:
        if bucket["Name"].startswith(PASSING) or bucket["Name"] == default_bucket("123456789012", "us-east-1"):
            for found in s3.list_objects_v2(Bucket=bucket["Name"]).get("Contents", []):
                s3.delete_object(Bucket=bucket["Name"], Key=found["Key"])
            s3.delete_bucket(Bucket=bucket["Name"])
    for policy in iam.list_policies(Scope="Local")["Policies"]:
        iam.delete_policy(PolicyArn=policy["Arn"])
