"""A connection: what is followed, asked and done arrives, joined and in order; a slow view loses nothing unseen."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.panels import Feed, Panels
from runctl_jupyter.panels.pending import MOST_LOG_BYTES
from runctl_jupyter.run_record import JobState
from tests.unit.panels.conftest import JOB_ID, Records
from tests.unit.panels.listening import View


def test_a_view_follows_a_log_and_a_table(panels: Panels, records: Records) -> None:
    records.job()
    records.chunk(b"one\n")
    view = View()
    feed = Feed(panels, view.send, 0.01)
    feed.receive({"type": "subscribe", "id": "1", "topic": "log", "params": {"job": JOB_ID}, "place": None})
    feed.receive({"type": "subscribe", "id": "2", "topic": "jobs", "params": {}})
    view.until(lambda: any(event["pieces"] for event in view.events("1")))
    records.chunk(b"two\n")
    records.status(JobState.SUCCEEDED)
    view.until(lambda: any(event["ended"] for event in view.events("1")))
    text = "".join(piece["text"] for event in view.events("1") for piece in event["pieces"])
    assert text == "one\ntwo\n"
    states = view.until(
        lambda: [s for s in (row["state"] for e in view.events("2") for row in e["rows"]) if s == "succeeded"]
    )
    assert states
    assert view.events("2")[0]["reset"] is True
    feed.close()


def test_questions_and_deeds_are_answered(panels: Panels, records: Records) -> None:
    records.job(JobState.SUCCEEDED)
    view = View()
    feed = Feed(panels, view.send)
    feed.receive({"type": "query", "id": "q", "method": "card", "params": {"job": JOB_ID}})
    feed.receive({"type": "act", "id": "a", "method": "cancel", "params": {"job": JOB_ID}})
    feed.receive({"type": "query", "id": "n", "method": "nothing", "params": {}})
    assert view.until(lambda: view.reply("q"))["result"]["job"]["state"] == "succeeded"
    assert view.until(lambda: view.reply("a"))["error"]["error"] == "invalid-request"
    assert "nothing" in view.until(lambda: view.reply("n"))["error"]["what"]
    feed.close()


@pytest.mark.parametrize(
    ("topic", "params"), [("weather", {}), ("card", {}), ("card", {"job": JOB_ID, "x": 1}), ("jobs", [1])]
)
def test_what_cannot_be_followed_is_said(panels: Panels, topic: str, params: object) -> None:
    view = View()
    feed = Feed(panels, view.send)
    feed.receive({"type": "subscribe", "id": "1", "topic": topic, "params": params})
    status = view.until(lambda: view.status("1"))
    assert (status["live"], status["trouble"]["error"]) == (False, "invalid-request")
    feed.close()


def test_a_job_that_is_not_there_is_a_trouble_that_heals(panels: Panels, records: Records) -> None:
    view = View()
    feed = Feed(panels, view.send, 0.01)
    feed.receive({"type": "subscribe", "id": "1", "topic": "card", "params": {"job": JOB_ID}})
    assert view.until(lambda: view.status("1"))["trouble"]["error"] == "job-not-found"
    records.job()
    assert view.until(lambda: view.events("1"))[0]["job"]["id"] == JOB_ID
    assert view.until(lambda: (s := view.status("1")) and s["live"])
    feed.close()


def test_no_message_of_a_view(panels: Panels) -> None:
    feed = Feed(panels, View().send)
    for message in ({}, {"type": "subscribe"}, {"type": "x", "id": "1"}, {"type": "query", "id": "1", "place": 3}):
        with pytest.raises(InvalidRequest):
            feed.receive(message)
    feed.close()


def test_a_view_that_does_not_take_sees_a_gap_and_the_end(panels: Panels, records: Records) -> None:
    records.job()
    records.chunk(b"first\n")
    view = View()
    feed = Feed(panels, view.send, 0.01)
    feed.receive({"type": "subscribe", "id": "1", "topic": "log", "params": {"job": JOB_ID}})
    view.until(lambda: any(event["pieces"] for event in view.events("1")))
    view.open.clear()
    view.sending.clear()
    records.chunk(b"held\n")
    assert view.sending.wait(30)
    block = b"x" * 1023 + b"\n"
    for _ in range(3):
        records.chunk(block * 4096)
    records.status(JobState.SUCCEEDED)
    # The topic's reader has come to the end while the view still holds up its first message.
    ended = threading.Event()
    leave = panels.hub.follow("log", {"job": JOB_ID}, None, _UntilEnd(ended))
    assert ended.wait(30)
    leave()
    view.open.set()
    view.until(lambda: any(event["ended"] for event in view.events("1")))
    pieces = [piece for event in view.events("1") for piece in event["pieces"]]
    gaps = [b["start"] - a["end"] for a, b in itertools.pairwise(pieces) if b["start"] != a["end"]]
    total = 3 * 4096 * 1024
    assert gaps == [total - MOST_LOG_BYTES]
    assert pieces[-1]["end"] == view.events("1")[-1]["size"]
    assert max(sum(p["end"] - p["start"] for p in event["pieces"]) for event in view.events("1")) <= 1_000_000
    # What was dropped is still there to be asked for.
    gap = next(a["end"] for a, b in itertools.pairwise(pieces) if b["start"] != a["end"])
    page = panels.query("log", {"job": JOB_ID, "start": gap, "limit": 1024})
    assert (page["pieces"][0]["start"], page["pieces"][0]["text"]) == (gap, block.decode())
    feed.close()


class _UntilEnd:
    def __init__(self, ended: threading.Event) -> None:
        self._ended = ended

    def on_event(self, event: dict[str, object]) -> None:
        if event["ended"]:
            self._ended.set()

    def on_status(self, live: bool, trouble: object) -> None:
        pass


def test_at_most_so_many_messages(panels: Panels, records: Records) -> None:
    records.job()
    view = View()
    feed = Feed(panels, view.send, 0.2)
    feed.receive({"type": "subscribe", "id": "1", "topic": "log", "params": {"job": JOB_ID}})
    begun = time.monotonic()
    for n in range(40):
        records.chunk(f"line {n}\n".encode())
    records.status(JobState.SUCCEEDED)
    view.until(lambda: any(event["ended"] for event in view.events("1")))
    batches = [message for message in view.messages if message["type"] == "events"]
    assert len(batches) <= 2 + (time.monotonic() - begun) / 0.2
    assert "".join(p["text"] for e in view.events("1") for p in e["pieces"]).count("\n") == 40
    feed.close()


def test_a_feed_that_is_closed_leaves_nothing_behind(panels: Panels, records: Records) -> None:
    records.job()
    before = set(threading.enumerate())
    view = View()
    feed = Feed(panels, view.send)
    for n, topic in enumerate(("jobs", "costs", "instances")):
        feed.receive({"type": "subscribe", "id": str(n), "topic": topic, "params": {}})
    for n, topic in enumerate(("card", "log", "series"), 3):
        feed.receive({"type": "subscribe", "id": str(n), "topic": topic, "params": {"job": JOB_ID}})
    feed.receive({"type": "unsubscribe", "id": "3"})
    begun = _threads_since(before)
    assert len(begun) == 7
    feed.close()
    feed.close()
    for thread in begun:
        thread.join(30)
        assert not thread.is_alive(), thread.name


def test_a_view_that_is_gone_closes_its_feed(panels: Panels, records: Records) -> None:
    records.job()
    before = set(threading.enumerate())
    told = threading.Event()

    def send(message: object) -> None:
        told.set()
        raise ConnectionError("gone")

    feed = Feed(panels, send)
    feed.receive({"type": "subscribe", "id": "1", "topic": "jobs", "params": {}})
    begun = _threads_since(before)
    assert told.wait(30)
    for thread in begun:
        thread.join(30)
        assert not thread.is_alive()


def _threads_since(before: set[threading.Thread]) -> list[threading.Thread]:
    """Return the threads of feed and topics that were begun since; a pool's belong to the engine."""
    names = {"jobs", "instances", "costs", "card", "log", "series", "feed"}
    new = set(threading.enumerate()) - before
    return [thread for thread in new if thread.name.removeprefix("runctl-") in names]
