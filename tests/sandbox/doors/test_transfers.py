"""Transfers in a terminal: Ctrl-C on the way, going on, and the bar that only a person sees."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

pytestmark = pytest.mark.machineless

_MB = 1 << 20


@pytest.fixture
def s3(terminal: Any) -> Any:
    """An ordinary client of the sandbox, which starts with the first line."""
    terminal.run("status")
    env = terminal.json("sandbox", "status")["env"]
    names = {"endpoint_url": "AWS_ENDPOINT_URL", "region_name": "AWS_REGION"}
    names |= {"aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY"}
    return boto3.client("s3", **{name: env[variable] for name, variable in names.items()})


@pytest.fixture
def bucket(terminal: Any, s3: Any) -> str:
    return str(terminal.json("status")["bucket"])


def await_that(look: Callable[[], Any], process: subprocess.Popen[bytes]) -> Any:
    until = time.monotonic() + 60
    while not (found := look()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)
    return found


def test_ctrl_c_on_the_way_up_leaves_nothing_in_s3(terminal: Any, s3: Any, bucket: str, tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as big:
        big.truncate(3000 * _MB)
    line = terminal.start("s3", "upload", str(tmp_path / "big"), f"s3://{bucket}/cut/big")
    await_that(lambda: "Uploads" in s3.list_multipart_uploads(Bucket=bucket), line)
    line.send_signal(signal.SIGINT)
    _, said = line.communicate(timeout=60)
    assert line.returncode == 130
    assert len(said.decode().splitlines()) == 2
    assert b"Interrupted" in said
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix="cut/")


def test_ctrl_c_on_the_way_down_and_the_rest_later(terminal: Any, s3: Any, bucket: str, tmp_path: Path) -> None:
    data = os.urandom(240 * _MB)
    (tmp_path / "source").write_bytes(data)
    s3.upload_file(str(tmp_path / "source"), bucket, "down/big")
    target, notes = tmp_path / "big", tmp_path / ".big.part.done"
    line = terminal.start("s3", "download", f"s3://{bucket}/down/big", str(target), "--json")
    await_that(lambda: notes.exists() and notes.read_bytes().count(b"\n") > 1, line)
    line.send_signal(signal.SIGINT)
    _, said = line.communicate(timeout=60)
    assert (line.returncode, len(said.decode().splitlines())) == (130, 2)
    assert not target.exists()
    assert 0 < notes.read_bytes().count(b"\n") - 1 < 30
    moved = terminal.json("s3", "download", f"s3://{bucket}/down/big", str(target))
    assert moved["bytes"] == len(data)
    assert target.read_bytes() == data
    assert sorted(p.name for p in tmp_path.iterdir()) == ["big", "source"]


def test_a_bar_for_a_person_and_none_for_a_program(terminal: Any, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(20 * _MB))
    words = ["s3", "upload", str(tmp_path / "file"), f"s3://{bucket}/bar/file"]
    _, quiet = terminal.run(*words)
    assert quiet == ""
    ours, theirs = pty.openpty()
    seen = bytearray()

    def read() -> None:
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # what Linux says when the other side is closed
                return
            if not piece:
                return
            seen.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    command = [sys.executable, "-m", "runctl_jupyter", *words]
    environ = {**terminal.env, "TERM": "xterm", "COLUMNS": "120"}
    done = subprocess.run(
        command, cwd=terminal.folder, env=environ, stderr=theirs, stdout=subprocess.PIPE, timeout=60, check=True
    )
    os.close(theirs)
    reader.join()
    os.close(ours)
    assert b"uploading" in seen
    assert b"21.0/21.0 MB" in seen
    assert b"Moved 1 file" in done.stdout


def test_sync_says_what_it_did(terminal: Any, bucket: str, tmp_path: Path) -> None:
    for name in ("a", "b/c"):
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / name).write_text(name)
    out, _ = terminal.run("s3", "sync", str(tmp_path / "d"), f"s3://{bucket}/said")
    assert b"2 uploaded, 0 unchanged" in out
    (tmp_path / "d" / "a").unlink()
    told = json.loads(terminal.run("s3", "sync", str(tmp_path / "d"), f"s3://{bucket}/said", "--delete", "--json")[0])
    assert (told["uploaded"], told["deleted"], told["unchanged"]) == ([], ["a"], 1)
    _, error = terminal.run("s3", "sync", str(tmp_path / "no"), f"s3://{bucket}/said", status=2)
    assert len(error.splitlines()) == 2
