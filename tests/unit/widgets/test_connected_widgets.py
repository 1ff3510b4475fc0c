"""The widgets as a front end meets them: comms, messages, mime bundles."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from typing import Any

import ipywidgets
import pytest

from runctl_jupyter.orchestration import Runctl
from runctl_jupyter.orchestration.jobs.job import Job
from runctl_jupyter.widgets import JobCardWidget, PanelWidget, panel_view
from runctl_jupyter.widgets.bundles import WidgetsNotBuilt, bundle


def ask(widget: Any, method: str, params: dict[str, Any], kind: str = "query") -> dict[str, Any]:
    """Ask as a view does; returns the reply."""
    widget.comm.say({"type": kind, "id": "q1", "method": method, "params": params})
    reply: dict[str, Any] = widget.comm.hear(lambda message: message["type"] == "reply")
    assert reply["id"] == "q1"
    return reply


def feeds() -> int:
    return sum(thread.name == "runctl-feed" for thread in threading.enumerate())


def test_a_view_asks_and_is_answered(job: Job, local: Runctl) -> None:
    widget = JobCardWidget(job, local)
    assert ask(widget, "card", {"job": job.id})["result"]["job"]["state"] == "succeeded"
    error = ask(widget, "card", {"job": "nosuch"})["error"]
    assert error["error"] == "job-not-found"
    assert "nosuch" in error["what"]


def test_every_message_is_confirmed_before_it_is_answered(job: Job, local: Runctl) -> None:
    widget = JobCardWidget(job, local)
    widget.comm.say({"type": "ping", "id": "p"})
    assert widget.comm.hear(lambda _: True) == {"type": "received", "id": "p"}
    widget.comm.say({"type": "query", "id": "q", "method": "card", "params": {"job": job.id}})
    assert widget.comm.hear(lambda _: True) == {"type": "received", "id": "q"}


def test_a_view_follows_and_leaves(job: Job, local: Runctl) -> None:
    widget = PanelWidget(local)
    widget.comm.say({"type": "subscribe", "id": "s1", "topic": "jobs", "params": {}, "place": None})
    told = widget.comm.hear(lambda message: message["type"] == "events")
    (first,) = [each for each in told["events"] if each["id"] == "s1"]
    assert first["event"]["reset"]
    assert [row["id"] for row in first["event"]["rows"]] == [job.id]
    widget.comm.say({"type": "unsubscribe", "id": "s1"})
    assert widget.comm.hear(lambda message: message["type"] == "received")["id"] == "s1"


def test_nonsense_is_not_answered(job: Job, local: Runctl) -> None:
    widget = JobCardWidget(job, local)
    for nonsense in (None, "hello", {}, {"type": "query"}, {"type": "query", "id": 3}):
        widget.comm.say(nonsense)
    assert widget.comm.published.empty()
    assert ask(widget, "card", {"job": job.id})["result"]


def test_a_widget_that_nobody_looks_at_has_no_thread(job: Job, local: Runctl) -> None:
    before = feeds()
    JobCardWidget(job, local)
    PanelWidget(local)
    assert feeds() == before


@pytest.mark.parametrize("who", ["kernel", "front end"])
def test_closing_ends_the_feed_and_frees_the_widget(job: Job, local: Runctl, who: str) -> None:
    before = {thread.ident for thread in threading.enumerate()}
    widget = JobCardWidget(job, local)
    ask(widget, "card", {"job": job.id})
    feed_threads = [t for t in threading.enumerate() if t.name == "runctl-feed" and t.ident not in before]
    assert len(feed_threads) == 1
    comm = widget.comm
    if who == "kernel":
        widget.close()
    else:
        comm._closed = True  # what ipykernel does before it tells
        comm.handle_close({"content": {"data": {}}})
    feed_threads[0].join(20)
    assert not feed_threads[0].is_alive()
    comm.say({"type": "ping", "id": "late"})
    assert comm.published.empty()
    gone = weakref.ref(widget)
    comm.on_msg(None)
    del widget
    gc.collect()
    assert gone() is None


def test_state_that_may_be_saved_has_no_secrets(job: Job, local: Runctl) -> None:
    snapshot = {
        "job": {
            **job.to_dict(),
            "cause": {"kind": "aws", "message": "arn:aws:iam::123456789012:role/x", "signal": None},
        }
    }
    widget = JobCardWidget(job, local, snapshot=snapshot)
    state = widget.get_state()
    assert state["job"] == job.id
    text = json.dumps(state, default=str)
    assert len(text) < 20_000
    assert "123456789012" not in text
    assert "succeeded" in text
    assert str(local.cwd) not in text


def test_the_default_snapshot_is_a_card(job: Job, local: Runctl) -> None:
    snapshot = JobCardWidget(job, local).snapshot
    assert set(snapshot) == {"job", "checkpoints", "log_tail", "series", "as_of", "note"}
    assert snapshot["job"]["id"] == job.id


def test_twins_stand_beside_the_view(job: Job, local: Runctl) -> None:
    widget = JobCardWidget(job, local)
    data, _ = widget._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id
    assert "succeeded" in data["text/plain"]
    assert "digits" in data["text/html"]
    assert "<script" not in data["text/html"]
    assert set(widget.widget_view()[0]) >= {"application/vnd.jupyter.widget-view+json"}
    panel, _ = PanelWidget(local)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in panel
    assert "%runctl jobs" in panel["text/plain"]


def test_the_panel_comes_with_the_form(local: Runctl) -> None:
    view = panel_view(local)
    panel, fold = view.children
    assert isinstance(panel, PanelWidget)
    assert isinstance(fold, ipywidgets.Accordion)
    assert fold.selected_index is None
    assert panel_view(local, "fit.py").children[1].selected_index == 0


def test_widgets_of_a_place_share_what_answers(job: Job, local: Runctl) -> None:
    one, other = JobCardWidget(job, local), PanelWidget(Runctl("local", cwd=local.cwd))
    assert one._panels is other._panels
    assert one._panels is not PanelWidget(Runctl("sandbox", cwd=local.cwd))._panels


def test_a_file_that_was_not_built_is_named() -> None:
    with pytest.raises(WidgetsNotBuilt, match=r"nosuch\.js") as raised:
        bundle("nosuch.js")
    assert raised.value.to_resolve


def test_the_code_of_a_view_is_sent_to_who_shows_it(job: Job, local: Runctl) -> None:
    widget = JobCardWidget(job, local)
    widget.comm.say({"type": "view", "id": "v1"})
    sent = widget.comm.hear(lambda message: message["type"] == "view")
    assert (sent["id"], sent["script"], sent["style"]) == ("v1", bundle("card.js"), bundle("style.css"))
    assert widget.view.startswith("card-")
