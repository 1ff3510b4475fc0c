"""What is read of a stream: every line of one that can be followed, a bounded part of one that cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runctl_jupyter.runner.log_metrics import LogMetrics
from runctl_jupyter.runner.stream_lines import MOST_BEHIND, MOST_LINES, StreamLines

Write = Callable[[bytes], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stream.log"


@pytest.fixture
def write(path: Path) -> Write:
    def append(data: bytes) -> None:
        with path.open("ab") as stream:
            stream.write(data)

    return append


def test_lines_once_they_are_whole(path: Path, write: Write) -> None:
    lines = StreamLines(path, 0)
    assert lines.read() == []
    write(b"loss=1\nloss=0.")
    assert lines.read() == ["loss=1"]
    assert lines.read() == []
    write(b"5\n")
    assert lines.read() == ["loss=0.5"]
    write(b"loss=3")
    assert lines.read() == []
    assert lines.read(rest=True) == ["loss=3"]
    assert lines.offset == path.stat().st_size


def test_the_newest_frame_of_a_bar_once_it_rests(path: Path, write: Write) -> None:
    lines = StreamLines(path, 0)
    write(b"\r10%\r20%")
    assert lines.read() == ["10%"]
    assert lines.read() == ["20%"]
    assert lines.read() == []
    write(b"\r30%\n")
    assert lines.read() == ["30%"]


def test_the_runners_own_lines_and_those_without_a_number_are_left_out(path: Path, write: Write) -> None:
    write(b"runctl: 3 files\nhello\nloss=nan\nloss=1\b\b\b\bloss=2\n")
    assert StreamLines(path, 0).read() == ["loss=nan", "loss=1", "loss=2"]


def test_it_goes_on_at_an_offset(path: Path, write: Write) -> None:
    write(b"loss=1\nloss=2\n")
    assert StreamLines(path, 7).read() == ["loss=2"]


def test_of_too_many_lines_some_and_the_newest(path: Path, write: Write) -> None:
    count = 3 * MOST_LINES
    write(b"".join(b"loss=%d\n" % number for number in range(count)))
    found = StreamLines(path, 0).read()
    assert len(found) <= MOST_LINES
    assert found[-10:] == [f"loss={number}" for number in range(count - 10, count)]
    assert found[:2] == ["loss=0", "loss=4"]


def test_what_is_too_far_behind_is_skipped(path: Path, write: Write) -> None:
    lines = StreamLines(path, 0)
    parsed, reads = 0, 0
    for _ in range(5):
        write(b"loss=0.12345678\n" * (1 << 20))  # 16 MiB between two reads
        found = lines.read()
        parsed, reads = parsed + len(found), reads + 1
        assert set(found) == {"loss=0.12345678"}, "none is cut off"
    assert parsed <= reads * MOST_LINES
    assert path.stat().st_size - lines.offset < MOST_BEHIND
    write(b"loss=9\n")
    last: list[str] = []
    while found := lines.read(rest=True):
        reads, last = reads + 1, found
    assert last[-1] == "loss=9"
    assert reads <= 10


def test_a_line_without_end_is_passed_over(path: Path, write: Write) -> None:
    lines = StreamLines(path, 0)
    write(b"7" * 300_000)
    assert lines.read() == []
    write(b"7" * 300_000 + b" loss=1\nloss=2\n")
    found = [*lines.read(), *lines.read(), *lines.read()]
    assert found == ["loss=2"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=300) | st.sampled_from([b"\r", b"\n", b"loss=1\n", b"\x1b[0m 5/9"]), max_size=20))
def test_arbitrary_bytes(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("stream") / "stream.log"
    lines, log = StreamLines(path, 0), LogMetrics()
    with path.open("ab", buffering=0) as stream:
        for piece in pieces:
            stream.write(piece)
            log.take(lines.read(), 0.0)
        log.take(lines.read(rest=True), 0.0)
    assert lines.offset == path.stat().st_size
