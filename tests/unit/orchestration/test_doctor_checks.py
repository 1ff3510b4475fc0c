"""Single checks of doctor: the clock, a sign-in that ends, ways out of a network, the rights of a role."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from runctl_jupyter.orchestration.account.launch_checks import LaunchChecks, MachineToCheck
from runctl_jupyter.orchestration.account.place_checks import PlaceChecks, credentials_told
from runctl_jupyter.orchestration.account.policies import instance_policy, trust_policy
from runctl_jupyter.orchestration.aws.credentials import CredentialFacts, credential_facts, end_of_sign_in
from runctl_jupyter.orchestration.aws.ec2 import Ec2
from runctl_jupyter.orchestration.aws.network import Network
from runctl_jupyter.orchestration.aws.session import AwsSession
from runctl_jupyter.orchestration.config import LaunchSettings, Settings
from runctl_jupyter.orchestration.connection import Connection

ENV = {"AWS_ACCESS_KEY_ID": "AKIDUNIT", "AWS_SECRET_ACCESS_KEY": "secret"}
ROLE_ARN = "arn:aws:iam::123456789012:role/runctl-instance"


@pytest.fixture
def session() -> AwsSession:
    return AwsSession(Connection("aws", "eu-west-1", "b", env=ENV))


def caller(date: datetime) -> dict[str, Any]:
    return {
        "Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/ada", "UserId": "u",
        "ResponseMetadata": {"HTTPHeaders": {"date": format_datetime(date)}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("off_s", "state", "word"),
    [(0, "ok", ""), (-90, "warning", "behind"), (90, "warning", "ahead"), (600, "blocked", "ahead")],
)
def test_a_clock_that_is_wrong(session: AwsSession, off_s: int, state: str, word: str) -> None:
    checks = PlaceChecks(session, Settings())
    with Stubber(session.sts) as sts:
        sts.add_response("get_caller_identity", caller(datetime.now(UTC) - timedelta(seconds=off_s)))
        assert checks.identity() == ("ok", "user/ada")
    found = checks.clock()
    assert (found[0], word in found[1]) == (state, True)


def test_the_root_user_is_warned(session: AwsSession) -> None:
    with Stubber(session.sts) as sts:
        root = caller(datetime.now(UTC)) | {"Arn": "arn:aws:iam::123456789012:root"}
        sts.add_response("get_caller_identity", root)
        assert PlaceChecks(session, Settings()).identity()[0] == "warning"


def test_a_sign_in_that_ends_soon_names_the_command_of_its_profile() -> None:
    soon = CredentialFacts("sso", "lab", datetime.now(UTC) + timedelta(minutes=10))
    assert credentials_told(soon)[0::2] == ("warning", "aws sso login --profile lab")
    later = CredentialFacts("sso", "lab", datetime.now(UTC) + timedelta(hours=5))
    assert credentials_told(later)[0] == "ok"


@pytest.mark.parametrize("renews", [False, True])
def test_the_end_of_a_sign_in_is_in_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renews: bool) -> None:
    """As `aws sso login` leaves it; with a token to renew it, it ends for nobody."""
    import hashlib

    monkeypatch.setenv("HOME", str(tmp_path))
    config = tmp_path / ".aws" / "config"
    cache = tmp_path / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    config.write_text(
        "[default]\nsso_session = s\n[sso-session s]\nsso_start_url = https://start\nsso_region = eu-west-1\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    token = {"accessToken": "t", "expiresAt": "2036-11-24T10:00:00Z", **({"refreshToken": "r"} if renews else {})}
    (cache / f"{hashlib.sha1(b's').hexdigest()}.json").write_text(json.dumps(token))
    assert end_of_sign_in(None) == (None if renews else datetime(2036, 11, 24, 10, tzinfo=UTC))


def test_keys_of_the_environment_end_with_no_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    facts = credential_facts(AwsSession(Connection("aws", "eu-west-1", None)))
    assert (facts.method, facts.ends_at) == ("env", None)


IGW = [{"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1", "State": "active"}]
NAT = [{"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "active"}]
GONE = [{"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "blackhole"}]
LOCAL = [{"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"}]
MAIN, OWN = [{"Main": True}], [{"Main": False, "SubnetId": "subnet-1"}]
ENDPOINTS = ("ssm", "ssmmessages", "s3")


@pytest.mark.parametrize(
    ("tables", "endpoints", "gateway", "missing"),
    [
        ([(MAIN, IGW)], (), "internet gateway", ()),
        ([(MAIN, LOCAL), (OWN, NAT)], (), "NAT gateway", ()),
        ([(MAIN, IGW), (OWN, LOCAL)], (), None, ENDPOINTS),  # its own table counts, not the main one
        ([(MAIN, GONE)], ("ssm", "s3"), None, ("ssmmessages",)),
        ([(MAIN, LOCAL)], ENDPOINTS, None, ()),
    ],
)
def test_how_a_subnet_reaches_aws(
    session: AwsSession, tables: Any, endpoints: tuple[str, ...], gateway: str | None, missing: tuple[str, ...]
) -> None:
    with Stubber(session.ec2) as ec2:
        ec2.add_response("describe_subnets", {"Subnets": [{"SubnetId": "subnet-1", "VpcId": "vpc-1"}]})
        described = [{"Associations": found, "Routes": routes, "VpcId": "vpc-1"} for found, routes in tables]
        ec2.add_response("describe_route_tables", {"RouteTables": described})
        there = [{"ServiceName": f"com.amazonaws.eu-west-1.{name}", "State": "available"} for name in endpoints]
        if gateway is None:
            ec2.add_response("describe_vpc_endpoints", {"VpcEndpoints": there})
        way = Network(session).way_out(["subnet-1"])
    assert (way.gateway, tuple(way.missing_endpoints)) == (gateway, missing)


@pytest.mark.parametrize(("routes", "needs"), [(IGW, True), (NAT, False), (LOCAL, False)])
def test_a_subnet_that_gives_no_address_needs_one_behind_an_internet_gateway(
    session: AwsSession, routes: Any, needs: bool
) -> None:
    zone = {"VpcId": "vpc-1", "State": "available"}
    gives = {**zone, "SubnetId": "subnet-1", "AvailabilityZone": "eu-west-1a", "MapPublicIpOnLaunch": True}
    none = {**zone, "SubnetId": "subnet-2", "AvailabilityZone": "eu-west-1b", "MapPublicIpOnLaunch": False}
    tables = [
        {"Associations": MAIN, "Routes": routes, "VpcId": "vpc-1"},
        {"Associations": MAIN, "Routes": IGW, "VpcId": "vpc-2"},
    ]
    with Stubber(session.ec2) as ec2:
        ec2.add_response("describe_subnets", {"Subnets": [gives, none]})
        ec2.add_response("describe_route_tables", {"RouteTables": tables})
        found = Ec2(session).subnets(["subnet-1", "subnet-2"])
        ec2.add_response("describe_subnets", {"Subnets": [gives]})  # nothing else is asked
        assert Ec2(session).subnets(["subnet-1"]) == found[:1]
    assert [(each.id, each.needs_address) for each in found] == [("subnet-1", False), ("subnet-2", needs)]


def test_an_endpoint_that_only_old_agents_need_blocks_nothing(session: AwsSession) -> None:
    settings = LaunchSettings(subnet=("subnet-1",))
    checks = LaunchChecks(
        session, settings, MachineToCheck("m5.large", lambda: 2, lambda: ("ami-1", ""), lambda: None), timeout=1
    )
    there = [{"ServiceName": f"com.amazonaws.eu-west-1.{name}", "State": "available"} for name in ENDPOINTS]
    with Stubber(session.ec2) as ec2:
        ec2.add_response("describe_subnets", {"Subnets": [{"SubnetId": "subnet-1", "VpcId": "vpc-1"}]})
        ec2.add_response(
            "describe_route_tables", {"RouteTables": [{"Associations": MAIN, "Routes": LOCAL, "VpcId": "vpc-1"}]}
        )
        ec2.add_response("describe_vpc_endpoints", {"VpcEndpoints": there})
        state, what, _ = checks.network()
    assert (state, "ec2messages" in what) == ("warning", True)


@pytest.fixture
def role(session: AwsSession) -> Iterator[tuple[PlaceChecks, Stubber]]:
    """A role that has been found, whose policy is still to be read."""
    checks = PlaceChecks(session, Settings())
    with Stubber(session.iam) as iam:
        found = {"RoleName": "runctl-instance", "Arn": ROLE_ARN, "Path": "/", "RoleId": "A" * 16,
                 "CreateDate": datetime.now(UTC)}  # fmt: skip
        profile = {"InstanceProfileName": "runctl-instance", "InstanceProfileId": "A" * 16, "Arn": f"{ROLE_ARN}-p",
                   "Path": "/", "CreateDate": datetime.now(UTC), "Roles": [found]}  # fmt: skip
        iam.add_response("get_instance_profile", {"InstanceProfile": profile})
        trusted = {**found, "AssumeRolePolicyDocument": json.dumps(trust_policy())}
        iam.add_response("get_role", {"Role": trusted})
        assert checks.role()[0] == "ok"
        yield checks, iam


def policy(document: Mapping[str, Any]) -> dict[str, Any]:
    return {"RoleName": "runctl-instance", "PolicyName": "runctl-instance", "PolicyDocument": json.dumps(document)}


def test_a_role_with_our_policy_needs_no_simulation(role: tuple[PlaceChecks, Stubber]) -> None:
    checks, iam = role
    iam.add_response("get_role_policy", policy(instance_policy("b")))
    assert checks.rights()[0] == "ok"
    iam.assert_no_pending_responses()


@pytest.mark.parametrize(("decision", "state"), [("allowed", "ok"), ("implicitDeny", "blocked")])
def test_any_other_is_simulated(role: tuple[PlaceChecks, Stubber], decision: str, state: str) -> None:
    checks, iam = role
    iam.add_response("get_role_policy", policy({"Version": "2012-10-17", "Statement": []}))
    for actions in (["ssm:UpdateInstanceInformation"], ["s3:GetObject", "s3:PutObject"]):
        said = [{"EvalActionName": action, "EvalDecision": decision} for action in actions]
        iam.add_response("simulate_principal_policy", {"EvaluationResults": said})
    found = checks.rights()
    assert found[0] == state
    assert ("s3:PutObject" in found[1]) == (state == "blocked")
