"""The log as read: exact bytes, tails, bars."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_jupyter.orchestration.checkpoints.catalogue import Checkpoints
from runctl_jupyter.orchestration.jobs.job import Job
from runctl_jupyter.orchestration.jobs.log import collapsed, without_ansi
from runctl_jupyter.orchestration.jobs.record import JobRecord, Seen
from runctl_jupyter.orchestration.storage.folder import ListableFolder
from runctl_jupyter.orchestration.targets.local import LocalTarget
from runctl_jupyter.run_record import AttemptKeys, JobSpec, JobState, Status, now, to_iso


def job_with(tmp_path: Path, chunks: list[bytes], state: JobState = JobState.SUCCEEDED) -> Job:
    record = JobRecord(ListableFolder(tmp_path))
    spec = JobSpec("j", "j", to_iso(now()), "me", "local", "t.py")
    record.write_spec(spec)
    status = Status("j", 1, state, updated_at=to_iso(now()), log_chunks=len(chunks), log_bytes=sum(map(len, chunks)))
    record.update(Seen(spec, 1, status, None), status)
    for seq, data in enumerate(chunks):
        own = {"origin": "runner"} if data.startswith(b"runctl: ") else None
        record.store.put(AttemptKeys("j", 1).chunk(seq), data, metadata=own)
    return Job(record, LocalTarget(record.store, tmp_path), Checkpoints(record, str), record.look("j"))


def test_every_byte_once_in_order(tmp_path: Path) -> None:
    chunks = [b"a\n\xff\x00", b"b\rb2", b"no newline"]
    assert job_with(tmp_path, chunks).logs().read() == b"".join(chunks)
    assert job_with(tmp_path / "2", chunks).logs(follow=True).read() == b"".join(chunks)


def test_chunks_beyond_the_last_heartbeat_are_read_too(tmp_path: Path) -> None:
    job = job_with(tmp_path, [b"1\n"])
    job.record.store.put(AttemptKeys("j", 1).chunk(1), b"2\n")
    assert job.logs(follow=True).read() == b"1\n2\n"
    assert job.logs(tail=1).read() == b"2\n"


@pytest.mark.parametrize(("tail", "expected"), [(1, b"3"), (2, b"2\n3"), (3, b"1\n2\n3"), (9, b"1\n2\n3"), (0, b"")])
def test_tail(tmp_path: Path, tail: int, expected: bytes) -> None:
    assert job_with(tmp_path, [b"1\n", b"2", b"\n", b"3"]).logs(tail=tail).read() == expected


def test_what_the_script_printed_and_nothing_else(tmp_path: Path) -> None:
    chunks = [b"runctl: installing\n", b"a", b"runctl: checkpoint saved\n", b"b\n"]
    job = job_with(tmp_path, chunks)
    assert job.logs(script_only=True).read() == b"ab\n"
    assert job.logs(script_only=True, follow=True).read() == b"ab\n"
    assert job.logs().read() == b"".join(chunks)


def test_a_bar_is_one_line_of_a_tail(tmp_path: Path) -> None:
    assert job_with(tmp_path, [b"a\n1%\r2%\r3%\nb\n"]).logs(tail=2).read() == b"1%\r2%\r3%\nb\n"


def test_an_empty_log(tmp_path: Path) -> None:
    assert job_with(tmp_path, []).logs(follow=True).read() == b""


def test_bars_collapse_to_their_last_state() -> None:
    assert collapsed("a\r 10%\r100%\nb\r\nc\r") == "a\r 10%\r100%\nb\r\nc\r".replace("a\r 10%\r", "").replace("\r", "")


@given(st.text(alphabet=st.characters(exclude_characters="\r"), max_size=200))
def test_text_without_bars_stays(text: str) -> None:
    assert collapsed(text) == text


def test_colours_go() -> None:
    assert without_ansi("\x1b[31mred\x1b[0m \x1b]0;title\x07x") == "red x"
