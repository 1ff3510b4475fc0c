"""Which S3 is spoken to: the target's, else the one that environment or profile name as for every AWS tool."""

from __future__ import annotations

from pathlib import Path

import pytest

from runctl_jupyter.orchestration.aws.session import AwsSession
from runctl_jupyter.orchestration.connection import Connection

OWN = "http://127.0.0.1:9000"


@pytest.fixture(autouse=True)
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's AWS configuration."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDUNIT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path / "config"


def endpoint(profile: str | None = None) -> str | None:
    return AwsSession(Connection("aws", region="eu-west-1", profile=profile, bucket=None)).s3_endpoint()


def test_none_is_aws() -> None:
    assert endpoint() is None


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_of_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, OWN)
    assert endpoint() == OWN
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert endpoint() is None


def test_of_another_service_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", OWN)
    assert endpoint() is None


def test_of_a_profile(account: Path) -> None:
    keys = "aws_access_key_id = AKIDUNIT\naws_secret_access_key = secret\n"
    account.write_text(f"[profile lab]\n{keys}endpoint_url = {OWN}\n[profile other]\n{keys}")
    assert endpoint("lab") == OWN
    assert endpoint("other") is None
