"""Secrets by name: looked up from real services, through what goes wrong on the way, and never shown."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import boto3
import pytest

from runctl_jupyter.run_record.secrets import SecretNameError, is_secret_name, parse_secret_name
from runctl_jupyter.runner.credentials import CredentialSource
from runctl_jupyter.runner.secrets import SecretFailed, resolve_secrets
from runctl_jupyter.runner.sigv4 import Credentials
from tests.runner.services import Fault, Front, Quiet, hang_up, lose_answer, s3_behind_front

VALUE = "s3cr3t-välue"
OBJECT = {"user": "me", "password": VALUE, "port": 5432}


def refuse(status: int, code: str, date: datetime | None = None) -> Fault:
    body = json.dumps({"__type": f"com.amazonaws#{code}", "message": "told to"}).encode()
    headers = {"Date": format_datetime(date, usegmt=True)} if date else {}
    return lambda request, _: request.answer(status, body, headers)


def garble(request: Quiet, carry_out: Callable[[], None]) -> None:
    request.answer(200, VALUE.encode())


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[Front, str]]:
    with s3_behind_front() as (front, url):
        keys = {"aws_access_key_id": "AKID", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        ssm = boto3.client("ssm", endpoint_url=url, **keys)
        ssm.put_parameter(Name="/runctl/key", Value=VALUE, Type="SecureString")
        ssm.put_parameter(Name="plain", Value="text", Type="String")
        secrets = boto3.client("secretsmanager", endpoint_url=url, **keys)
        secrets.create_secret(Name="runctl/token", SecretString=VALUE)
        secrets.create_secret(Name="runctl/database", SecretString=json.dumps(OBJECT))
        secrets.create_secret(Name="runctl/binary", SecretBinary=VALUE.encode())
        secrets.create_secret(Name="runctl/nul", SecretString=json.dumps({"key": f"{VALUE}\0"}))
        yield front, url


class Machine:
    """What resolves secrets: keys that count how often they are fetched."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.fetched = 0
        self.waited: list[float] = []

    def load(self) -> Credentials:
        self.fetched += 1
        return Credentials(f"AKID{self.fetched}", "secret", "token")

    def resolve(self, env: dict[str, str], *, patience_s: float = 20.0, stop: bool = False) -> dict[str, str]:
        def pause(seconds: float) -> bool:
            self.waited.append(seconds)
            return stop

        until = time.monotonic() + patience_s
        source = CredentialSource(self.load)
        return resolve_secrets(env, source, "us-east-1", endpoint=self.url, until=until, pause=pause)

    def refusal(self, named: str, **how: Any) -> str:
        with pytest.raises(SecretFailed) as caught:
            self.resolve({"VARIABLE": named}, **how)
        message = str(caught.value)
        assert "VARIABLE" in message
        assert "\n" not in message
        assert VALUE not in message
        assert caught.value.__cause__ is None
        return message


@pytest.fixture
def machine(service: tuple[Front, str], front: Front) -> Machine:
    return Machine(service[1])


def test_names_become_values_and_values_stay(machine: Machine) -> None:
    found = machine.resolve(
        {
            "KEY": "ssm:/runctl/key",
            "PLAIN": "ssm:plain",
            "VERSION": "ssm:/runctl/key:1",
            "TOKEN": "secretsmanager:runctl/token",
            "PASSWORD": "secretsmanager:runctl/database#password",
            "PORT": "secretsmanager:runctl/database#port",
            "OTHER": "s3://not/a/secret",
            "EMPTY": "",
        }
    )
    assert found == {
        "KEY": VALUE,
        "PLAIN": "text",
        "VERSION": VALUE,
        "TOKEN": VALUE,
        "PASSWORD": VALUE,
        "PORT": "5432",
        "OTHER": "s3://not/a/secret",
        "EMPTY": "",
    }


def test_values_do_not_show(machine: Machine) -> None:
    found = machine.resolve({"A": "ssm:/runctl/key", "B": "secretsmanager:runctl/database#password"})
    assert VALUE not in repr(found)
    assert found["A"] == VALUE


def test_each_secret_is_looked_up_once_and_none_costs_nothing(front: Front, machine: Machine) -> None:
    names = {"A": "secretsmanager:runctl/database#user", "B": "secretsmanager:runctl/database#password"}
    machine.resolve(names)
    assert len(front.seen) == 1
    machine.resolve({"A": "plain"})
    assert (len(front.seen), machine.fetched) == (1, 1)


def test_what_is_asked_is_signed_for_the_service(front: Front, machine: Machine) -> None:
    machine.resolve({"A": "ssm:/runctl/key", "B": "secretsmanager:runctl/token"})
    assert [headers["x-amz-target"] for headers in front.headers] == [
        "AmazonSSM.GetParameter",
        "secretsmanager.GetSecretValue",
    ]
    assert "/us-east-1/ssm/aws4_request" in front.headers[0]["authorization"]
    assert front.headers[1]["x-amz-security-token"] == "token"


@pytest.mark.parametrize(
    "fault",
    [
        hang_up,
        lose_answer,
        garble,
        refuse(400, "ThrottlingException"),
        refuse(500, "InternalServerError"),
        refuse(503, ""),
    ],
)
def test_what_passes_is_tried_again(front: Front, machine: Machine, fault: Fault) -> None:
    front.faults = [fault, fault, fault]
    assert machine.resolve({"A": "ssm:/runctl/key"}) == {"A": VALUE}
    assert machine.waited == [0.001] * 3


def test_it_gives_up_when_the_time_is_over_or_the_job_is_stopped(front: Front, machine: Machine) -> None:
    front.faults = [refuse(400, "ThrottlingException")]
    assert "ThrottlingException: told to" in machine.refusal("ssm:/runctl/key", patience_s=0.0)
    front.faults = [hang_up]
    assert "does not answer" in machine.refusal("secretsmanager:runctl/token", stop=True)
    assert len(front.seen) == 2


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException"])
def test_keys_that_have_expired_are_renewed_once(front: Front, machine: Machine, code: str) -> None:
    front.faults = [refuse(400, code)]
    assert machine.resolve({"A": "ssm:/runctl/key"}) == {"A": VALUE}
    assert (machine.fetched, machine.waited) == (2, [])
    assert "Credential=AKID2/" in front.headers[-1]["authorization"]
    front.faults = [refuse(400, code), refuse(400, code)]
    assert code in machine.refusal("ssm:/runctl/key")


def test_a_wrong_clock_is_set_by_the_services(front: Front, machine: Machine) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    front.faults = [refuse(400, "InvalidSignatureException", tomorrow)]
    assert machine.resolve({"A": "ssm:/runctl/key"}) == {"A": VALUE}
    assert front.headers[-1]["x-amz-date"].startswith(tomorrow.strftime("%Y%m%d"))


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("ssm:/runctl/none", "parameter /runctl/none does not exist"),
        ("ssm:/runctl/key:7", "parameter /runctl/key:7 does not exist"),
        ("secretsmanager:runctl/none", "secret runctl/none does not exist"),
        ("secretsmanager:runctl/binary", "holds no text"),
        ("secretsmanager:runctl/token#password", "no JSON object"),
        ("secretsmanager:runctl/database#nothing", "has no key nothing"),
        ("secretsmanager:runctl/nul#key", "NUL"),
    ],
)
def test_what_cannot_be_had_is_named(front: Front, machine: Machine, named: str, said: str) -> None:
    assert said in machine.refusal(named)
    assert len(front.seen) == 1


def test_a_denial_is_final_and_says_what_the_role_may_read(front: Front, machine: Machine) -> None:
    front.faults = [refuse(400, "AccessDeniedException")]
    message = machine.refusal("ssm:/other/key")
    assert "parameter /other/key may not be read by the machine's role" in message
    assert "runctl setup" in message
    assert machine.waited == []


@pytest.mark.parametrize("value", ["ssm", "ssm.eu", "s3://b", "SSM:/a", "", "secrets:manager"])
def test_ordinary_values(value: str) -> None:
    assert not is_secret_name(value)


@pytest.mark.parametrize(
    "value",
    [
        "ssm:",
        "ssm:/",
        "ssm:a b",
        "ssm:/a//b",
        "ssm:/a/",
        "ssm:/a#key",
        "secretsmanager:",
        "secretsmanager:#key",
        "secretsmanager:name#",
        "secretsmanager:a b",
        "secretsmanager:arn:aws:ssm:us-east-1:123456789012:parameter/a",
    ],
)
def test_malformed_names(value: str) -> None:
    assert is_secret_name(value)
    with pytest.raises(SecretNameError) as caught:
        parse_secret_name(value)
    assert value in str(caught.value)


@pytest.mark.parametrize(
    ("value", "region", "key"),
    [
        ("ssm:name", None, None),
        ("ssm:/runctl/a.b_c-d/e:label", None, None),
        ("ssm:arn:aws-cn:ssm:cn-north-1:123456789012:parameter/runctl/a", "cn-north-1", None),
        ("secretsmanager:runctl/a+b=c@d", None, None),
        ("secretsmanager:runctl/a#key with space", None, "key with space"),
        ("secretsmanager:arn:aws:secretsmanager:eu-west-1:123456789012:secret:runctl/a-AbCdEf#k", "eu-west-1", "k"),
    ],
)
def test_names(value: str, region: str | None, key: str | None) -> None:
    found = parse_secret_name(value)
    assert (found.region, found.key, str(found)) == (region, key, value)
