"""Text of a log: whole characters, exact bytes."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_jupyter.orchestration.jobs.log import LogPiece
from runctl_jupyter.panels.log_texts import MOST_PIECE_BYTES, LogTexts, page_texts

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def pieces_of(data: bytes, cuts: list[int], start: int = 0) -> list[LogPiece]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    parts = itertools.pairwise(edges)
    return [LogPiece(start + a, start + b, NOW, "script", data[a:b]) for a, b in parts]


@given(text=st.text(min_size=1), cuts=st.lists(st.integers(0, 1000)))
def test_text_survives_any_cut(text: str, cuts: list[int]) -> None:
    data = text.encode("utf-8", "surrogatepass")
    found = page_texts(pieces_of(data, cuts), from_anywhere=False, complete=True)
    assert "".join(piece["text"] for piece in found) == data.decode("utf-8", "replace")
    assert [found[0]["start"], found[-1]["end"]] == [0, len(data)]
    assert all(a["end"] == b["start"] for a, b in itertools.pairwise(found))


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200)))
def test_any_bytes_are_accounted_for(data: bytes, cuts: list[int]) -> None:
    found = page_texts(pieces_of(data, cuts), from_anywhere=False, complete=True)
    assert sum(piece["end"] - piece["start"] for piece in found) == len(data)
    assert all(a["end"] == b["start"] for a, b in itertools.pairwise(found))


def test_a_character_that_is_not_whole_waits_for_its_end() -> None:
    texts = LogTexts()
    data = "a😀".encode()
    (first,) = texts.feed(LogPiece(0, 3, NOW, "script", data[:3]))
    assert (first["text"], first["end"]) == ("a", 1)
    (second,) = texts.feed(LogPiece(3, 5, NOW, "script", data[3:]))
    assert (second["text"], second["start"], second["end"]) == ("😀", 1, 5)


def test_what_the_runner_says_is_not_mixed_with_a_broken_character() -> None:
    texts = LogTexts()
    assert list(texts.feed(LogPiece(0, 2, NOW, "script", b"\xf0\x9f"))) == []
    broken, said = texts.feed(LogPiece(2, 4, NOW, "runner", b"ok"))
    assert (broken["text"], broken["origin"], broken["end"]) == ("�", "script", 2)
    assert (said["text"], said["origin"], said["start"]) == ("ok", "runner", 2)


def test_a_window_begins_with_a_whole_character_and_a_log_with_its_first_byte() -> None:
    data = "😀b".encode()
    (found,) = page_texts([LogPiece(10, 13, NOW, "script", data[2:])], from_anywhere=True, complete=False)
    assert (found["text"], found["start"]) == ("b", 12)
    (first,) = page_texts([LogPiece(0, 3, NOW, "script", data[2:])], from_anywhere=True, complete=False)
    assert (first["start"], first["end"]) == (0, 3)


def test_a_page_of_nothing_but_half_a_character_is_not_empty() -> None:
    assert page_texts([LogPiece(7, 8, NOW, "script", b"\xf0")], from_anywhere=False, complete=False)


@pytest.mark.parametrize("data", [b"x" * (3 * MOST_PIECE_BYTES), b"line of text\n" * 20_000, "é".encode() * 100_000])
def test_long_pieces_are_cut(data: bytes) -> None:
    found = page_texts([LogPiece(0, len(data), NOW, "script", data)], from_anywhere=False, complete=True)
    assert all(piece["end"] - piece["start"] <= MOST_PIECE_BYTES for piece in found)
    assert "".join(piece["text"] for piece in found).encode() == data
    if b"\n" in data:
        assert all(piece["text"].endswith("\n") for piece in found)
