"""Events that wait are joined, and what is dropped can be seen."""

from __future__ import annotations

from typing import Any

from runctl_jupyter.panels.pending import MOST_LOG_BYTES, ChangedRows, LogPieces, Newest


def rows(*ids: str, reset: bool = False, removed: tuple[str, ...] = (), value: int = 0) -> dict[str, Any]:
    return {"reset": reset, "rows": [{"id": each, "value": value} for each in ids], "removed": list(removed)}


def piece(start: int, text: str, time: str = "t", origin: str = "script") -> dict[str, Any]:
    return {"start": start, "end": start + len(text), "time": time, "origin": origin, "text": text}


def test_the_newest_replaces_what_waits() -> None:
    pending = Newest()
    pending.add({"a": 1})
    pending.add({"a": 2})
    taken = pending.take(100)
    assert taken is not None
    assert taken[0] == {"a": 2}
    assert pending.take(100) is None


def test_rows_are_joined_and_a_reset_forgets_what_waits() -> None:
    pending = ChangedRows()
    pending.add(rows("a", "b"))
    pending.add(rows("a", removed=("b",), value=1))
    taken = pending.take(10**6)
    assert taken is not None
    assert taken[0] == {"reset": False, "rows": [{"id": "a", "value": 1}], "removed": ["b"]}
    pending.add(rows("x"))
    pending.add(rows(reset=True))
    taken = pending.take(10**6)
    assert taken is not None
    assert taken[0] == {"reset": True, "rows": [], "removed": []}


def test_many_rows_go_in_parts_and_the_reset_with_the_first() -> None:
    pending = ChangedRows()
    pending.add(rows(*map(str, range(1000)), reset=True))
    found = []
    while (taken := pending.take(100 * 2048)) is not None:
        found.append(taken[0])
    assert [each["reset"] for each in found] == [True] + [False] * 9
    assert [row["id"] for each in found for row in each["rows"]] == list(map(str, range(1000)))


def test_neighbours_in_a_log_become_one_piece() -> None:
    pending = LogPieces()
    pending.add({"pieces": [piece(0, "ab"), piece(2, "cd")], "size": 4, "ended": False})
    pending.add({"pieces": [piece(4, "ef", "u"), piece(6, "!", "u", "runner")], "size": 7, "ended": True})
    taken = pending.take(10**6)
    assert taken is not None
    event, used = taken
    assert [each["text"] for each in event["pieces"]] == ["abcd", "ef", "!"]
    assert (event["pieces"][0]["end"], event["size"], event["ended"], used) == (4, 7, True, 7)


def test_a_log_has_ended_only_with_its_last_piece() -> None:
    pending = LogPieces()
    pending.add({"pieces": [piece(0, "a" * 10), piece(10, "b" * 10, "u")], "size": 20, "ended": True})
    first, second = pending.take(10), pending.take(10)
    assert first is not None
    assert second is not None
    assert [first[0]["ended"], second[0]["ended"]] == [False, True]
    assert pending.take(10) is None


def test_of_too_much_log_the_oldest_is_dropped_and_the_gap_can_be_seen() -> None:
    pending = LogPieces()
    count, size = 12, 1 << 20
    for n in range(count):
        pending.add({"pieces": [piece(n * size, "x" * size, str(n))], "size": (n + 1) * size, "ended": False})
    taken = pending.take(10**9)
    assert taken is not None
    event, used = taken
    assert used == MOST_LOG_BYTES
    assert event["pieces"][0]["start"] == count * size - MOST_LOG_BYTES
    assert event["pieces"][-1]["end"] == event["size"] == count * size
