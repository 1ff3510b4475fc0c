"""`use aws`, `doctor` and `setup` on a computer that knows no account, at the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runctl_jupyter.cli import main


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")


def test_use_aws_says_at_once_what_is_missing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["use", "aws"]) == 0
    said = capsys.readouterr().out
    assert "There are no AWS credentials" in said
    assert "runctl doctor" in said
    assert 'target = "aws"' in (project / ".runctl.toml").read_text()


def test_use_aws_with_all_but_a_bucket(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDUNIT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert main(["use", "aws", "--region", "eu-west-1"]) == 0
    assert "runctl setup" in capsys.readouterr().out
    assert main(["use", "aws", "--region", "eu-west-1", "--bucket", "b"]) == 0
    assert "runctl setup" not in capsys.readouterr().out


def test_doctor_exits_with_1_when_something_blocks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--target", "aws", "doctor", "--json"]) == 1
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert [(check["name"], check["state"]) for check in checks] == [("credentials", "blocked")]
    assert main(["--target", "local", "doctor"]) == 0


def test_setup_without_credentials_prints_what_an_administrator_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--target", "aws", "setup", "--print", "--bucket", "mine", "--region", "eu-west-1"]) == 0
    said = capsys.readouterr().out
    assert "aws iam create-role --role-name runctl-instance" in said
    assert "arn:aws:s3:::mine/*" in said
    assert main(["--target", "aws", "setup"]) == 1
    assert "There are no AWS credentials" in capsys.readouterr().err
