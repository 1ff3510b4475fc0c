"""Topics: one poll however many listen, all told alike, let go of with the last."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from runctl_jupyter.orchestration import Runctl
from runctl_jupyter.orchestration.errors import TargetUnavailable
from runctl_jupyter.panels import Panels
from runctl_jupyter.panels.log_topic import WINDOW_BYTES
from runctl_jupyter.panels.tables import NEWEST
from runctl_jupyter.run_record import JobState
from tests.unit.panels.conftest import JOB_ID, Records
from tests.unit.panels.listening import Heard


def test_the_newest_jobs_come_first_and_then_the_others(panels: Panels, records: Records) -> None:
    ids = [f"261124-{n:06d}-aaaa" for n in range(NEWEST + 30)]
    for job_id in ids:
        records.job(JobState.SUCCEEDED, job_id=job_id)
    heard = Heard()
    leave = panels.hub.follow("jobs", {}, None, heard)
    heard.until(lambda: sum(len(event["rows"]) for event in heard.events) == len(ids))
    assert [event["reset"] for event in heard.events] == [True, False]
    assert {row["id"] for row in heard.events[0]["rows"]} == set(ids[30:])
    late = Heard()
    leave_late = panels.hub.follow("jobs", {}, None, late)
    assert sorted(row["id"] for event in late.events for row in event["rows"]) == ids
    assert late.events[0]["reset"]
    leave()
    leave_late()


def test_only_rows_that_changed_are_told(panels: Panels, records: Records) -> None:
    records.job(JobState.SUCCEEDED, job_id="261124-100000-aaaa")
    records.job(JobState.SUCCEEDED, job_id="261124-100001-bbbb")
    heard = Heard()
    leave = panels.hub.follow("jobs", {}, None, heard)
    heard.until(lambda: heard.events)
    records.job(job_id=JOB_ID)
    panels.hub.hurry(None)
    heard.until(lambda: len(heard.events) >= 2)
    assert (heard.events[1]["reset"], [row["id"] for row in heard.events[1]["rows"]]) == (False, [JOB_ID])
    leave()


def test_two_listeners_are_one_poll(panels: Panels, records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    records.job()
    records.chunk(b"line\n")
    calls: Counter[str] = Counter()
    get = type(records.store).get

    def counted(store: Any, key: str) -> Any:
        calls[key.rpartition("/")[2]] += 1
        return get(store, key)

    monkeypatch.setattr(type(records.store), "get", counted)
    first, second = Heard(), Heard()
    leave_first = panels.hub.follow("log", {"job": JOB_ID}, None, first)
    first.until(lambda: first.events)
    leave_second = panels.hub.follow("log", {"job": JOB_ID}, "elsewhere", second)
    assert second.log == first.log == "line\n"
    records.chunk(b"more\n")
    first.until(lambda: first.log == "line\nmore\n")
    second.until(lambda: second.log == "line\nmore\n")
    leave_first()
    records.chunk(b"last\n")
    second.until(lambda: second.log == "line\nmore\nlast\n")
    # Whoever came second has cost no look at the chunk that was there already.
    assert calls["00000000"] == 1
    leave_second()


def test_a_log_begins_with_its_last_window_and_is_exact(panels: Panels, records: Records) -> None:
    records.job()
    line = "é€😀 and more\n".encode()
    data = line * (3 * WINDOW_BYTES // len(line))
    for begin in range(0, len(data), 100_001):
        records.chunk(data[begin : begin + 100_001])
    records.chunk(b"said\n", origin="runner")
    records.status(JobState.SUCCEEDED)
    heard = Heard()
    leave = panels.hub.follow("log", {"job": JOB_ID}, None, heard)
    heard.until(lambda: heard.events and heard.events[-1]["ended"])
    whole = data + b"said\n"
    first = heard.events[0]["pieces"][0]["start"]
    assert len(whole) - WINDOW_BYTES <= first < len(whole) - WINDOW_BYTES + 4
    assert heard.log.encode() == whole[first:]
    assert heard.events[-1]["size"] == len(whole)
    assert [event["pieces"][-1]["origin"] for event in heard.events if event["pieces"]][-1] == "runner"
    late = Heard()
    leave_late = panels.hub.follow("log", {"job": JOB_ID}, None, late)
    (event,) = late.events
    assert event["ended"]
    assert whole.endswith(late.log.encode())
    assert WINDOW_BYTES - 100_004 <= len(late.log.encode()) <= WINDOW_BYTES
    leave()
    leave_late()


def test_a_card_and_its_series_follow_the_record(panels: Panels, records: Records) -> None:
    records.job(JobState.STARTING)
    card, series = Heard(), Heard()
    leave_card = panels.hub.follow("card", {"job": JOB_ID}, None, card)
    leave_series = panels.hub.follow("series", {"job": JOB_ID}, None, series)
    card.until(lambda: card.events)
    assert (card.events[0]["log_tail"], card.events[0]["series"]) == ([], None)
    assert set(series.until(lambda: series.events)[0]) == {"series", "machine", "marks"}
    records.status(JobState.SUCCEEDED)
    card.until(lambda: card.events[-1]["job"]["state"] == "succeeded")
    leave_card()
    leave_series()


def test_trouble_is_told_and_what_was_known_stays(
    panels: Panels, records: Records, rc: Runctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.job(JobState.SUCCEEDED)
    heard = Heard()
    leave = panels.hub.follow("jobs", {}, None, heard)
    heard.until(lambda: heard.statuses == [(True, None)])

    def fail(*_: object, **__: object) -> None:
        raise TargetUnavailable("The sandbox is not running.", "Start it.")

    with monkeypatch.context() as patch:
        patch.setattr(type(rc.jobs), "list", fail)
        panels.hub.hurry(None)
        heard.until(lambda: len(heard.statuses) == 2)
        live, trouble = heard.statuses[1]
        assert (live, trouble) == (
            False,
            {"error": "target-unavailable", "what": "The sandbox is not running.", "to_resolve": "Start it."},
        )
        late = Heard()
        leave_late = panels.hub.follow("jobs", {}, None, late)
        assert ([row["id"] for row in late.events[0]["rows"]], late.statuses[0][0]) == ([JOB_ID], False)
    panels.hub.hurry(None)
    heard.until(lambda: heard.statuses[-1] == (True, None))
    leave()
    leave_late()


def test_an_unforeseen_failure_is_told_without_its_insides(
    panels: Panels, rc: Runctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("password=hunter2")

    monkeypatch.setattr(type(rc.jobs), "list", fail)
    heard = Heard()
    leave = panels.hub.follow("jobs", {}, None, heard)
    heard.until(lambda: heard.statuses)
    trouble = heard.statuses[0][1]
    assert trouble is not None
    assert trouble["error"] == "internal"
    assert "hunter2" not in str(trouble)
    leave()


def test_this_computer_has_costs_and_says_that_it_has_no_instances(panels: Panels, records: Records) -> None:
    records.job(JobState.SUCCEEDED)
    costs, instances = Heard(), Heard()
    leave_costs = panels.hub.follow("costs", {}, None, costs)
    leave_instances = panels.hub.follow("instances", {}, None, instances)
    instances.until(lambda: instances.statuses)
    assert instances.statuses[0][1]["error"] == "target-unavailable"  # type: ignore[index]
    assert costs.until(lambda: costs.events)[0]["today_usd"] == 0
    leave_costs()
    leave_instances()
