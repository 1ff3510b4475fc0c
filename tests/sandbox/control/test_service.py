"""The sandbox as a process: one per home, found again, and what survives its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from botocore.exceptions import ClientError

from runctl_jupyter.sandbox import service
from runctl_jupyter.sandbox.connection import Connection, connection_path
from tests.sandbox.conftest import client, sandbox_mode
from tests.sandbox.control.conftest import Account


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    service.stop(tmp_path / "home")


def start(home: Path) -> Connection:
    return service.start(home, sandbox_mode(), service.StartOptions(pace=0.0))


def test_a_race_of_starters_gives_one_server(home: Path) -> None:
    command = [sys.executable, "-m", "runctl_jupyter.sandbox", "start", "--json", "--home", str(home)]
    command += ["--mode", sandbox_mode()]

    def run(_: int) -> int:
        done = subprocess.run(command, capture_output=True, check=True)
        return int(json.loads(done.stdout)["pid"])

    with ThreadPoolExecutor(4) as pool:
        pids = set(pool.map(run, range(4)))
    assert len(pids) == 1
    assert connection_path(home).stat().st_mode & 0o777 == 0o600


def test_it_listens_on_loopback_only_and_outlives_its_starter(home: Path) -> None:
    connection = start(home)
    process = psutil.Process(connection.pid)
    assert process.ppid() != os.getpid()
    listening = [c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert set(listening) == {"127.0.0.1"}


def test_status_before_during_and_after(home: Path) -> None:
    assert not service.status(home).running
    start(home)
    assert service.status(home).running
    assert service.stop(home)
    assert not service.status(home).running
    assert not service.stop(home)


def test_wrong_keys_are_refused(sandbox: Connection) -> None:
    for changes, code in (
        ({"aws_secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"aws_access_key_id": "AKIAAAAAAAAAAAAAAAAA"}, "InvalidAccessKeyId"),
    ):
        with pytest.raises(ClientError) as error:
            client(sandbox, "s3", **changes).get_object(Bucket="runctl-sandbox", Key="x")
        assert error.value.response["Error"]["Code"] == code
    with pytest.raises(ClientError) as error:
        client(sandbox, "iam").create_user(UserName="x")
    assert error.value.response["Error"]["Code"] == "AccessDenied"


def test_conditional_writes_ranges_and_multipart(sandbox: Connection) -> None:
    s3, bucket = client(sandbox, "s3"), "runctl-sandbox"
    first = s3.put_object(Bucket=bucket, Key="c", Body=b"1", IfNoneMatch="*")["ETag"]

    def code(**request: object) -> str:
        with pytest.raises(ClientError) as error:
            s3.put_object(Bucket=bucket, Body=b"2", **request)
        return str(error.value.response["Error"]["Code"])

    assert code(Key="c", IfNoneMatch="*") == "PreconditionFailed"
    assert code(Key="c", IfMatch='"0"') == "PreconditionFailed"
    assert code(Key="missing", IfMatch=first) in ("NoSuchKey", "PreconditionFailed")
    assert s3.put_object(Bucket=bucket, Key="c", Body=b"2345", IfMatch=first)["ETag"] != first
    assert s3.get_object(Bucket=bucket, Key="c", Range="bytes=1-2")["Body"].read() == b"34"
    assert s3.get_object(Bucket=bucket, Key="c", Range="bytes=-1")["Body"].read() == b"5"
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    parts = []
    for number, data in ((1, b"a" * (5 << 20)), (2, b"b")):
        part = s3.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=number, Body=data)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="m", UploadId=upload, MultipartUpload={"Parts": parts})
    assert s3.head_object(Bucket=bucket, Key="m")["ContentLength"] == (5 << 20) + 1


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_objects_keys_and_disks_survive_a_restart(home: Path, end: str) -> None:
    connection = start(home)
    account = Account(lambda name: client(connection, name))
    account.s3.put_object(Bucket="runctl-sandbox", Key="kept/1", Body=b"data", Metadata={"offset": "7"})
    account.s3.put_object(Bucket="runctl-sandbox", Key="gone", Body=b"x")
    account.s3.delete_object(Bucket="runctl-sandbox", Key="gone")
    instance_id = account.ready()
    account.run(instance_id, "echo kept > ${RUNCTL_ROOT:-/var/lib/runctl}/disk")
    if end == "stop":
        service.stop(home)
    else:
        os.kill(connection.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while psutil.pid_exists(connection.pid):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    again = start(home)
    assert dict(again.env)["AWS_ACCESS_KEY_ID"] == dict(connection.env)["AWS_ACCESS_KEY_ID"]
    back = Account(lambda name: client(again, name))
    found = back.s3.get_object(Bucket="runctl-sandbox", Key="kept/1")
    assert (found["Body"].read(), found["Metadata"]) == (b"data", {"offset": "7"})
    assert [o["Key"] for o in back.s3.list_objects_v2(Bucket="runctl-sandbox")["Contents"]] == ["kept/1"]
    assert back.state(instance_id) == "stopped"
    health = service.status(home).health
    assert health is not None
    assert any(instance_id in loss for loss in health.lost_at_restart)
    back.ec2.start_instances(InstanceIds=[instance_id])
    back.until(lambda: back.online(instance_id))
    assert back.run(instance_id, "cat ${RUNCTL_ROOT:-/var/lib/runctl}/disk")["StandardOutputContent"] == "kept\n"


def test_stop_leaves_no_process(home: Path) -> None:
    connection = start(home)
    account = Account(lambda name: client(connection, name))
    instance_id = account.ready()
    account.run(instance_id, "setsid sleep 4712.25 >/dev/null 2>&1 &")
    assert [p for p in psutil.process_iter(["cmdline"]) if "4712.25" in (p.info["cmdline"] or [])]
    service.stop(home)
    assert not [p for p in psutil.process_iter(["cmdline"]) if "4712.25" in (p.info["cmdline"] or [])]
    assert not psutil.pid_exists(connection.pid)
