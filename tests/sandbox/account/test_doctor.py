"""`doctor` in an account: what it finds well, what it finds wrong, and that it is never held up."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration.account.checkup import Check, DoctorReport
from runctl_jupyter.orchestration.account.policies import trust_policy, user_policy
from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.account.acting import Acting, as_user

pytestmark = pytest.mark.machineless

ROOT = Path(__file__).parents[3]
PATIENT_S = 30.0
"""For checks that are about what is found, however busy the machine is."""
ALL = {
    "credentials", "identity", "clock", "region", "bucket", "role", "rights of the role", "image", "launch", "network",
    "quota on demand", "quota spot", "role for spot", "price",
}  # fmt: skip


def by_name(report: DoctorReport) -> dict[str, Check]:
    return {check.name: check for check in report.checks}


def examine(rc: Any, instance_type: str = "m5.large") -> dict[str, Check]:
    return by_name(rc.doctor(instance_type=instance_type, timeout=PATIENT_S))


def test_after_setup_all_is_well_for_a_user_with_the_policy_and_no_more(
    acting: Acting, admin: dict[str, str], sandbox: Connection
) -> None:
    bucket = "setup-well"
    acting(admin, bucket=bucket).setup()
    user = faults_client.plain_env(sandbox, user_policy(bucket, role="setup-role"))
    report = acting(user, bucket=bucket).doctor(instance_type="m5.large", timeout=PATIENT_S)
    assert [check for check in report.checks if check.state != "ok"] == []
    assert {check.name for check in report.checks} == ALL
    assert report.well


def test_an_account_that_has_nothing_is_told_to_run_setup(acting: Acting, admin: dict[str, str]) -> None:
    found = examine(acting(admin))
    for name in ("bucket", "role"):
        assert (found[name].state, found[name].fix) == ("blocked", "runctl setup")
    found = examine(acting(admin, bucket="setup-nowhere"))
    assert (found["bucket"].state, found["bucket"].fix) == ("blocked", "runctl setup")


def test_a_bucket_of_somebody_else_or_without_protection(acting: Acting, admin: dict[str, str]) -> None:
    s3 = as_user(admin, "s3")
    s3.create_bucket(Bucket="setup-bare")
    bucket = examine(acting(admin, bucket="setup-bare"))["bucket"]
    assert (bucket.state, bucket.fix) == ("warning", "runctl setup")
    assert "public access" in bucket.what


def test_who_may_not_list_the_bucket_is_told_so(acting: Acting, admin: dict[str, str], sandbox: Connection) -> None:
    as_user(admin, "s3").create_bucket(Bucket="setup-foreign")
    user = faults_client.plain_env(sandbox, user_policy("setup-another", role="setup-role"))
    bucket = examine(acting(user, bucket="setup-foreign"))["bucket"]
    assert bucket.state != "ok"
    assert "another account" in bucket.what


def test_roles_that_machines_cannot_take_or_use(acting: Acting, admin: dict[str, str]) -> None:
    iam = as_user(admin, "iam")
    iam.create_instance_profile(InstanceProfileName="setup-role")
    rc = acting(admin, bucket="setup-well")
    assert "holds no role" in examine(rc)["role"].what
    trust = json.dumps(trust_policy()).replace("ec2.amazonaws.com", "lambda.amazonaws.com")
    iam.create_role(RoleName="setup-role", AssumeRolePolicyDocument=trust)
    iam.add_role_to_instance_profile(InstanceProfileName="setup-role", RoleName="setup-role")
    assert "does not let EC2" in examine(rc)["role"].what
    iam.update_assume_role_policy(RoleName="setup-role", PolicyDocument=json.dumps(trust_policy()))
    found = examine(rc)
    assert found["role"].state == "ok"
    assert found["rights of the role"].state != "ok"


def test_without_rights_it_names_what_is_missing(acting: Acting, sandbox: Connection) -> None:
    policy = user_policy(sandbox.bucket)
    policy["Statement"] = [s for s in policy["Statement"] if s["Sid"] not in ("LaunchNew", "PassRole")]
    user = faults_client.plain_env(sandbox, policy)
    found = examine(acting(user, "runctl-instance", bucket=sandbox.bucket))
    assert found["launch"].state == "blocked"
    assert "ec2:RunInstances" in found["launch"].what
    assert '"Effect": "Allow"' in found["launch"].fix
    nobody = faults_client.plain_env(sandbox)
    found = examine(acting(nobody, "runctl-instance", bucket=sandbox.bucket))
    assert found["identity"].state == "ok"
    assert {found[name].state for name in ("bucket", "role", "network", "quota on demand")} <= {"warning", "blocked"}


@pytest.mark.parametrize(
    ("code", "name", "state"), [("L-DB2E81BA", "quota on demand", "blocked"), ("L-3819A6DF", "quota spot", "warning")]
)
def test_a_type_that_no_quota_has_room_for(
    acting: Acting, admin: dict[str, str], sandbox: Connection, code: str, name: str, state: str
) -> None:
    fault = faults_client.set_quota(sandbox, code, 0)
    try:
        found = examine(acting(admin, "runctl-instance", bucket=sandbox.bucket), "g5.xlarge")
    finally:
        faults_client.clear(sandbox, fault.id)
    assert found[name].state == state
    assert found[name].fix.endswith(f"console.aws.amazon.com/servicequotas/home/services/ec2/quotas/{code}")
    assert "takes 4" in found[name].what
    assert found["quota spot" if name == "quota on demand" else "quota on demand"].state == "ok"


def test_a_subnet_that_leads_nowhere(acting: Acting, admin: dict[str, str], sandbox: Connection) -> None:
    ec2 = as_user(admin, "ec2")
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.0.0/24")["Subnet"]["SubnetId"]
    try:
        rc = acting(admin, "runctl-instance", f'subnet = "{subnet}"\n', bucket=sandbox.bucket)
        network = examine(rc)["network"]
        assert network.state == "blocked"
        assert "ssmmessages" in network.what
    finally:
        ec2.delete_subnet(SubnetId=subnet)
        ec2.delete_vpc(VpcId=vpc)


def test_keys_that_aws_does_not_know(acting: Acting, admin: dict[str, str]) -> None:
    report = acting({**admin, "AWS_ACCESS_KEY_ID": "AKIANOBODYKNOWSTHIS0"}, bucket="b").doctor(timeout=PATIENT_S)
    found = by_name(report)
    assert found["identity"].state == "blocked"
    assert "AWS_PROFILE" in found["identity"].fix
    assert "launch" in found["not known"].what
    assert "bucket" not in found or found["bucket"].state != "ok"
    assert not report.well


@pytest.fixture
def black_hole() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_service_that_never_answers_holds_up_no_other(
    acting: Acting, admin: dict[str, str], sandbox: Connection, black_hole: str
) -> None:
    rc = acting({**admin, "AWS_ENDPOINT_URL_IAM": black_hole}, "runctl-instance", bucket=sandbox.bucket)
    found = by_name(rc.doctor(instance_type="m5.large", timeout=4.0))
    for name in ("identity", "clock", "region", "bucket", "image", "launch", "network"):
        assert found[name].state == "ok", found[name]
    assert "role" not in found or found["role"].state != "ok"


@pytest.mark.parametrize("network", ["black hole", "refused"])
def test_without_a_network_it_says_so_in_time(
    acting: Acting, admin: dict[str, str], black_hole: str, network: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        refused = f"http://127.0.0.1:{unused.getsockname()[1]}"
    rc = acting({**admin, "AWS_ENDPOINT_URL": black_hole if network == "black hole" else refused}, bucket="b")
    begun = time.monotonic()
    report = rc.doctor(timeout=1.0)
    assert time.monotonic() - begun < 15
    assert not report.well
    blocked = [check for check in report.checks if check.state == "blocked"]
    assert any("network" in check.fix for check in blocked)
    assert len(report.checks) <= 4  # one cause, told once


def terminal(tmp_path: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNCTL_", "AWS_", "XDG_"))}
    own = {**kept, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "AWS_EC2_METADATA_DISABLED": "true", **env}
    command = [sys.executable, "-m", "runctl_jupyter", "--target", "aws", "doctor", *words]
    return subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, timeout=60, check=False)


def test_on_a_computer_without_credentials_it_explains_itself(tmp_path: Path) -> None:
    done = terminal(tmp_path)
    assert done.returncode == 1
    assert "There are no AWS credentials" in done.stdout
    assert "aws sso login" in done.stdout
    assert "runctl use sandbox" in done.stdout
    assert done.stderr == ""


def test_a_metadata_service_that_never_answers_is_no_reason_to_wait_for_credentials(
    tmp_path: Path, black_hole: str
) -> None:
    done = terminal(tmp_path, AWS_EC2_METADATA_DISABLED="false", AWS_EC2_METADATA_SERVICE_ENDPOINT=black_hole)
    assert done.returncode == 1
    assert "There are no AWS credentials" in done.stdout
    assert "no answer" not in done.stdout


def test_without_a_region_it_says_how_to_choose_one(tmp_path: Path) -> None:
    done = terminal(tmp_path, "--json", AWS_ACCESS_KEY_ID="AKIDUNIT", AWS_SECRET_ACCESS_KEY="secret")
    assert done.returncode == 1
    region = next(check for check in json.loads(done.stdout)["checks"] if check["name"] == "region")
    assert region["state"] == "blocked"
    assert "runctl use aws --region" in region["fix"]


def test_a_profile_that_is_not_there(tmp_path: Path) -> None:
    done = terminal(tmp_path, AWS_PROFILE="nowhere")
    assert done.returncode == 1
    assert "list-profiles" in done.stdout


def test_a_sign_in_that_is_over(tmp_path: Path) -> None:
    config = tmp_path / ".aws" / "config"
    config.parent.mkdir()
    config.write_text(
        "[profile lab]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\nregion = eu-west-1\n"
        "[sso-session s]\nsso_start_url = https://127.0.0.1:9/start\nsso_region = eu-west-1\n"
    )
    done = terminal(tmp_path, AWS_PROFILE="lab")
    assert done.returncode == 1
    assert "aws sso login" in done.stdout
