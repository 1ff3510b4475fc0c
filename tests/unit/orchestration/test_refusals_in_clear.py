"""What a session adds to EC2's refusals: the encoded message in clear, and the quota that the request was about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, cast

import pytest
from botocore.stub import Stubber

from runctl_jupyter.orchestration.aws.failures import aws_errors, translated
from runctl_jupyter.orchestration.aws.launches import Launches
from runctl_jupyter.orchestration.aws.session import AwsSession
from runctl_jupyter.orchestration.connection import Connection
from runctl_jupyter.orchestration.errors import LaunchRefused, PermissionDenied

ENV = {"AWS_ACCESS_KEY_ID": "AKIDUNIT", "AWS_SECRET_ACCESS_KEY": "secret"}
ENCODED = "You are not authorized to perform this operation. Encoded authorization failure message: abc_123"
DECODED = {"allowed": False, "context": {"action": "ec2:RunInstances", "resource": "arn:aws:ec2:eu-west-1:1:volume/*"}}


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> AwsSession:
    monkeypatch.setattr(AwsSession, "in_a_hurry", lambda self, _: self)
    return AwsSession(Connection("aws", "eu-west-1", None, env=ENV))


@pytest.fixture
def stubs(session: AwsSession) -> Iterator[tuple[Stubber, Stubber]]:
    with ExitStack() as stack:
        yield stack.enter_context(Stubber(session.launcher)), stack.enter_context(Stubber(session.sts))


def launch(session: AwsSession, instance_type: str = "g5.xlarge", *, spot: bool = False) -> None:
    market: Any = {"InstanceMarketOptions": {"MarketType": "spot"}} if spot else {}
    with aws_errors("launch"):
        session.launcher.run_instances(InstanceType=cast(Any, instance_type), MinCount=1, MaxCount=1, **market)


def test_a_denial_is_decoded_when_that_is_allowed(session: AwsSession, stubs: tuple[Stubber, Stubber]) -> None:
    ec2, sts = stubs
    ec2.add_client_error("run_instances", "UnauthorizedOperation", ENCODED, 403)
    answer = {"DecodedMessage": json.dumps(DECODED)}
    sts.add_response("decode_authorization_message", answer, {"EncodedMessage": "abc_123"})
    with pytest.raises(PermissionDenied, match=r"volume/\*"):
        launch(session)


def test_who_may_not_decode_meets_no_second_failure(session: AwsSession, stubs: tuple[Stubber, Stubber]) -> None:
    ec2, sts = stubs
    ec2.add_client_error("run_instances", "UnauthorizedOperation", ENCODED, 403)
    sts.add_client_error("decode_authorization_message", "AccessDenied", "no", 403)
    with pytest.raises(PermissionDenied, match="ec2:RunInstances"):
        launch(session)
    sts.assert_no_pending_responses()


def test_a_quota_is_named_by_what_was_asked_for(session: AwsSession, stubs: tuple[Stubber, Stubber]) -> None:
    ec2, _ = stubs
    for spot, code in ((False, "L-417A185B"), (True, "L-C4BD4855")):
        ec2.add_client_error("run_instances", "VcpuLimitExceeded", "over your current vCPU limit of 0", 400)
        with pytest.raises(LaunchRefused, match=f"eu-west-1.*{code}") as caught:
            launch(session, "p5.4xlarge", spot=spot)
        assert "limit of 0" in caught.value.what


def fleet_error(code: str, message: str, kind: str) -> dict[str, Any]:
    overrides = {"InstanceType": kind, "SubnetId": "subnet-1"}
    return {
        "LaunchTemplateAndOverrides": {"Overrides": overrides},
        "Lifecycle": "spot",
        "ErrorCode": code,
        "ErrorMessage": message,
    }


def test_what_a_fleet_met_is_explained_as_a_launch_would_be(
    session: AwsSession, stubs: tuple[Stubber, Stubber]
) -> None:
    ec2, sts = stubs
    errors = [
        fleet_error("UnauthorizedOperation", ENCODED, "g5.xlarge"),
        fleet_error("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded", "p5.4xlarge"),
    ]
    ec2.add_response("create_fleet", {"Errors": errors})
    sts.add_response("decode_authorization_message", {"DecodedMessage": json.dumps(DECODED)})
    config: Any = [{"LaunchTemplateSpecification": {"LaunchTemplateId": "lt-1", "Version": "1"}}]
    request = {"LaunchTemplateConfigs": config, "TargetCapacitySpecification": {"TotalTargetCapacity": 1}}
    denied, over = Launches(session).fleet(request).refusals
    told = translated(denied.error, "launch")
    assert isinstance(told, PermissionDenied)
    assert "volume/*" in told.what
    assert "L-C4BD4855" in translated(over.error, "launch").to_resolve
