"""The log as read: exact bytes from anywhere, tails, bars, attempts, and followers in trouble."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runctl_jupyter.orchestration.errors import (
    CredentialsMissing,
    InvalidRequest,
    PermissionDenied,
    RunctlError,
    StorageUnavailable,
)
from runctl_jupyter.orchestration.jobs import log_position, log_reading, log_requests
from runctl_jupyter.orchestration.jobs.job import Job
from runctl_jupyter.orchestration.jobs.log import Log, collapsed, without_ansi
from runctl_jupyter.orchestration.jobs.record import JobRecord, Seen
from runctl_jupyter.orchestration.storage.folder import ListableFolder
from runctl_jupyter.orchestration.storage.listed import ListedObject
from runctl_jupyter.orchestration.storage.store import ObjectHead
from runctl_jupyter.orchestration.targets.local import LocalTarget
from runctl_jupyter.run_record import (
    AttemptKeys,
    AttemptPlan,
    JobSpec,
    JobState,
    Status,
    StoredObject,
    StoreError,
    now,
    to_iso,
)
from tests.unit.orchestration.records import catalogue_of

BEGAN = datetime(2026, 11, 24, 10, tzinfo=UTC)


@pytest.fixture(autouse=True, scope="module")
def _no_sync_to_disk() -> Iterator[None]:
    # Hundreds of chunks are written here, and no power fails.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


class TroubledStore(ListableFolder):
    """A folder that fails while `trouble` says so, counts what it is asked, and knows how much is read at once."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.trouble: Callable[[str], Exception | None] = lambda _: None
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> StoredObject:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self._ask(key)
            return super().get(key)
        finally:
            with self._lock:
                self.at_once -= 1

    def head(self, key: str) -> ObjectHead:
        self._ask(key)
        return super().head(key)

    def children(self, prefix: str) -> tuple[list[str], list[ListedObject]]:
        self._ask(prefix)
        return super().children(prefix)

    def _ask(self, key: str) -> None:
        self.asked.append(key)
        error = self.trouble(key)
        if error is not None:
            raise error

    @property
    def of_log(self) -> list[str]:
        """What was asked for of the log."""
        return [key for key in self.asked if "/logs/" in key]


def put_chunk(store: ListableFolder, seq: int, offset: int, data: bytes, attempt: int = 1) -> None:
    metadata = {"offset": str(offset), "time": to_iso(BEGAN + timedelta(seconds=seq))}
    if data.startswith(b"runctl: "):
        metadata["origin"] = "runner"
    store.put(AttemptKeys("j", attempt).chunk(seq), data, metadata=metadata)


def put_attempt(
    record: JobRecord, number: int, chunks: Sequence[bytes], state: JobState, known: int | None = None
) -> None:
    if number > 1:
        record.write_plan("j", AttemptPlan(number, to_iso(now())))
    offset = 0
    for seq, data in enumerate(chunks):
        put_chunk(record.store, seq, offset, data, number)  # type: ignore[arg-type]
        offset += len(data)
    known = len(chunks) if known is None else known
    end(record, state, number, known)


def end(record: JobRecord, state: JobState, number: int = 1, known: int = 0) -> None:
    status = Status("j", number, state, updated_at=to_iso(now()), claimed_at=to_iso(now()), log_chunks=known)
    record.store.put(AttemptKeys("j", number).status, status.to_json())


def job_with(
    tmp_path: Path,
    *attempts: Sequence[bytes],
    state: JobState = JobState.SUCCEEDED,
    known: int | None = None,
    store: ListableFolder | None = None,
) -> Job:
    record = JobRecord(store or ListableFolder(tmp_path))
    record.write_spec(JobSpec("j", "j", to_iso(now()), "me", "local", "t.py"))
    for number, chunks in enumerate(attempts, 1):
        ended = JobState.INTERRUPTED if number < len(attempts) else state
        put_attempt(record, number, chunks, ended, known)
    return job_of(record, tmp_path)


def job_of(record: JobRecord, folder: Path) -> Job:
    return Job(record, LocalTarget(record.store, folder), catalogue_of(record), record.look("j"))


@pytest.fixture
def quick_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_requests, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(log_requests, "_LONGEST_PAUSE_S", 0.02)


class Follower:
    """Follows a log in a thread."""

    def __init__(self, log: Log) -> None:
        self.seen = b""
        self.error: BaseException | None = None
        self._log = log
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for data in self._log:
                self.seen += data
        except BaseException as error:
            self.error = error

    def await_bytes(self, count: int) -> None:
        await_that(lambda: len(self.seen) >= count)

    def finished(self) -> bytes:
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error
        return self.seen


def await_that(look: Callable[[], Any], limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while not look():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)


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


CHUNKS = [bytes([65 + i % 26]) * (1 + i * 7 % 13) + (b"\n" if i % 3 else b"") for i in range(60)]
WHOLE = b"".join(CHUNKS)


@pytest.mark.parametrize("known", [0, 1, 37, 60])
def test_from_any_byte_whatever_the_status_knows(tmp_path: Path, known: int) -> None:
    job = job_with(tmp_path, CHUNKS, known=known)
    for start in [*random.Random(known).choices(range(len(WHOLE)), k=12), 0, 1, len(WHOLE) - 1, len(WHOLE)]:
        assert Log(job, start=start).read() == WHOLE[start:], start
        assert Log(job, start=start - len(WHOLE) or 0).read() == WHOLE[start % len(WHOLE) :], start
    assert Log(job, start=len(WHOLE) + 5).read() == b""
    assert Log(job, start=-len(WHOLE) - 5).read() == WHOLE


def test_a_few_requests_find_a_byte(tmp_path: Path) -> None:
    store = TroubledStore(tmp_path)
    job = job_with(tmp_path, [b"0123456789"] * 300, known=50, store=store)
    first = next(iter(Log(job, start=2765)))
    assert first == b"56789"
    searched = [key for key in store.of_log if key < AttemptKeys("j", 1).chunk(276)]
    assert len(searched) < 30
    assert not [key for key in store.asked if key.endswith("/logs/")]


def test_from_a_moment(tmp_path: Path) -> None:
    job = job_with(tmp_path, CHUNKS)
    assert Log(job, since=BEGAN + timedelta(seconds=40.5)).read() == b"".join(CHUNKS[41:])
    assert Log(job, since=BEGAN - timedelta(days=1)).read() == WHOLE
    assert Log(job, since=BEGAN + timedelta(days=1)).read() == b""
    local = (BEGAN + timedelta(seconds=50)).astimezone().replace(tzinfo=None)
    assert Log(job, since=local).read() == b"".join(CHUNKS[50:])


def test_the_later_of_start_since_and_tail(tmp_path: Path) -> None:
    job = job_with(tmp_path, [b"1\n", b"2\n", b"3\n", b"4\n"])
    moment = BEGAN + timedelta(seconds=1)
    assert Log(job, since=moment, start=1).read() == b"2\n3\n4\n"
    assert Log(job, since=moment, start=5).read() == b"\n4\n"
    assert Log(job, since=moment, start=3, tail=9).read() == b"\n3\n4\n"
    assert Log(job, since=moment, start=3, tail=1).read() == b"4\n"


def test_start_counts_the_runners_bytes_too(tmp_path: Path) -> None:
    job = job_with(tmp_path, [b"runctl: x\n", b"abc", b"runctl: y\n", b"def"])
    assert Log(job, start=11, script_only=True).read() == b"bcdef"
    assert Log(job, tail=1, script_only=True).read() == b"abcdef"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=9).map(lambda b: b.replace(b"r", b"\n")), min_size=1, max_size=12),
    st.integers(0, 8),
)
def test_tail_is_what_a_list_of_lines_says(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], tail: int
) -> None:
    folder = tmp_path_factory.mktemp("tail")
    lines = b"".join(chunks).split(b"\n")
    kept = [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    expected = b"".join(kept[len(kept) - min(tail, len(kept)) :])
    assert Log(job_with(folder, chunks), tail=tail).read() == expected


def test_tail_of_a_huge_log_reads_its_end_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = TroubledStore(tmp_path)
    job = job_with(tmp_path, [b"line\n"] * 200, store=store)
    assert Log(job, tail=3).read() == b"line\n" * 3
    assert len(store.of_log) < 20
    store.asked.clear()
    assert Log(job, tail=40).read() == b"line\n" * 40
    assert len(store.of_log) < 60, "what was read to count lines was read again"
    monkeypatch.setattr(log_position, "_MOST_HELD_BYTES", 50)
    assert Log(job, tail=40).read() == b"line\n" * 40


def test_raw_bytes_stay(tmp_path: Path) -> None:
    junk = [b"\x00\xff\r\n" * 5, b"1%\r2%\r", b"x" * 1_000_000, b"\x1b[31mred\x1b[0m", b"no end"]
    job = job_with(tmp_path, junk)
    assert Log(job).read() == b"".join(junk)
    assert Log(job, start=500_000).read() == b"".join(junk)[500_000:]


def test_much_is_read_at_once_and_in_order(tmp_path: Path) -> None:
    store = TroubledStore(tmp_path)
    chunks = [b"%d\n" % i for i in range(100)]
    job = job_with(tmp_path, chunks, store=store)
    gate = threading.Barrier(log_requests.MOST_AT_ONCE, timeout=30)

    def meet(key: str) -> None:
        # The first eight are let go together: only a reader that asks for eight at once gets any.
        if key in {AttemptKeys("j", 1).chunk(seq) for seq in range(log_requests.MOST_AT_ONCE)}:
            gate.wait()

    store.trouble = meet  # type: ignore[assignment]
    assert Log(job).read() == b"".join(chunks)
    assert store.most_at_once <= log_requests.MOST_AT_ONCE
    assert len(store.of_log) == len(chunks) + 1


def test_a_look_at_a_growing_log_is_one_request(tmp_path: Path) -> None:
    store = TroubledStore(tmp_path)
    job = job_with(tmp_path, [b"0"], state=JobState.RUNNING, store=store)
    follower = Follower(Log(job, follow=True))
    follower.await_bytes(1)
    for seq in range(1, 6):
        put_chunk(store, seq, seq, b"%d" % seq)
        follower.await_bytes(seq + 1)
    end(job.record, JobState.SUCCEEDED)
    assert follower.finished() == b"012345"
    assert set(store.of_log) <= {AttemptKeys("j", 1).chunk(seq) for seq in range(7)}, "asked beyond the next chunk"


def test_attempts_follow_one_another(tmp_path: Path) -> None:
    first, second, third = [b"1a\n", b"1b"], [], [b"3a\n", b"3b\n"]
    job = job_with(tmp_path, first, second, third)
    whole = b"".join([*first, *second, *third])
    assert Log(job).read() == Log(job, follow=True).read() == whole
    for start in range(len(whole) + 1):
        assert Log(job, start=start).read() == whole[start:], start
        assert Log(job, start=-start).read() == (whole[-start:] if start else whole), start
    assert Log(job, tail=2).read() == b"1b3a\n3b\n"
    assert Log(job, tail=3).read() == whole
    assert [Log(job, attempt=n).read() for n in (1, 2, 3)] == [b"1a\n1b", b"", b"3a\n3b\n"]
    assert Log(job, attempt=3, start=3, follow=True).read() == b"3b\n"
    assert Log(job, since=BEGAN + timedelta(seconds=1)).read() == b"1b3a\n3b\n"
    for number in (0, 4):
        with pytest.raises(InvalidRequest, match=f"no attempt {number}"):
            Log(job, attempt=number).read()


def test_a_follower_goes_on_with_the_next_attempt(tmp_path: Path) -> None:
    job = job_with(tmp_path, [b"1"], state=JobState.RUNNING)
    whole, pinned = Follower(Log(job, follow=True)), Follower(Log(job, follow=True, attempt=1))
    whole.await_bytes(1)
    record = job.record
    put_attempt(record, 2, [b"2"], JobState.RUNNING)
    whole.await_bytes(2)
    put_chunk(record.store, 1, 1, b"3", 2)  # type: ignore[arg-type]
    end(record, JobState.SUCCEEDED, 2)
    assert whole.finished() == b"123"
    assert pinned.finished() == b"1"


def test_a_follower_before_the_first_chunk_and_before_the_spec(tmp_path: Path) -> None:
    record = JobRecord(ListableFolder(tmp_path))
    spec = JobSpec("j", "j", to_iso(now()), "me", "local", "t.py")
    queued = Status("j", 1, JobState.QUEUED, updated_at=to_iso(now()))
    job = Job(
        record,
        LocalTarget(record.store, tmp_path),
        catalogue_of(record),
        Seen(spec, 1, queued, None),
    )
    follower = Follower(Log(job, follow=True))
    record.write_spec(spec)
    put_attempt(record, 1, [b"all"], JobState.SUCCEEDED)
    assert follower.finished() == b"all"


OUTAGE = StoreError("S3 failed", transient=True)
EXPIRED = CredentialsMissing("The AWS credentials have expired [ExpiredToken].", "Sign in again: aws sso login.")
REFUSED = StorageUnavailable("S3 does not let you use bucket 'b' [AccessDenied].", "Check that it is yours.")


@pytest.mark.usefixtures("quick_pauses")
@pytest.mark.parametrize("error", [OUTAGE, EXPIRED, REFUSED, OSError(5, "Input/output error")])
def test_a_follower_survives_and_continues_at_the_exact_byte(tmp_path: Path, error: Exception) -> None:
    store = TroubledStore(tmp_path)
    job = job_with(tmp_path, [b"before\n"], state=JobState.RUNNING, store=store)
    said: list[str] = []
    follower = Follower(Log(job, follow=True, start=3, on_trouble=said.append))
    follower.await_bytes(4)
    store.trouble = lambda _: error
    await_that(lambda: said)
    at = 7
    for seq in range(1, 40):
        put_chunk(store, seq, at, b"%d\n" % seq)
        at += len(b"%d\n" % seq)
    asked = len(store.asked)
    await_that(lambda: len(store.asked) > asked + 5)
    assert follower.seen == b"ore\n"
    assert len(said) == 1
    assert "the job goes on, the log will catch up" in said[0]
    if error is EXPIRED:
        assert "aws sso login" in said[0]
    store.trouble = lambda _: None
    end(job.record, JobState.SUCCEEDED)
    assert follower.finished() == b"ore\n" + b"".join(b"%d\n" % seq for seq in range(1, 40))
    assert len(said) == 2
    assert "again" in said[1]


@pytest.mark.usefixtures("quick_pauses")
def test_trouble_while_much_is_on_its_way_is_told_once(tmp_path: Path) -> None:
    store = TroubledStore(tmp_path)
    chunks = [b"%d\n" % i for i in range(200)]
    job = job_with(tmp_path, chunks, store=store)
    said: list[str] = []
    failures = iter(range(30))
    beyond = {AttemptKeys("j", 1).chunk(seq) for seq in range(100, 200)}
    store.trouble = lambda key: OUTAGE if key in beyond and next(failures, None) is not None else None
    assert Log(job, follow=True, on_trouble=said.append).read() == b"".join(chunks)
    assert len(said) == 2


@pytest.mark.usefixtures("quick_pauses")
@pytest.mark.parametrize("where", [{}, {"start": 5}, {"start": -5}, {"tail": 4}, {"since": BEGAN}])
def test_every_request_may_fail_at_first(tmp_path: Path, where: dict[str, Any]) -> None:
    store = TroubledStore(tmp_path)
    job = job_with(tmp_path, CHUNKS, CHUNKS, store=store)
    expected = Log(job, **where).read()
    failed: set[str] = set()

    def once(key: str) -> Exception | None:
        fails = key not in failed
        failed.add(key)
        return OUTAGE if fails else None

    store.trouble = once
    assert Log(job, follow=True, **where).read() == expected


def test_without_follow_and_for_a_refusal_at_first_errors_are_raised(tmp_path: Path) -> None:
    store = TroubledStore(tmp_path)
    job = job_with(tmp_path, [b"x"], store=store)
    for error, follow in ((OUTAGE, False), (EXPIRED, False), (REFUSED, False), (REFUSED, True)):
        for only in ("/logs/", ""):
            store.trouble = lambda key, e=error, o=only: e if o in key else None  # type: ignore[misc]
            with pytest.raises(RunctlError):
                Log(job, follow=follow).read()


def test_what_aws_forbids_ends_a_follower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_with(tmp_path, [b"x"], state=JobState.RUNNING)

    def refused(_: Job) -> Job:
        raise PermissionDenied("AWS refused.", "Ask for permission.")

    monkeypatch.setattr(Job, "refresh", refused)
    with pytest.raises(PermissionDenied):
        Log(job, follow=True).read()


class Clock:
    """Stands for `time`: a pause is over at once, and something happens in it."""

    def __init__(self, in_pause: Callable[[], None]) -> None:
        self._in_pause, self._now = in_pause, 0.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, _: float) -> None:
        self._now += 0.4
        self._in_pause()


def test_the_state_is_not_asked_while_chunks_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = TroubledStore(tmp_path)
    job = job_with(tmp_path, [], state=JobState.RUNNING, store=store)
    coming = iter(range(20))
    asked: list[int] = []

    def print_a_byte() -> None:
        seq = next(coming, None)
        if seq is not None:
            put_chunk(store, seq, seq, b"x")
            asked.append(sum("status" in key for key in store.asked))
        else:
            end(job.record, JobState.SUCCEEDED)

    monkeypatch.setattr(log_reading, "time", Clock(print_a_byte))
    assert Log(job, follow=True).read() == b"x" * 20
    assert set(asked) == {2}, "more than for the job and for the reading"


def test_a_late_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_requests, "_LATE_S", 0.05)
    store = TroubledStore(tmp_path)
    job = job_with(tmp_path, [b"x"], store=store)
    told = threading.Event()
    said: list[str] = []

    def late(key: str) -> None:
        if "/logs/" in key:
            told.wait(30)

    def on_trouble(text: str) -> None:
        said.append(text)
        told.set()

    store.trouble = late  # type: ignore[assignment]
    assert Log(job, follow=True, on_trouble=on_trouble).read() == b"x"
    assert [text.split(";")[0] for text in said] == ["S3 has not answered for 0 s", "The log can be read again"]


def test_bars_collapse_to_their_last_state() -> None:
    assert collapsed("a\r 10%\r100%\nb\r\nc\r") == "a\r 10%\r100%\nb\r\nc\r".replace("a\r 10%\r", "").replace("\r", "")


@given(st.text(alphabet=st.characters(exclude_characters="\r"), max_size=200))
def test_text_without_bars_stays(text: str) -> None:
    assert collapsed(text) == text


def test_colours_go() -> None:
    assert without_ansi("\x1b[31mred\x1b[0m \x1b]0;title\x07x") == "red x"
