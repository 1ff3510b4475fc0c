"""Pieces of a log: where they are and whose; and pages from anywhere, without reading the rest."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.jobs import log_page
from runctl_jupyter.orchestration.jobs.log import Log, LogPiece
from runctl_jupyter.orchestration.storage.store import ObjectPart
from runctl_jupyter.run_record import AttemptKeys, JobState
from tests.unit.orchestration.test_log import CHUNKS, WHOLE, TroubledStore, job_with

BEGAN = datetime(2026, 11, 24, 10, tzinfo=UTC)
ATTEMPTS = (CHUNKS[:20], [], CHUNKS[20:45], CHUNKS[45:])


@pytest.fixture(autouse=True, scope="module")
def _no_sync_to_disk() -> Iterator[None]:
    # Hundreds of chunks are written here, and no power fails.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


class CountingStore(TroubledStore):
    """Knows what was read of which chunk."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.parts: list[tuple[str, int, int]] = []

    def get_part(self, key: str, start: int, end: int) -> ObjectPart:
        self.parts.append((key, start, end))
        return super().get_part(key, start, end)


def adjoin(pieces: list[LogPiece]) -> bytes:
    for before, after in pairwise(pieces):
        assert before.end == after.start
    assert all(piece.end - piece.start == len(piece.data) > 0 for piece in pieces)
    return b"".join(piece.data for piece in pieces)


def test_pieces_say_where_and_whose_they_are(tmp_path: Path) -> None:
    job = job_with(tmp_path, [b"runctl: x\n", b"abc"], [b"def\n"])
    assert list(job.logs().pieces()) == [
        LogPiece(0, 10, BEGAN, "runner", b"runctl: x\n"),
        LogPiece(10, 13, BEGAN + timedelta(seconds=1), "script", b"abc"),
        LogPiece(13, 17, BEGAN, "script", b"def\n"),
    ]
    assert [(p.start, p.end) for p in job.logs(script_only=True).pieces()] == [(10, 13), (13, 17)]


def test_pieces_from_anywhere(tmp_path: Path) -> None:
    job = job_with(tmp_path, *ATTEMPTS)
    for start in [0, 1, len(WHOLE) - 1, *random.Random(1).choices(range(len(WHOLE)), k=12)]:
        for said in (start, start - len(WHOLE)):
            pieces = list(Log(job, start=said).pieces())
            assert adjoin(pieces) == WHOLE[start:]
            assert pieces[0].start == start
    tail = list(Log(job, tail=3).pieces())
    assert tail[-1].end == len(WHOLE)
    assert adjoin(tail) == Log(job, tail=3).read()
    since = list(Log(job, since=BEGAN + timedelta(seconds=10.5)).pieces())
    assert WHOLE[since[0].start :] == adjoin(since) == Log(job, since=BEGAN + timedelta(seconds=10.5)).read()
    assert list(Log(job, start=len(WHOLE)).pieces()) == []
    assert list(Log(job, tail=0).pieces()) == []


def test_the_pieces_of_an_attempt_are_counted_in_it(tmp_path: Path) -> None:
    job = job_with(tmp_path, [b"abc"], [b"def", b"ghi"])
    assert [(p.start, p.data) for p in Log(job, attempt=2, start=4).pieces()] == [(4, b"hi")]


def test_a_page_from_anywhere(tmp_path: Path) -> None:
    job = job_with(tmp_path, *ATTEMPTS)
    rng = random.Random(2)
    for _ in range(60):
        start, limit = rng.randrange(len(WHOLE)), rng.randrange(1, len(WHOLE))
        page = job.log_page(start, limit)
        assert adjoin(list(page.pieces)) == WHOLE[start : start + limit]
        assert page.pieces[0].start == start
        assert (page.size, page.ended) == (len(WHOLE), True)
        from_end = job.log_page(-start - 1, limit)
        assert adjoin(list(from_end.pieces)) == WHOLE[len(WHOLE) - start - 1 :][:limit]
    assert job.log_page(len(WHOLE), 10).pieces == job.log_page(10**9, 10).pieces == ()
    assert adjoin(list(job.log_page(-(10**9), 10).pieces)) == WHOLE[:10]
    with pytest.raises(InvalidRequest):
        job.log_page(0, 0)


def test_pages_of_an_empty_and_of_a_living_log(tmp_path: Path) -> None:
    assert job_with(tmp_path / "1", []).log_page(-10, 10).pieces == ()
    page = job_with(tmp_path / "2", [b"abc"], state=JobState.RUNNING).log_page(-2, 10)
    assert (page.size, page.ended, [p.data for p in page.pieces]) == (3, False, [b"bc"])


def test_a_page_of_a_huge_log_reads_no_more_than_itself(tmp_path: Path) -> None:
    store = CountingStore(tmp_path)
    job = job_with(tmp_path, [b"x" * 100_000] * 200, store=store)
    page = job.log_page(12_345_678, 10)
    assert adjoin(list(page.pieces)) == b"x" * 10
    assert store.parts == [(AttemptKeys("j", 1).chunk(123), 45_678, 45_688)]
    store.parts.clear()
    store.asked.clear()
    assert len(adjoin(list(job.log_page(-250_000, 250_000).pieces))) == 250_000
    assert [(start, end) for _, start, end in store.parts] == [(50_000, 100_000)]
    assert len(store.of_log) < 30


def test_of_small_pieces_a_page_holds_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_with(tmp_path, *ATTEMPTS)
    monkeypatch.setattr(log_page, "_MOST_CHUNKS", 7)
    end = list(job.log_page(-len(WHOLE), len(WHOLE)).pieces)
    assert len(end) == 7
    assert end[-1].end == len(WHOLE), "who asks for the end gets the end"
    assert WHOLE.endswith(adjoin(end))
    read, at = b"", 0
    while at < len(WHOLE):
        found = list(job.log_page(at, len(WHOLE)).pieces)
        assert found[0].start == at
        assert len(found) <= 7
        read += adjoin(found)
        at = found[-1].end
    assert read == WHOLE
