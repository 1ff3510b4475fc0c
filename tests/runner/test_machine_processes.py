"""What a look at a machine sees, with NVIDIA's tool as it is: there, absent, broken, hanging."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration.instances import programs
from runctl_jupyter.runner.activity import NvidiaSmi
from runctl_jupyter.runner.machine_processes import MOST_CHARACTERS, Machine, adopter, fitting, look

BUSY = "import sys, time\nblob = bytearray(64 << 20)\nprint('on', flush=True)\nwhile True: pass\n"


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[str]]:
    """A process of a job, which keeps a core busy."""
    command = [sys.executable, "-c", BUSY, "secret-free"]
    environ = {**os.environ, "RUNCTL_JOB_ID": "261130-120000-aaaa"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def nvidia(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch, answer_s: float = 5.0) -> NvidiaSmi:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return NvidiaSmi(answer_s)


def seen(gpu: NvidiaSmi | None = None) -> dict[str, Any]:
    return look(Machine(root=os.getpid()), gpu=gpu, wait_s=0.3)


def test_a_busy_process_of_a_job_is_seen_with_what_it_takes(worker: subprocess.Popen[str]) -> None:
    found = seen()
    (row,) = (each for each in found["processes"] if each["pid"] == worker.pid)
    assert row["job"] == "261130-120000-aaaa"
    assert row["cpu_percent"] > 10
    assert row["memory_bytes"] > 64 << 20
    assert row["command"].endswith("secret-free")
    assert row["user"]
    assert found["cpu_percent"] > 0
    assert 0 < found["memory_used"] < found["memory_total"]
    (root,) = (each for each in found["disks"] if each["mount"] == "/")
    assert 0 < root["used_bytes"] < root["size_bytes"]
    assert found["gpus"] == []
    assert found["notes"] == []


def test_gpus_and_who_uses_them(worker: subprocess.Popen[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = (
        'case "$1" in\n'
        '--query-gpu=*) echo "0, NVIDIA L4, 97, 20000, 23034, 71"; echo "1, NVIDIA L4, [N/A], 0, 23034, [N/A]";;\n'
        f'--query-compute-apps=*) echo "{worker.pid}, 15000"; echo "{worker.pid}, 5000"; echo "[N/A], 1";;\n'
        "esac"
    )
    found = seen(nvidia(tmp_path, answer, monkeypatch))
    assert [(each["name"], each["percent"], each["celsius"]) for each in found["gpus"]] == [
        ("NVIDIA L4", 97.0, 71.0), ("NVIDIA L4", None, None)
    ]  # fmt: skip
    (row,) = (each for each in found["processes"] if each["pid"] == worker.pid)
    assert row["gpu_memory_bytes"] == 20000 << 20
    assert json.loads(fitting(found))["processes"][0]["pid"] == worker.pid


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("exec sleep 60", "nvidia-smi did not answer within 0.5 s"),
        ("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18", "version mismatch"),
    ],
)
def test_a_tool_that_hangs_or_fails_is_said_and_holds_nothing_up(
    answer: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    found = seen(nvidia(tmp_path, answer, monkeypatch, 0.5))
    assert time.monotonic() - began < 10
    assert found["gpus"] == []
    (note,) = found["notes"]
    assert said in note
    assert found["memory_total"]


def test_what_does_not_fit_is_left_out_by_value_and_counted() -> None:
    rows = [
        {"pid": pid, "user": "u", "memory_bytes": pid, "command": "x" * 300, "job": None, "cpu_percent": 0.0,
         "gpu_memory_bytes": (1 << 30) if pid == 7 else None}
        for pid in range(1, 501)
    ]  # fmt: skip
    rows[3]["cpu_percent"] = 99.0
    text = fitting({"processes": rows, "left_out": 0})
    told = json.loads(text)
    assert MOST_CHARACTERS - 500 < len(text) <= MOST_CHARACTERS
    assert [each["pid"] for each in told["processes"][:3]] == [7, 4, 500]
    assert told["left_out"] == 500 - len(told["processes"])


def test_orphans_go_to_who_adopts_them_here() -> None:
    source = "from runctl_jupyter.runner.machine_processes import adopter; print(adopter())"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, env=environ)
    assert int(told.stdout) == adopter()


def test_the_program_travels_as_text_and_runs_alone(tmp_path: Path) -> None:
    text = programs.as_text("machine_processes", "activity")
    assert len(text) < 9000
    program = tmp_path / "look.pyz"
    with program.open("wb") as out:
        subprocess.run(["sh", "-c", programs.DECODE], input=text.encode(), stdout=out, check=True)
    assert program.read_bytes() == base64.b85decode(text.replace("\n", ""))
    told = subprocess.run([sys.executable, "-I", program], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout)["cpus"] == os.cpu_count()


def test_sources_without_words_do_the_same() -> None:
    source = (
        '"""Doc."""\n\n\ndef f():\n    """Only this."""\n\n\n'
        'x = "# no comment"  # a comment\n"""About\n\nx."""\ny = """\n\n"""\n'
    )
    space: dict[str, Any] = {}
    exec(programs.bare(source), space)
    assert (space["x"], space["y"], space["f"]()) == ("# no comment", "\n\n", None)
    assert "comment\n" not in programs.bare(source)
    assert "About" not in programs.bare(source)
