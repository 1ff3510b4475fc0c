"""Parameters and secrets: real boto3 keeps them, a machine's role reads those of its jobs and no others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from runctl_jupyter.orchestration.targets.bundle import runner_bundle
from runctl_jupyter.sandbox import service
from runctl_jupyter.sandbox.connection import Connection
from runctl_jupyter.sandbox.control.access.permissions import needed
from runctl_jupyter.sandbox.control.access.policies import Permission, allows, instance_role_policy, user_policy
from runctl_jupyter.sandbox.control.requests.service_calls import ServiceCall
from tests.sandbox.conftest import Boto, client, sandbox_mode
from tests.sandbox.control.conftest import Account

VALUE = "s3cr3t-value"
PARAMETER = "arn:aws:ssm:us-east-1:123456789012:parameter"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret"


def refusal(call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**request)
    return str(error.value.response["Error"]["Code"])


def test_parameters(boto: Boto) -> None:
    ssm = boto("ssm")
    put = {"Name": "/runctl/test/key", "Type": "SecureString"}
    ssm.put_parameter(Value=VALUE, **put)
    assert ssm.get_parameter(Name="/runctl/test/key", WithDecryption=True)["Parameter"]["Value"] == VALUE
    assert ssm.get_parameter(Name="/runctl/test/key")["Parameter"]["Value"] != VALUE
    assert refusal(ssm.put_parameter, Value="other", **put) == "ParameterAlreadyExists"
    ssm.put_parameter(Value="other", Overwrite=True, **put)
    found = ssm.get_parameter(Name="/runctl/test/key:1", WithDecryption=True)["Parameter"]
    assert (found["Value"], found["Version"]) == (VALUE, 1)
    assert refusal(ssm.get_parameter, Name="/runctl/test/none") == "ParameterNotFound"
    ssm.delete_parameter(Name="/runctl/test/key")
    assert refusal(ssm.get_parameter, Name="/runctl/test/key") == "ParameterNotFound"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Name": "/runctl/a b"}, "ValidationException"),
        ({"Name": "runctl/a"}, "ValidationException"),  # its ARN is that of /runctl/a, which the policy allows
        ({"Name": "/runctl/" + "a/" * 15 + "a"}, "HierarchyLevelLimitExceededException"),
        ({"Value": "x" * 4097}, "ValidationException"),
        ({"Tier": "Huge"}, "ValidationException"),
        ({"KeyId": "alias/mine"}, "InvalidKeyId"),
        ({"Name": "/other/key"}, "AccessDeniedException"),
        ({"Name": "/aws/service/ami"}, "AccessDeniedException"),
    ],
)
def test_what_parameter_store_refuses(boto: Boto, change: dict[str, str], code: str) -> None:
    request = {"Name": "/runctl/refused", "Value": VALUE, "Type": "SecureString"} | change
    assert refusal(boto("ssm").put_parameter, **request) == code


def test_secrets(boto: Boto) -> None:
    secrets = boto("secretsmanager")
    made = secrets.create_secret(Name="runctl/test/token", SecretString=VALUE)
    for secret_id in ("runctl/test/token", made["ARN"]):
        assert secrets.get_secret_value(SecretId=secret_id)["SecretString"] == VALUE
    secrets.put_secret_value(SecretId="runctl/test/token", SecretString="new")
    assert secrets.get_secret_value(SecretId="runctl/test/token")["SecretString"] == "new"
    assert refusal(secrets.get_secret_value, SecretId="runctl/test/none") == "ResourceNotFoundException"
    assert refusal(secrets.create_secret, Name="other/token", SecretString=VALUE) == "AccessDeniedException"
    refused = {"Name": "runctl/test/kms", "SecretString": VALUE, "KmsKeyId": "alias/mine"}
    assert refusal(secrets.create_secret, **refused) == "AccessDeniedException"


class NoInventory:
    """An account without resources; its one secret has a longer ARN than name, as all have."""

    def tags_of(self, resource_id: str) -> None:
        return None

    def role_arns_of_profile(self, name: str) -> list[str]:
        return []

    def default_subnet_ids(self) -> list[str]:
        return []

    def secret_arn(self, secret_id: str) -> str | None:
        return f"{SECRET}:runctl/known-AbCdEf" if secret_id == "runctl/known" else None


@pytest.mark.parametrize(
    ("target", "body", "permissions"),
    [
        ("AmazonSSM.GetParameter", {"Name": "/runctl/a"}, [("ssm:GetParameter", f"{PARAMETER}/runctl/a")]),
        ("AmazonSSM.GetParameter", {"Name": "/runctl/a:3"}, [("ssm:GetParameter", f"{PARAMETER}/runctl/a")]),
        ("AmazonSSM.GetParameter", {"Name": f"{PARAMETER}/a:3"}, [("ssm:GetParameter", f"{PARAMETER}/a")]),
        (
            "AmazonSSM.GetParameters",
            {"Names": ["/a", "b"]},
            [("ssm:GetParameters", f"{PARAMETER}/a"), ("ssm:GetParameters", f"{PARAMETER}/b")],
        ),
        ("AmazonSSM.PutParameter", {"Name": "/other"}, [("ssm:PutParameter", f"{PARAMETER}/other")]),
        ("AmazonSSM.DescribeParameters", {}, [("ssm:DescribeParameters", "*")]),
        (
            "secretsmanager.GetSecretValue",
            {"SecretId": "runctl/known"},
            [("secretsmanager:GetSecretValue", f"{SECRET}:runctl/known-AbCdEf")],
        ),
        (
            "secretsmanager.GetSecretValue",
            {"SecretId": "other"},
            [("secretsmanager:GetSecretValue", f"{SECRET}:other")],
        ),
        (
            "secretsmanager.BatchGetSecretValue",
            {"SecretIdList": ["other"]},
            [("secretsmanager:BatchGetSecretValue", "*"), ("secretsmanager:GetSecretValue", f"{SECRET}:other")],
        ),
    ],
)
def test_what_a_call_needs(target: str, body: dict[str, Any], permissions: list[tuple[str, str]]) -> None:
    name = "ssm" if target.startswith("AmazonSSM") else "secretsmanager"
    call = ServiceCall(name, "POST", "/", "", {"x-amz-target": target}, json.dumps(body).encode())
    assert [(one.action, one.resource) for one in needed(call, NoInventory())] == permissions


@pytest.mark.parametrize(
    ("permission", "machine", "user"),
    [
        (Permission("ssm:GetParameter", f"{PARAMETER}/runctl/a"), True, True),
        (Permission("ssm:GetParameter", f"{PARAMETER}/other"), False, False),
        (Permission("ssm:GetParameter", f"{PARAMETER}/runctl"), False, False),
        (Permission("ssm:GetParameter", f"{PARAMETER}/aws/service/x"), False, True),
        (Permission("ssm:PutParameter", f"{PARAMETER}/runctl/a"), False, True),
        (Permission("secretsmanager:GetSecretValue", f"{SECRET}:runctl/a-AbCdEf"), True, True),
        (Permission("secretsmanager:GetSecretValue", f"{SECRET}:other-AbCdEf"), False, False),
        (Permission("secretsmanager:CreateSecret", f"{SECRET}:runctl/a"), False, True),
    ],
)
def test_who_may(permission: Permission, machine: bool, user: bool) -> None:
    assert (allows([instance_role_policy()], permission), allows([user_policy()], permission)) == (machine, user)


@pytest.fixture(scope="module")
def secrets_of_jobs(boto: Boto) -> Iterator[None]:
    boto("ssm").put_parameter(Name="/runctl/machine/key", Value=VALUE, Type="SecureString")
    boto("secretsmanager").create_secret(Name="runctl/machine/db", SecretString=json.dumps({"password": VALUE}))
    yield
    boto("ssm").delete_parameter(Name="/runctl/machine/key")
    boto("secretsmanager").delete_secret(SecretId="runctl/machine/db", ForceDeleteWithoutRecovery=True)


RESOLVE = """#!/usr/bin/env python3
import io, os, sys, tarfile, tempfile, time, urllib.request
sys.path.insert(0, tempfile.mkdtemp())
tarfile.open(fileobj=io.BytesIO(urllib.request.urlopen(BUNDLE).read())).extractall(sys.path[0])
from runctl_jupyter.runner.credentials import credential_source
from runctl_jupyter.runner.imds import Imds
from runctl_jupyter.runner.secrets import SecretFailed, resolve_secrets
source = credential_source({}, Imds.of_environment(os.environ))
def resolve(value):
    try:
        found = resolve_secrets({"VARIABLE": value}, source, "us-east-1", endpoint=os.environ["AWS_ENDPOINT_URL"],
                                until=time.monotonic() + 20, pause=lambda s: bool(time.sleep(s)))
        print(found, found["VARIABLE"])
    except SecretFailed as error:
        print(error)
"""


@pytest.fixture
def resolve(sandbox: Connection) -> str:
    """A script's beginning: the runner as it comes to a machine, which need not see this checkout."""
    where = {"Bucket": "runctl-sandbox", "Key": "runctl/test/bundle"}
    s3 = client(sandbox, "s3", config=Config(signature_version="s3v4"))
    s3.put_object(Body=runner_bundle().data, **where)
    url = s3.generate_presigned_url("get_object", Params=where)
    return RESOLVE.replace("BUNDLE", repr(url))


def test_a_machine_reads_the_secrets_of_its_jobs(
    shared: Account, machine: str, resolve: str, secrets_of_jobs: None
) -> None:
    names = ["ssm:/runctl/machine/key", "secretsmanager:runctl/machine/db#password"]
    seen = shared.run(machine, resolve + "".join(f"resolve({name!r})\n" for name in names))
    assert seen["StandardOutputContent"].splitlines() == [f"{{'VARIABLE': <secret>}} {VALUE}"] * 2, seen


def test_a_machine_reads_no_others(shared: Account, machine: str, resolve: str) -> None:
    public = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
    names = [f"ssm:{public}", "secretsmanager:other/db", "ssm:/runctl/machine/none", "secretsmanager:runctl/none"]
    seen = shared.run(machine, resolve + "".join(f"resolve({name!r})\n" for name in names))
    lines = seen["StandardOutputContent"].splitlines()
    assert len(lines) == 4, seen["StandardErrorContent"]
    for line, name in zip(lines[:2], (public, "other/db"), strict=True):
        assert f"{name} may not be read by the machine's role" in line
        assert "AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/runctl-instance/" in line
    assert lines[2:] == [
        "variable VARIABLE: parameter /runctl/machine/none does not exist in this region",
        "variable VARIABLE: secret runctl/none does not exist in this region",
    ]


def test_secrets_survive_a_restart(tmp_path: Path) -> None:
    def start() -> tuple[Any, Any]:
        connection = service.start(tmp_path / "home", sandbox_mode(), service.StartOptions(pace=0.0))
        return client(connection, "ssm"), client(connection, "secretsmanager")

    try:
        ssm, secrets = start()
        ssm.put_parameter(Name="/runctl/kept", Value="old", Type="SecureString")
        ssm.put_parameter(Name="/runctl/kept", Value=VALUE, Type="SecureString", Overwrite=True)
        ssm.put_parameter(Name="/runctl/gone", Value=VALUE, Type="String")
        ssm.delete_parameter(Name="/runctl/gone")
        arn = secrets.create_secret(Name="runctl/kept", SecretString=VALUE)["ARN"]
        service.stop(tmp_path / "home")
        ssm, secrets = start()
        found = ssm.get_parameter(Name="/runctl/kept", WithDecryption=True)["Parameter"]
        assert (found["Value"], found["Version"]) == (VALUE, 2)
        assert refusal(ssm.get_parameter, Name="/runctl/gone") == "ParameterNotFound"
        kept = secrets.get_secret_value(SecretId="runctl/kept")
        assert (kept["SecretString"], kept["ARN"]) == (VALUE, arn)
        secrets.put_secret_value(SecretId="runctl/kept", SecretString="new")
        assert secrets.get_secret_value(SecretId=arn)["SecretString"] == "new"
    finally:
        service.stop(tmp_path / "home")
