"""A sandbox for each test process, and AWS clients for it; ``RUNCTL_TEST_MODE`` says which machines it makes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

from runctl_jupyter.sandbox import service
from runctl_jupyter.sandbox.connection import Connection

Boto = Callable[[str], Any]


def sandbox_mode() -> str:
    """The mode that this run tests."""
    return os.environ.get("RUNCTL_TEST_MODE", "plain")


def client(connection: Connection, name: str, **changes: Any) -> Any:
    """An ordinary boto3 client with what the connection says."""
    env = connection.env
    settings: dict[str, Any] = {
        "endpoint_url": env["AWS_ENDPOINT_URL"],
        "region_name": env["AWS_REGION"],
        "aws_access_key_id": env["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"],
    }
    return boto3.client(name, **(settings | changes))


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """A running sandbox, as fast as its machines are; nothing of it is left at the end."""
    home: Path = tmp_path_factory.mktemp("sandbox")
    try:
        yield service.start(home, sandbox_mode(), service.StartOptions(pace=0.0, max_instances=8))
    finally:
        service.stop(home)
    left = [p for p in psutil.process_iter(["cmdline"]) if str(home) in " ".join(p.info["cmdline"] or [])]
    assert left == []


@pytest.fixture(scope="session")
def boto(sandbox: Connection) -> Boto:
    """Clients of the sandbox by the name of the service."""
    return lambda name: client(sandbox, name)
