"""The log's chunks: gap-free, each byte once, soon, and never at the script's expense."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runctl_jupyter.run_record import AttemptKeys, FolderStore, NotFound, Pacing, StoredObject, StoreError, from_iso
from runctl_jupyter.run_record.layout import CHUNK_OFFSET, CHUNK_ORIGIN, CHUNK_TIME, RUNNER
from runctl_jupyter.runner.log import MOST_CHUNK_BYTES, JobLog
from runctl_jupyter.runner.spool import Spool
from tests.runner.machines import until

KEYS = AttemptKeys("job", 1)
QUICK = Pacing(flush_s=0.05, flush_quick_s=0.01)


class FailingStore(FolderStore):
    """Fails while told to; `lose_answers` does what it is asked and fails all the same."""

    failing = False
    lose_answers = False
    puts = 0

    def put(
        self,
        key: str,
        data: bytes,
        *,
        create_only: bool = False,
        if_etag: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        self.puts += 1
        if self.failing:
            raise StoreError("no network", transient=True)
        etag = super().put(key, data, create_only=create_only, if_etag=if_etag, metadata=metadata)
        if self.lose_answers:
            self.lose_answers = False
            raise StoreError("connection lost", transient=True)
        return etag


def chunks(store: FolderStore) -> list[StoredObject]:
    found: list[StoredObject] = []
    try:
        while True:
            found.append(store.get(KEYS.chunk(len(found))))
    except NotFound:
        return found


def stream(store: FolderStore) -> bytes:
    return b"".join(chunk.data for chunk in chunks(store))


def open_log(folder: Path, pacing: Pacing = QUICK, spool: Path | None = None) -> tuple[FailingStore, JobLog]:
    store = FailingStore(folder / "record")
    log = JobLog(store, KEYS, pacing, spool or folder / "stream.log")
    log.start()
    return store, log


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Let the kernel refuse what would make a file of this process larger than `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def close(log: JobLog, seconds: float = 20.0) -> bool:
    return log.close(time.monotonic() + seconds)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=3000) | st.text("abc", min_size=1, max_size=9), max_size=30))
def test_the_scripts_bytes_can_be_told_from_the_runners(written: list[bytes | str]) -> None:
    """Bytes are the script's, texts are lines of the runner's own."""
    with TemporaryDirectory() as folder:
        store, log = open_log(Path(folder))
        for each in written:
            if isinstance(each, bytes):
                log.write(each)
            else:
                log.say(each)
        assert close(log)
        found = chunks(store)
        assert log.stored == (len(found), sum(len(chunk.data) for chunk in found))
    script = b"".join(chunk.data for chunk in found if chunk.metadata.get(CHUNK_ORIGIN) != RUNNER)
    own = b"".join(chunk.data for chunk in found if chunk.metadata.get(CHUNK_ORIGIN) == RUNNER)
    assert script == b"".join(each for each in written if isinstance(each, bytes))
    assert own.split(b"\n") == [] or [line for line in own.split(b"\n") if line] == [
        f"runctl: {each}".encode() for each in written if isinstance(each, str)
    ]


def test_a_line_is_stored_at_once_while_there_are_tokens(tmp_path: Path) -> None:
    store, log = open_log(tmp_path, Pacing())
    waits = []
    for i in range(10):
        began = time.monotonic()
        log.write(b"line %d\n" % i)
        expected = b"".join(b"line %d\n" % j for j in range(i + 1))
        until(lambda expected=expected: log.stored[1] == len(expected))  # type: ignore[misc]
        waits.append(time.monotonic() - began)
    assert sorted(waits)[5] < 0.5, "the sustained pace is 1 s"
    assert stream(store) == b"".join(b"line %d\n" % i for i in range(10))
    close(log)


def test_without_tokens_chunks_keep_their_distance(tmp_path: Path) -> None:
    store, log = open_log(tmp_path, Pacing(flush_s=0.4, flush_burst=1, flush_quick_s=0.01))
    end = time.monotonic() + 1.8
    while time.monotonic() < end:
        log.write(b"x")
        time.sleep(0.005)
    assert 2 <= store.puts <= 7
    assert close(log)


def test_a_flood_comes_in_large_chunks(tmp_path: Path) -> None:
    store, log = open_log(tmp_path)
    line = b"y" * 999 + b"\n"
    for _ in range(20_000):
        log.write(line)
    assert close(log)
    found = chunks(store)
    assert sum(len(chunk.data) for chunk in found) == 20_000_000
    assert len(found) < 200
    assert max(len(chunk.data) for chunk in found) <= MOST_CHUNK_BYTES
    assert all(chunk.data.endswith(b"\n") for chunk in found)


def test_an_outage_loses_nothing_and_holds_nobody_up(tmp_path: Path) -> None:
    store, log = open_log(tmp_path)
    store.failing = True
    began = time.monotonic()
    for i in range(2000):
        log.write(b"%d\n" % i)
    assert time.monotonic() - began < 2.0
    until(lambda: store.puts >= 2)
    assert log.stored == (0, 0)
    store.failing = False
    assert close(log)
    assert stream(store).split() == [b"%d" % i for i in range(2000)]


def test_a_lost_answer_doubles_nothing(tmp_path: Path) -> None:
    store, log = open_log(tmp_path)
    store.lose_answers = True
    log.write(b"once\n")
    until(lambda: log.stored == (1, 5))
    assert close(log)
    assert [chunk.data for chunk in chunks(store)] == [b"once\n"]


def test_another_runners_chunk_is_not_written_over(tmp_path: Path) -> None:
    store, log = open_log(tmp_path)
    FolderStore(store.root).put(KEYS.chunk(0), b"theirs")
    log.write(b"ours")
    until(lambda: log.failure)
    assert not close(log, 1.0)
    assert stream(store) == b"theirs"


def test_a_store_that_stays_away_is_told(tmp_path: Path) -> None:
    store, log = open_log(tmp_path)
    store.failing = True
    log.write(b"lost\n")
    assert not close(log, 0.3)
    assert "no network" in str(log.failure)
    assert (tmp_path / "stream.log").read_bytes() == b"lost\n"


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    store, log = open_log(tmp_path, spool=full)
    for i in range(1000):
        log.write(b"%d\n" % i)
    assert close(log)
    lines = stream(store).splitlines()
    assert [line for line in lines if not line.startswith(b"runctl: ")] == [b"%d" % i for i in range(1000)]
    assert any(b"disk is full" in line for line in lines)


@pytest.mark.parametrize("piece", [1, 10, 64])
def test_what_does_not_fit_anywhere_is_counted(tmp_path: Path, piece: int) -> None:
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    spool = Spool(full, memory_bytes=128)
    for _ in range(400 // piece):
        spool.append(b"z" * piece)
    kept = spool.size
    assert kept <= 128
    assert spool.read(0, 1000) == b"z" * kept
    spool.release(kept)
    spool.append(b"after\n")
    assert spool.read(kept, 1000) == b"\nrunctl: %d bytes of the log were lost here\nafter\n" % (
        400 // piece * piece - kept
    )
    spool.close()


@pytest.mark.parametrize("room", [10, 13, 20, 29, 100], ids="{} bytes".format)
def test_bytes_go_on_where_a_killed_runners_memory_ended(tmp_path: Path, room: int) -> None:
    """On the disk there are 10 bytes of it, in the store 13; what came meanwhile is partly on the disk too."""
    path, since = tmp_path / "stream.log", b"0123456789abcdef"
    path.write_bytes(b"a" * 10)
    spool = Spool(path)
    with files_end_at(room):
        spool.append(since[:9])
        spool.append(since[9:])
        assert spool.read(10, 100) == since
        assert spool.go_on_at(13, 10) == 3
        assert (spool.size, spool.held_from, spool.disk_full) == (29, 13, room < 29)
        assert spool.read(13, 100) == since
        spool.append(b"!")
        assert spool.read(25, 100) == b"cdef!"
    spool.close()
    again = Spool(path)
    assert again.read(13, 100) == (since + b"!")[: max(0, room - 13)]
    again.close()


def test_a_runner_that_follows_on_a_full_disk_knows_its_own_lines(tmp_path: Path) -> None:
    path = tmp_path / "stream.log"
    path.write_bytes(b"on disk\n")
    store = FailingStore(tmp_path / "record")
    log = JobLog(store, KEYS, QUICK, path, known_chunks=0)
    store.put(KEYS.chunk(0), b"on disk\nin memory\n", metadata={CHUNK_OFFSET: "0"})
    log.say("here again")
    log.write(b"next\n")
    log.start()
    assert close(log)
    assert log.tail(9) == b"ain\nnext\n"
    assert [(chunk.data, chunk.metadata.get(CHUNK_ORIGIN)) for chunk in chunks(store)] == [
        (b"on disk\nin memory\n", None),
        (b"runctl: here again\n", RUNNER),
        (b"next\n", None),
    ]
    assert path.with_suffix(".own").read_text() == "18 37\n"


def test_a_message_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    store, log = open_log(tmp_path)
    log.write(b"half ")
    log.say("saved")
    log.write(b"a line\nnext\n")
    assert close(log)
    assert stream(store) == b"half a line\nnext\nrunctl: saved\n"


def test_a_chunk_knows_when_its_last_byte_came(tmp_path: Path) -> None:
    store, log = open_log(tmp_path)
    before = datetime.now(UTC)
    log.write(b"a\n")
    assert close(log)
    at = from_iso(chunks(store)[0].metadata[CHUNK_TIME])
    assert -1 < (at - before).total_seconds() < 5
