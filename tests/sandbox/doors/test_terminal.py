"""The terminal against a real sandbox: machines, jobs, logs, and what survives whom."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

LINES = 400
COUNTING = f"""
import pathlib, sys, time
for i in range({LINES}):
    print("line", i, flush=True)
    if i == 20 and "--hold" in sys.argv:
        while not pathlib.Path("/tmp").joinpath(sys.argv[-1]).exists():
            time.sleep(0.05)
sys.stdout.buffer.write(b"caf\\xc3\\xa9 \\xff\\rbar\\rend")
"""
EXPECTED = b"".join(b"line %d\n" % i for i in range(LINES)) + b"caf\xc3\xa9 \xff\rbar\rend"


def await_that(look: Callable[[], Any], limit_s: float = 60) -> Any:
    """Return the first true value of `look`."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come true in time")


def test_a_machines_life(terminal: Any, machine: str) -> None:
    listed = terminal.json("list")
    assert [(i["id"], i["name"], i["state"]) for i in listed] == [(machine, "dev", "running")]
    assert listed[0]["price_per_hour"] > 0
    assert terminal.json("show", "dev")["instance_type"] == "m5.large"
    assert terminal.json("stop", "dev", "--wait")["state"] == "stopped"
    spent = terminal.json("cost", "--by", "instance", "--since", "1d")
    (row,) = [each for each in spent["rows"] if each["key"] == machine]
    assert row["live"] is False
    assert row["cost_parts"]["machine"] > 0, "what it has cost while it ran"
    assert row["cost_parts"]["disk"] > 0, "which is billed on"
    assert "estimate" in terminal.run("cost")[0].decode()
    _, error = terminal.run("train", "nothing.py", "--on", "dev", status=2)
    assert len(error.splitlines()) == 2
    assert terminal.json("start", "dev")["state"] == "running"
    assert terminal.json("status")["running_instances"] == 1


@pytest.mark.parametrize("line", ["create x9.huge", "stop i-00000000000000000", "s3 list s3:/x", "logs nothing"])
def test_bad_input_leaves_nothing_behind(terminal: Any, machine: str, line: str) -> None:
    before = terminal.json("list", "--all")
    words = line.split()
    done = terminal.start(*words)
    out, error = done.communicate(timeout=60)
    assert done.returncode in (1, 2)
    assert out == b""
    assert len(error.decode().splitlines()) == 2
    assert [i["id"] for i in terminal.json("list", "--all")] == [i["id"] for i in before]


def test_train_and_wait_streams_every_byte(place: Any) -> None:
    (place.folder / "count.py").write_text(COUNTING)
    out, error = place.run("train", "count.py", *place.on, "--name", "count", "--wait")
    assert out == EXPECTED
    assert "succeeded" in error
    raw, _ = place.run("logs", "count", "--raw")
    assert raw == EXPECTED
    tail, _ = place.run("logs", "count", "--tail", "2")
    assert tail.decode().splitlines() == [f"line {LINES - 1}", "end"]


def test_a_failing_script_fails_the_line(place: Any) -> None:
    (place.folder / "fail.py").write_text("import sys; print('boom'); sys.exit(3)\n")
    out, error = place.run("train", "fail.py", *place.on, "--wait", status=1)
    assert out == b"boom\n"
    assert "exit code 3" in error
    job = place.json("show", "fail")
    assert (job["state"], job["exit_code"]) == ("failed", 3)


def test_killing_the_launcher_changes_nothing_for_the_job(place: Any, tmp_path: Any) -> None:
    (place.folder / "count.py").write_text(COUNTING)
    go_on = f"runctl-test-{tmp_path.name}-{time.time_ns()}"
    launcher = place.start("train", "count.py", *place.on, "--name", "survivor", "--wait", "--", "--hold", go_on)
    assert launcher.stdout is not None
    while b"line 20\n" not in launcher.stdout.readline():
        assert launcher.poll() is None, launcher.communicate()
    launcher.kill()
    launcher.communicate()
    assert place.json("show", "survivor")["state"] == "running"
    assert any(job["name"] == "survivor" for job in place.json("jobs"))
    marker = "import pathlib; pathlib.Path('/tmp', '" + go_on + "').touch()"
    (place.folder / "release.py").write_text(marker)
    try:
        place.run("train", "release.py", *place.on, "--wait")
        place.run("wait", "survivor")
        raw, _ = place.run("logs", "survivor", "--raw")
        assert raw == EXPECTED
    finally:
        (place.folder / "sweep.py").write_text(marker.replace("touch()", "unlink(missing_ok=True)"))
        place.run("train", "sweep.py", *place.on, "--wait")


def test_cancel(place: Any) -> None:
    (place.folder / "long.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(600)\n")
    job = place.json("train", "long.py", *place.on, "--name", "long")
    await_that(lambda: place.json("show", job["id"])["state"] == "running")
    cancelled = place.json("cancel", "long")
    assert cancelled["state"] == "cancelled"
    _, error = place.run("wait", "long", status=1)
    assert "cancelled" in error


def test_ctrl_c_detaches(place: Any) -> None:
    (place.folder / "long.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(600)\n")
    line = place.start("train", "long.py", *place.on, "--name", "left", "--wait")
    assert line.stdout is not None
    assert line.stdout.readline() == b"begun\n"
    line.send_signal(signal.SIGINT)
    _, error = line.communicate(timeout=30)
    assert line.returncode == 130
    assert b"goes on" in error
    assert place.json("show", "left")["state"] == "running"
    place.run("cancel", "left")


def test_s3_round_trip(terminal: Any, machine: str) -> None:
    bucket = terminal.json("status")["bucket"]
    (terminal.folder / "data.bin").write_bytes(bytes(range(256)) * 1000)
    moved = terminal.json("s3", "upload", "data.bin", f"s3://{bucket}/doors/")
    assert moved["bytes"] == 256_000
    assert [o["uri"] for o in terminal.json("s3", "list", f"s3://{bucket}/doors/")] == [f"s3://{bucket}/doors/data.bin"]
    terminal.run("s3", "download", f"s3://{bucket}/doors/data.bin", "back.bin")
    assert (terminal.folder / "back.bin").read_bytes() == (terminal.folder / "data.bin").read_bytes()


def test_an_ordinary_client_can_talk_to_it(terminal: Any, machine: str) -> None:
    status = terminal.json("sandbox", "status")
    assert status["running"]
    assert status["mode"] in ("plain", "isolated")
    assert status["endpoint_url"].startswith("http://127.0.0.1:")
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= set(status["env"])
    assert "control_token" not in json.dumps(status)
