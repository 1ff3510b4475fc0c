"""Quotas of vCPUs: what AWS answers and what is left, over real clients whose answers are recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

import pytest
from botocore.stub import Stubber

from runctl_jupyter.orchestration.account.quotas import Quotas
from runctl_jupyter.orchestration.aws.families import family_of
from runctl_jupyter.orchestration.aws.session import AwsSession
from runctl_jupyter.orchestration.connection import Connection

ENV = {"AWS_ACCESS_KEY_ID": "AKIDUNIT", "AWS_SECRET_ACCESS_KEY": "secret"}
QUOTA = {"QuotaName": "All G and VT Spot Instance Requests", "Value": 16.0}
RUNNING = {"Filters": [{"Name": "instance-state-name", "Values": ["pending", "running"]}]}
OPEN = {"Filters": [{"Name": "state", "Values": ["open"]}]}


class Account:
    """The clients of a session with what they will answer."""

    def __init__(self, session: AwsSession, stack: ExitStack) -> None:
        self.quotas = stack.enter_context(Stubber(session.service_quotas))
        self.ec2 = stack.enter_context(Stubber(session.ec2))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Quotas, Account]]:
    session = AwsSession(Connection("aws", "eu-west-1", None, env=ENV))
    monkeypatch.setattr(AwsSession, "in_a_hurry", lambda self, _: self)
    with ExitStack() as stack:
        yield Quotas(session), Account(session, stack)


def quota(account: Account, code: str = "L-3819A6DF") -> None:
    account.quotas.add_response("get_service_quota", {"Quota": QUOTA}, {"ServiceCode": "ec2", "QuotaCode": code})


def machine(kind: str, *, spot: bool, cores: int = 0) -> dict[str, Any]:
    options = {"CpuOptions": {"CoreCount": cores, "ThreadsPerCore": 2}} if cores else {}
    return {"InstanceType": kind, **({"InstanceLifecycle": "spot"} if spot else {}), **options}


def test_what_the_whole_account_runs_of_the_family_and_market_counts(asked: tuple[Quotas, Account]) -> None:
    quotas, account = asked
    quota(account, "L-DB2E81BA")
    machines = [
        machine("g5.xlarge", spot=False, cores=2),
        machine("g4dn.xlarge", spot=False),  # its vCPUs are the type's
        machine("g5.xlarge", spot=True, cores=2),  # another market
        machine("m5.24xlarge", spot=False, cores=48),  # another family
    ]
    account.ec2.add_response("describe_instances", {"Reservations": [{"Instances": machines}]}, RUNNING)
    wanted = {"Filters": [{"Name": "instance-type", "Values": ["g4dn.xlarge"]}], "MaxResults": 100}
    types = {"InstanceTypes": [{"InstanceType": "g4dn.xlarge", "VCpuInfo": {"DefaultVCpus": 4}}]}
    account.ec2.add_response("describe_instance_types", types, wanted)
    left = quotas.left(8, "g5.2xlarge", spot=False)
    assert left is not None
    assert (left.limit, left.used, left.left, left.enough) == (16.0, 8, 8.0, True)
    assert left.request_url.endswith("/quotas/L-DB2E81BA")
    assert "//eu-west-1." in left.request_url


def test_open_spot_requests_count(asked: tuple[Quotas, Account], monkeypatch: pytest.MonkeyPatch) -> None:
    quotas, account = asked
    monkeypatch.setattr("runctl_jupyter.orchestration.account.quotas.ThreadPoolExecutor", InOrder)
    quota(account)
    account.ec2.add_response("describe_instances", {"Reservations": []}, RUNNING)
    waiting = {"State": "open", "LaunchSpecification": {"InstanceType": "g6.4xlarge"}}
    account.ec2.add_response("describe_spot_instance_requests", {"SpotInstanceRequests": [waiting]}, OPEN)
    types = {"InstanceTypes": [{"InstanceType": "g6.4xlarge", "VCpuInfo": {"DefaultVCpus": 16}}]}
    account.ec2.add_response("describe_instance_types", types)
    left = quotas.left(4, "g5.xlarge", spot=True)
    assert left is not None
    assert (left.used, left.left, left.enough) == (16, 0.0, False)


class InOrder:
    """Runs at once what is submitted: a Stubber's answers have an order."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> InOrder:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(call(*arguments))
        return done


def test_one_that_was_never_changed_has_the_default(asked: tuple[Quotas, Account]) -> None:
    quotas, account = asked
    account.quotas.add_client_error("get_service_quota", "NoSuchResourceException")
    account.quotas.add_response("get_aws_default_service_quota", {"Quota": {**QUOTA, "Value": 0.0}})
    account.ec2.add_response("describe_instances", {"Reservations": []}, RUNNING)
    left = quotas.left(4, "g5.xlarge", spot=False)
    assert left is not None
    assert (left.limit, left.left, left.enough) == (0.0, 0.0, False)


@pytest.mark.parametrize("code", ["AccessDeniedException", "TooManyRequestsException", "ExpiredTokenException"])
def test_what_cannot_be_read_is_not_known(asked: tuple[Quotas, Account], code: str) -> None:
    quotas, account = asked
    account.quotas.add_client_error("get_service_quota", code)
    account.ec2.add_response("describe_instances", {"Reservations": []}, RUNNING)
    assert quotas.left(4, "g5.xlarge", spot=False) is None


@pytest.mark.parametrize(
    ("instance_type", "on_demand", "spot"),
    [
        ("g4dn.xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("gr6.4xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("vt1.3xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("p4d.24xlarge", "L-417A185B", "L-7212CCBC"),
        ("p5.4xlarge", "L-417A185B", "L-C4BD4855"),
        ("m5.large", "L-1216C47A", "L-34B43A08"),
        ("t3.micro", "L-1216C47A", "L-34B43A08"),
        ("trn1.2xlarge", "L-2C3B7624", "L-6B0D517C"),
        ("inf2.xlarge", "L-1945791B", "L-B5D1601B"),
        ("i4i.large", "L-1216C47A", "L-34B43A08"),
        ("is4gen.large", "L-1216C47A", "L-34B43A08"),
    ],
)
def test_the_family_of_a_type(instance_type: str, on_demand: str, spot: str) -> None:
    family = family_of(instance_type)
    assert family is not None
    assert (family.on_demand, family.spot) == (on_demand, spot)


def test_types_without_a_quota_of_vcpus() -> None:
    assert family_of("mac2.metal") is None
    assert family_of("u-6tb1.metal") is None
