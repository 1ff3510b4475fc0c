"""The terminal door: what lands on stdout and stderr, and the exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.cli import main
from runctl_jupyter.commands.project_file import write_choice
from runctl_jupyter.commands.request import Choice
from runctl_jupyter.run_record import Cause, JobState

JOB_KEYS = {
    "id", "name", "state", "attempt", "exit_code", "cause", "instance_id", "started_at", "ended_at", "cost_usd",
    "log_bytes", "checkpoint_count",
}  # fmt: skip


def test_json_is_one_document_and_nothing_else(write_job: Any, capsys: pytest.CaptureFixture[str]) -> None:
    write_job(checkpoints=2)
    for line, kind in (("jobs --json", list), ("show digits --json", dict), ("checkpoints list digits --json", list)):
        assert main(line.split()) == 0
        out, err = capsys.readouterr()
        document = json.loads(out)
        assert isinstance(document, kind)
        assert out.count("\n") == 1
        assert err == ""
        first = document[0] if isinstance(document, list) else document
        expected = {"uri", "name", "step", "metrics", "size", "created_at", "format", "complete"}
        assert set(first) >= (expected if line.startswith("checkpoints") else JOB_KEYS)


def test_tables_and_cards(write_job: Any, capsys: pytest.CaptureFixture[str]) -> None:
    job_id = write_job(checkpoints=2, log=b"epoch=1\n")
    assert main(["jobs"]) == 0
    assert job_id in capsys.readouterr().out
    assert main(["show", "digits"]) == 0
    card = capsys.readouterr().out
    assert "succeeded" in card
    assert "epoch=1" in card
    assert "epoch-001.safetensors" in card
    assert main(["checkpoints", "list", "digits"]) == 0
    assert "accuracy=0.51" in capsys.readouterr().out


LOG = b"caf\xc3\xa9 \xff\x00\x1b[31mred\x1b[0m\n\r10%\r50%\r100%\nlast without newline"


def test_raw_log_is_exact_and_the_other_collapses_bars(
    write_job: Any, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    write_job(LOG, chunk_bytes=7)
    for line in ("logs digits --raw", "logs digits --raw --follow"):
        assert main(line.split()) == 0
        assert capfdbinary.readouterr().out == LOG
    assert main(["logs", "digits"]) == 0
    out = capfdbinary.readouterr().out
    assert b"100%" in out
    assert b"50%" not in out
    assert main(["logs", "digits", "--follow"]) == 0
    out = capfdbinary.readouterr().out
    assert b"100%\nlast without newline" in out
    assert b"50%" not in out


def test_tail(write_job: Any, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write_job(b"".join(b"line %d\n" % i for i in range(100)), chunk_bytes=64)
    assert main(["logs", "digits", "--tail", "3", "--raw"]) == 0
    assert capfdbinary.readouterr().out == b"line 97\nline 98\nline 99\n"


def test_waiting_for_a_failed_job_fails_and_says_why(write_job: Any, capsys: pytest.CaptureFixture[str]) -> None:
    job_id = write_job(state=JobState.FAILED, exit_code=3, cause=Cause("exit", "the script ended with exit code 3"))
    assert main(["wait", "digits"]) == 1
    captured = capsys.readouterr()
    what, to_resolve = captured.err.splitlines()[-2:]
    assert what == f"Job digits ({job_id}) failed with exit code 3: the script ended with exit code 3."
    assert to_resolve == f"Read its log: runctl logs {job_id}"
    assert main(["wait", "digits", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["exit_code"] == 3
    assert main(["show", "digits"]) == 0


def test_attach_shows_the_log_of_an_ended_job(write_job: Any, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write_job(b"all of it\n", state=JobState.CANCELLED)
    assert main(["attach", "digits"]) == 0
    captured = capfdbinary.readouterr()
    assert captured.out == b"all of it\n"
    assert b"cancelled" in captured.err


@pytest.mark.parametrize(("line", "status"), [("lits", 2), ("show nothing", 2), ("logs nothing", 1), ("create x y", 2)])
def test_errors_are_two_lines_on_stderr(local: Any, capsys: pytest.CaptureFixture[str], line: str, status: int) -> None:
    assert main(line.split()) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 2


def test_a_broken_configuration_is_named_with_its_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / ".runctl.toml").write_text('target = "local"\nbuckt = "x"\n')
    assert main(["jobs"]) == 2
    assert ".runctl.toml, line 2" in capsys.readouterr().err


def test_use_writes_the_choice_down(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / ".runctl.toml").write_text('# mine\nprefix = "p"\n\n[launch]\nttl = "2h"\n')
    assert main(["use", "aws", "--region", "eu-west-1", "--profile", "work"]) == 0
    assert "target aws" in capsys.readouterr().out
    text = (project / ".runctl.toml").read_text()
    assert tomllib.loads(text) == {
        "prefix": "p", "target": "aws", "launch": {"ttl": "2h"}, "aws": {"region": "eu-west-1", "profile": "work"},
    }  # fmt: skip
    assert "# mine" in text
    assert main(["use", "local", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["target"] == "local"
    assert tomllib.loads((project / ".runctl.toml").read_text())["target"] == "local"


def test_use_refuses_what_cannot_be_and_writes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["use", "azure"]) == 2
    assert "sandbox" in capsys.readouterr().err
    assert not (project / ".runctl.toml").exists()


def test_values_survive_being_written(project: Path) -> None:
    write_choice(project, Choice("aws", bucket='with "quotes" and \\'))
    assert tomllib.loads((project / ".runctl.toml").read_text())["aws"]["bucket"] == 'with "quotes" and \\'


def terminal(*arguments: str) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[3]
    env = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.Popen(
        [sys.executable, "-m", "runctl_jupyter", *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_a_reader_that_leaves_is_no_error(write_job: Any) -> None:
    write_job(b"x" * 4_000_000, chunk_bytes=65536)
    process = terminal("logs", "digits", "--raw")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(10) == b"x" * 10
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 0


def test_help_loads_neither_boto3_nor_pydantic() -> None:
    code = (
        "import sys; from runctl_jupyter.cli import main; main(['--help']); "
        "print([m for m in ('boto3', 'botocore', 'pydantic', 'obstore', 'rich', 'IPython') if m in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"
