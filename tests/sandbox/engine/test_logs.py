"""Logs out of the sandbox's S3: from anywhere, for several readers, through trouble."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runctl_jupyter.orchestration import Instance, Job, Log
from runctl_jupyter.orchestration.errors import CredentialsMissing
from runctl_jupyter.orchestration.jobs import log_requests
from runctl_jupyter.orchestration.storage.bucket import BucketStore
from runctl_jupyter.run_record import AttemptKeys, JobState, StoreError, from_iso
from tests.sandbox.engine.conftest import Engine

LINES = 300
PRINTER = f"""\
import os, pathlib, sys, time
for i in range({LINES}):
    print("line", i, flush=True)
    if i == 100:
        # A record of everything a log may hold, in one go and in small pieces.
        sys.stdout.buffer.write(bytes(range(256)) * 40 + b"\\r1%\\r2%\\x1b[31m" + b"x" * 1_000_000)
        sys.stdout.buffer.flush()
    time.sleep(0.01)
print("no end", end="")
"""
WHOLE = (
    b"".join(b"line %d\n" % i for i in range(101))
    + bytes(range(256)) * 40 + b"\r1%\r2%\x1b[31m" + b"x" * 1_000_000
    + b"".join(b"line %d\n" % i for i in range(101, LINES)) + b"no end"
)  # fmt: skip


def await_that(look: Callable[[], Any], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not look():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def ended(dev: Instance, sandbox: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """A job that has printed `WHOLE`."""
    from runctl_jupyter.orchestration import Runctl

    folder = tmp_path_factory.mktemp("logs")
    (folder / "t.py").write_text(PRINTER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNCTL_SANDBOX_HOME", sandbox.home)
        job = Runctl(target="sandbox", cwd=folder).jobs.train("t.py", on=dev.id)
        assert isinstance(job, Job)
        yield job.wait(120)


def test_replay_from_anywhere(ended: Job) -> None:
    assert Log(ended, script_only=True).read() == WHOLE
    whole = Log(ended).read()
    assert whole.endswith(b"no end")
    for start in random.Random(7).choices(range(len(whole)), k=100):
        assert Log(ended, start=start).read() == whole[start:], start
    assert Log(ended, start=-50).read() == whole[-50:]
    assert Log(ended, tail=3).read() == b"".join(whole.splitlines(keepends=True)[-3:])
    assert Log(ended, follow=True, attempt=1).read() == whole


def test_since_is_the_time_of_the_chunks(ended: Job) -> None:
    store, keys = ended.record.store, AttemptKeys(ended.id, 1)
    heads = [store.head(keys.chunk(seq)) for seq in range(ended.status.log_chunks)]
    middle = len(heads) // 2
    offset = int(heads[middle].metadata["offset"])
    since = from_iso(heads[middle].metadata["time"])
    assert Log(ended, since=since).read() == Log(ended, start=offset).read()


def test_two_followers_one_killed(engine: Engine, dev: Instance, tmp_path: Any) -> None:
    rc = engine({"t.py": PRINTER})
    job = rc.jobs.train("t.py", on=dev.id)
    assert isinstance(job, Job)
    job.launched(60)
    code = f"""
import sys
from runctl_jupyter.orchestration import Runctl
for data in Runctl(target="sandbox", cwd={str(tmp_path / "project")!r}).jobs.get({job.id!r}).logs(follow=True):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
"""
    seen: list[bytes] = []
    other = threading.Thread(target=lambda: seen.append(Log(rc.jobs.get(job.id), follow=True).read()))
    other.start()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        part = killed.stdout.read(100)
        killed.kill()
    other.join(120)
    assert not other.is_alive()
    (whole,) = seen
    assert whole.endswith(WHOLE[-100:])
    assert Log(job, script_only=True).read() == WHOLE
    assert whole.startswith(part)
    # Whoever was cut off goes on where it was.
    assert part + Log(job, follow=True, start=len(part)).read() == whole


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            CredentialsMissing("The AWS credentials have expired [ExpiredToken].", "Sign in again: aws sso login."),
            "sso",
        ),
        (StoreError("S3 failed", transient=True), "cannot be reached"),
    ],
)
def test_credentials_and_network_go_and_come_back(
    engine: Engine, dev: Instance, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    monkeypatch.setattr(log_requests, "_LONGEST_PAUSE_S", 0.5)
    job = engine({"t.py": PRINTER}).jobs.train("t.py", on=dev.id)
    assert isinstance(job, Job)
    job.launched(60)
    over = threading.Event()
    reads = {name: getattr(BucketStore, name) for name in ("get", "head", "children", "exists")}

    def failing(name: str) -> Callable[..., Any]:
        def read(self: BucketStore, *args: Any) -> Any:
            if over.is_set() and threading.current_thread().name.startswith("runctl-log"):
                raise error
            return reads[name](self, *args)

        return read

    for name in reads:
        monkeypatch.setattr(BucketStore, name, failing(name))
    said: list[str] = []
    got: list[bytes] = []
    follower = threading.Thread(target=lambda: got.extend(Log(job, follow=True, on_trouble=said.append)))
    follower.start()
    await_that(lambda: sum(map(len, got)) > 300)
    over.set()
    await_that(lambda: said)
    assert words in said[0]
    assert job.wait(120).state is JobState.SUCCEEDED
    assert follower.is_alive(), "it gave up"
    over.clear()
    follower.join(60)
    assert not follower.is_alive()
    assert b"".join(got) == Log(job).read()
    assert len(said) == 2
