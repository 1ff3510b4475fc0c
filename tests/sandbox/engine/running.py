"""What the tests of the job layer share: what a job left behind, and the terminal in the sandbox of this session."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration import Job
from runctl_jupyter.run_record import JobState
from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.conftest import Boto
from tests.sandbox.doors.conftest import ROOT, Terminal

BUCKET = "runctl-sandbox"
WAIT_S = 120.0


def succeeded(job: object) -> Job:
    """Return the job when it has ended well."""
    ended = end_of(job)
    assert ended.state is JobState.SUCCEEDED, (ended, ended.logs().text())
    return ended


def failed(job: object, kind: str) -> tuple[str, str]:
    """Return what was wrong and what to do, as the job's cause says it in two plain lines."""
    ended = end_of(job)
    assert ended.state is JobState.FAILED, (ended, ended.logs().text())
    cause = ended.to_dict()["cause"]
    assert cause["kind"] == kind, cause
    what, advice = cause["message"].split("\n")
    for half in (what, advice):
        assert half.strip()
        assert "Error(" not in half
        assert "Traceback" not in half
    return what, advice


def end_of(job: object) -> Job:
    """Wait for the end, whatever it is."""
    assert isinstance(job, Job)
    return job.wait(WAIT_S)


def printed(job: Job) -> list[str]:
    """Return the lines that the script printed."""
    return job.logs(script_only=True).text().splitlines()


def said(job: Job) -> list[str]:
    """Return the lines of the runner's own in the log."""
    return [line.removeprefix("runctl: ") for line in job.logs().text().splitlines() if line.startswith("runctl: ")]


def stored(boto: Boto, prefix: str) -> dict[str, bytes]:
    """Return the objects below a prefix of the bucket, by the rest of their keys."""
    s3 = boto("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
    return {key.removeprefix(prefix): s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


class Downloads:
    """Counts how often machines GET objects of a bucket, by a fault that delays each GET by nothing to speak of."""

    def __init__(self, sandbox: Connection, key: str) -> None:
        self._sandbox = sandbox
        self._id = faults_client.add(
            sandbox, "latency", service="s3", operation="GetObject", key=key, origin="machine", latency_s=1e-4
        ).id
        self._before = 0

    def since(self) -> int:
        """Return how many there were since the last call."""
        hits = next(each.hits for each in faults_client.list(self._sandbox) if each.id == self._id)
        new, self._before = hits - self._before, hits
        return new

    def close(self) -> None:
        """Let go of them."""
        faults_client.clear(self._sandbox, self._id)


@pytest.fixture
def terminal(sandbox: Connection, tmp_path: Path) -> Terminal:
    """The terminal in the project of `engine`, as a user who uses the sandbox of this session."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNCTL_", "AWS_", "XDG_"))}
    own: dict[str, Any] = {"HOME": str(tmp_path), "RUNCTL_SANDBOX_HOME": sandbox.home, "PYTHONPATH": str(ROOT)}
    return Terminal(tmp_path / "project", {**kept, **own, "PYTHONDONTWRITEBYTECODE": "1"})
