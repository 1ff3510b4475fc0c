"""Which failures of a launch are tried again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from runctl_jupyter.orchestration import Job, Runctl
from runctl_jupyter.orchestration.aws.launches import Launches
from runctl_jupyter.orchestration.aws.session import AwsSession
from runctl_jupyter.run_record import FolderStore, StoreError

REQUEST = {"InstanceType": "m5.large", "ClientToken": "t"}


class Account:
    """Fails as told, launches one machine after that."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.requests: list[dict[str, Any]] = []
        self.launcher = self.ec2 = self

    def run_instances(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        if self.failures:
            raise self.failures.pop(0)
        return {"Instances": [{"InstanceId": "i-1"}]}


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "told to"}}, "RunInstances")


def launches(account: Account) -> Launches:
    return Launches(cast(AwsSession, SimpleNamespace(launcher=account, ec2=account)))


def test_what_passes_is_tried_again_with_the_same_token() -> None:
    account = Account(refusal("RequestLimitExceeded"), ConnectionClosedError(endpoint_url="http://ec2"))
    assert launches(account).run(REQUEST).instance_id == "i-1"
    assert account.requests == [REQUEST] * 3


@pytest.mark.parametrize("code", ["InsufficientInstanceCapacity", "InvalidParameterValue", "VcpuLimitExceeded"])
def test_a_refusal_is_told_at_once(code: str) -> None:
    account = Account(refusal(code))
    answer = launches(account).run(REQUEST)
    assert (answer.instance_id, [each.code for each in answer.refusals]) == (None, [code])
    assert len(account.requests) == 1


def test_a_refusal_is_of_the_subnet_that_was_asked_for() -> None:
    """Wherever the request has it: one of no subnet would rule out all."""
    for place in ({"SubnetId": "subnet-1"}, {"NetworkInterfaces": [{"SubnetId": "subnet-1"}]}):
        (told,) = launches(Account(refusal("InsufficientInstanceCapacity"))).run({**REQUEST, **place}).refusals
        assert (told.instance_type, told.subnet_id) == ("m5.large", "subnet-1")


def test_it_is_not_tried_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    account = Account(*[refusal("RequestLimitExceeded")] * 100)
    assert [each.code for each in launches(account).run(REQUEST).refusals] == ["RequestLimitExceeded"]
    assert 1 < len(account.requests) < 20


def test_who_waits_learns_of_a_failed_launch_also_when_the_record_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    (tmp_path / "t.py").write_text("")

    def away(*_: object, **__: object) -> str:
        raise StoreError("S3 is away", transient=True)

    monkeypatch.setattr(FolderStore, "put", away)
    job = Runctl("local", cwd=tmp_path).jobs.train("t.py")
    assert isinstance(job, Job)
    assert job.launching is not None
    assert "S3 is away" in str(job.launching.exception(20))
