"""The runner as on an instance: role keys from the metadata service, the record in S3, a spot notice."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runctl_jupyter.run_record import (
    AttemptKeys,
    CheckpointManifest,
    Claim,
    CodeFile,
    CodeTree,
    JobKeys,
    JobSpec,
    JobState,
    Limits,
    NotFound,
    Status,
    blob_key,
    to_iso,
)
from runctl_jupyter.runner.credentials import CredentialSource
from runctl_jupyter.runner.imds import Imds
from runctl_jupyter.runner.s3 import S3Store
from runctl_jupyter.runner.sigv4 import Credentials
from runctl_jupyter.runner.spot import SpotWatch
from runctl_jupyter.runner.stops import StopSignal
from tests.runner.machines import QUICK, until
from tests.runner.services import BUCKET, Front, Metadata, hang_up, lose_answer, refuse, s3_behind_front, serve

KEYS = AttemptKeys("job-1", 1)
SAVER = """
import os, pathlib, signal, sys, time
def save(*_):
    pathlib.Path(os.environ["RUNCTL_CHECKPOINT_DIR"], "step_9.bin").write_bytes(b"saved")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
while True: time.sleep(0.05)
"""


class Instance:
    """An instance with its record in S3."""

    def __init__(self, folder: Path, front: Front, s3_url: str, metadata: Metadata, metadata_url: str) -> None:
        self.folder, self.front, self.s3_url = folder, front, s3_url
        self.metadata, self.metadata_url = metadata, metadata_url
        self.store = S3Store(
            BUCKET, "runs/", "us-east-1", CredentialSource(lambda: Credentials("AKID", "secret")), s3_url
        )
        self.runner: subprocess.Popen[bytes] | None = None

    def submit(self, source: str, limits: Limits | None = None) -> None:
        data = source.encode()
        pack = hashlib.sha256(data).hexdigest()
        tree = CodeTree([CodeFile("train.py", 0o644, len(data), pack, pack, 0)]).to_json()
        digest = hashlib.sha256(tree).hexdigest()
        self.store.put(blob_key(pack), data)
        self.store.put(blob_key(digest), tree)
        moment = to_iso(datetime.now(UTC))
        spec = JobSpec(
            "job-1", "t", moment, "me", "aws", "train.py", tree=digest, pacing=QUICK, limits=limits or Limits()
        )
        self.store.put(JobKeys("job-1").spec, spec.to_json())

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "runctl_jupyter.runner", "--record", f"s3://{BUCKET}/runs", "--job", "job-1"]
        command += ["--attempt", "1", "--root", str(self.folder / "root"), "--endpoint", self.s3_url]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environ |= {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.metadata_url, "RUNCTL_PYTHON": sys.executable}
        with (self.folder / "out").open("ab") as out:
            self.runner = subprocess.Popen(command, env=environ, stdout=out, stderr=out)
        return self.runner

    def status(self) -> Status:
        return Status.from_json(self.store.get(KEYS.status).data)

    def stream(self) -> bytes:
        data, seq = b"", 0
        try:
            while True:
                data += self.store.get(KEYS.chunk(seq)).data
                seq += 1
        except NotFound:
            return data


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    metadata = Metadata()
    with s3_behind_front() as (front, url), serve(metadata.handler()) as metadata_url:
        found = Instance(tmp_path, front, url, metadata, metadata_url)
        yield found
        if found.runner is not None and found.runner.poll() is None:
            found.runner.terminate()
            found.runner.wait(30)


def test_a_job_with_the_keys_of_the_role(instance: Instance) -> None:
    instance.submit("print('hello')")
    assert instance.start().wait(60) == 0, (instance.folder / "out").read_text()
    assert instance.status().state is JobState.SUCCEEDED
    assert instance.stream() == b"hello\n"
    claim = Claim.from_json(instance.store.get(KEYS.claim).data)
    assert claim.instance_id == "i-0123456789abcdef0"
    assert any(headers.get("x-amz-security-token") == "session-1" for headers in instance.front.headers)


def test_an_unsteady_network_loses_and_doubles_nothing(instance: Instance) -> None:
    instance.submit("import time\nfor i in range(40): print(i, flush=True); time.sleep(0.02)\n")
    faults = [
        hang_up,
        lose_answer,
        refuse(503, "SlowDown"),
        None,
        lose_answer,
        None,
        refuse(500, "InternalError"),
        None,
    ]
    instance.front.faults = faults * 6
    assert instance.start().wait(100) == 0, (instance.folder / "out").read_text()
    instance.front.faults.clear()
    assert instance.status().state is JobState.SUCCEEDED
    assert instance.stream().split() == [b"%d" % i for i in range(40)]


def test_a_spot_notice_saves_and_interrupts(instance: Instance) -> None:
    instance.submit(SAVER)
    runner = instance.start()
    until(lambda: b"ready" in instance.stream())
    at = datetime.now(UTC) + timedelta(seconds=60)
    instance.metadata.notice = {"action": "terminate", "time": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
    assert runner.wait(40) == 0
    assert datetime.now(UTC) < at
    status = instance.status()
    assert status.state is JobState.INTERRUPTED
    assert status.cause is not None
    assert status.cause.kind == "spot"
    manifest = CheckpointManifest.from_json(instance.store.get(JobKeys("job-1").checkpoint_manifest(1, 0)).data)
    assert (manifest.name, manifest.step) == ("step_9.bin", 9)


@pytest.mark.parametrize(("left_s", "grace_s"), [(120, 90.0), (60, 35.0), (20, 0.0), (-5, 0.0)])
def test_the_grace_leaves_time_to_save(left_s: float, grace_s: float) -> None:
    metadata = Metadata()
    at = datetime.now(UTC) + timedelta(seconds=left_s)
    metadata.notice = {"action": "terminate", "time": to_iso(at)}
    stop = StopSignal()
    with serve(metadata.handler()) as url:
        SpotWatch(Imds(url), stop, 90.0).look()
    assert stop.reason is not None
    assert stop.reason.grace_s == pytest.approx(grace_s, abs=5)
    assert stop.reason.grace_s + stop.reason.save_s <= max(0.0, left_s)


@pytest.mark.parametrize("notice", [{"action": "terminate"}, {"action": "terminate", "time": "soon"}])
def test_a_notice_that_cannot_be_read_is_no_notice(notice: dict[str, str]) -> None:
    metadata = Metadata()
    metadata.notice = notice
    stop = StopSignal()
    with serve(metadata.handler()) as url:
        SpotWatch(Imds(url), stop, 90.0).look()
    assert stop.reason is None
