"""Panels over a sandbox: what is told is what is so, for one price however many listen."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration import Instance, Runctl
from runctl_jupyter.orchestration.errors import InstanceBusy, TargetUnavailable
from runctl_jupyter.panels import Feed, Panels
from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.engine.conftest import Engine
from tests.unit.panels.listening import Heard, View

TRAINER = """\
import os, pathlib, sys, time
for step in range(1, 41):
    print(f"step={step} loss={1 / step:.4f} é€😀", flush=True)
    time.sleep(0.02)
(pathlib.Path(os.environ["RUNCTL_CHECKPOINT_DIR"]) / "step_40.bin").write_bytes(b"weights" * 100)
sys.stdout.write("no end of line €")
"""
SLEEPER = "import time; print('asleep', flush=True); time.sleep(600)\n"
BUCKET = "runctl-sandbox"


@pytest.fixture
def rc(engine: Engine) -> Runctl:
    """The engine of a project with a script that trains, and one that sleeps."""
    return engine({"train.py": TRAINER, "sleep.py": SLEEPER})


@pytest.fixture
def panels(rc: Runctl, tmp_path: Path) -> Panels:
    """Panels as a server has them: their engine starts nothing."""
    return Panels(
        lambda _place: Runctl("sandbox", cwd=rc.cwd, start_sandbox=False),
        open_to_launch=lambda _place: rc,
        folder=lambda: tmp_path / "downloads",
    )


def test_a_job_from_its_line_to_its_end(rc: Runctl, panels: Panels, dev: Instance, tmp_path: Path) -> None:
    view = View()
    feed = Feed(panels, view.send)
    feed.receive({"type": "subscribe", "id": "jobs", "topic": "jobs", "params": {}})
    feed.receive(
        {"type": "act", "id": "go", "method": "launch", "params": {"line": f"train train.py --on {dev.id} --name seen"}}
    )
    job_id = view.until(lambda: view.reply("go"))["result"]["job"]["id"]
    for topic in ("card", "log", "series"):
        feed.receive({"type": "subscribe", "id": topic, "topic": topic, "params": {"job": job_id}})
    view.until(lambda: any(event["ended"] for event in view.events("log")))
    view.until(lambda: view.events("card") and view.events("card")[-1]["job"]["state"] == "succeeded")
    view.until(lambda: view.events("card")[-1]["checkpoints"])
    view.until(lambda: any(row["id"] == job_id and row["ended_at"] for e in view.events("jobs") for row in e["rows"]))
    losses = view.until(
        lambda: [s for e in view.events("series") for s in e["series"] if s["name"] == "loss" and len(s["steps"]) == 40]
    )
    assert losses[-1]["values"][-1] == pytest.approx(1 / 40, abs=1e-4)
    feed.close()

    pieces = [piece for event in view.events("log") for piece in event["pieces"]]
    assert all(a["end"] == b["start"] for a, b in itertools.pairwise(pieces))
    whole = rc.jobs.get(job_id).logs().read()
    assert "".join(piece["text"] for piece in pieces).encode() == whole
    assert (pieces[0]["start"], pieces[-1]["end"]) == (0, len(whole))
    script = "".join(piece["text"] for piece in pieces if piece["origin"] == "script")
    assert script.encode() == rc.jobs.get(job_id).logs(script_only=True).read()

    page = panels.query("log", {"job": "seen", "start": 10, "limit": 50})
    assert "".join(piece["text"] for piece in page["pieces"]).encode() in whole[10:60]
    (checkpoint,) = panels.query("checkpoints", {"job": job_id})["checkpoints"]
    for name in ("step_40.bin", "step_40-2.bin"):
        landed = panels.act("download", {"uri": checkpoint["uri"]})
        assert landed == {"path": name, "size": 700}
        assert (tmp_path / "downloads" / name).read_bytes() == b"weights" * 100
    download = panels.downloads.of_object(checkpoint["uri"], None)
    assert (download.name, download.size, b"".join(download.chunks)) == ("step_40.bin", 700, b"weights" * 100)
    facts = dict(panels.query("record", {"job": job_id})["facts"])
    assert facts["script"] == "train.py"
    place = panels.query("place")
    root = panels.query("objects", {"uri": place["root"]})
    assert (place["target"], place["bucket"]) == ("sandbox", BUCKET)
    assert "jobs" in [each["name"] for each in root["prefixes"]]
    assert panels.query("preview", {"uri": checkpoint["uri"]})["kind"] == "text"


def test_two_listeners_cost_what_one_does(
    rc: Runctl, panels: Panels, dev: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[str] = Counter()
    described = type(rc.instances).list

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls["DescribeInstances"] += 1
        return described(*args, **kwargs)

    monkeypatch.setattr(type(rc.instances), "list", counted)
    place = rc.place
    heard = [Heard() for _ in range(4)]
    leaves = [panels.hub.follow("instances", {}, None, each) for each in heard[:3]]
    leaves.append(panels.hub.follow("instances", {}, place, heard[3]))
    costs = Heard()
    leaves.append(panels.hub.follow("costs", {}, None, costs))
    for each in heard:
        rows = each.until(lambda each=each: each.events)[0]["rows"]
        assert dev.id in [row["id"] for row in rows]
    assert costs.until(lambda: costs.events)[0]["price_per_hour"] > 0
    assert calls["DescribeInstances"] == 1
    for leave in leaves:
        leave()


def test_cancel_really_ends_the_job(rc: Runctl, panels: Panels, dev: Instance) -> None:
    job_id = panels.act("launch", {"line": f"train sleep.py --on {dev.name}"})["job"]["id"]
    log, card = Heard(), Heard()
    leaves = [panels.hub.follow(topic, {"job": job_id}, None, heard) for topic, heard in (("log", log), ("card", card))]
    log.until(lambda: log.events and "asleep" in log.log)
    assert panels.act("cancel", {"job": job_id})["job"]["id"] == job_id
    card.until(lambda: card.events[-1]["job"]["state"] == "cancelled")
    log.until(lambda: log.events[-1]["ended"])
    for leave in leaves:
        leave()


def test_instances_are_stopped_started_and_ended(rc: Runctl, panels: Panels) -> None:
    made = panels.act("launch", {"line": "create m5.large --name panelled --wait"})["instance"]
    heard = Heard()
    leave = panels.hub.follow("instances", {}, None, heard)

    def state() -> str | None:
        rows = [row for event in heard.events for row in event["rows"] if row["id"] == made["id"]]
        return rows[-1]["state"] if rows else None

    heard.until(lambda: state() == "running")
    assert panels.act("stop", {"instance": "panelled"})["instance"]["state"] in ("stopping", "stopped")
    heard.until(lambda: state() == "stopped")
    assert panels.act("start", {"instance": made["id"]})["instance"]["state"] in ("pending", "running")
    heard.until(lambda: state() == "running")
    panels.act("terminate", {"instance": made["id"], "force": True})
    heard.until(lambda: any(made["id"] in event["removed"] for event in heard.events) or state() == "terminated")
    assert rc.instances.get(made["id"]).state in ("shutting-down", "terminated")
    leave()


def test_a_busy_machine_is_not_ended_unasked(rc: Runctl, panels: Panels, dev: Instance) -> None:
    job_id = panels.act("launch", {"line": f"train sleep.py --on {dev.name}"})["job"]["id"]
    instances, log = Heard(), Heard()
    leave_instances = panels.hub.follow("instances", {}, None, instances)
    leave_log = panels.hub.follow("log", {"job": job_id}, None, log)
    # Only a job that has claimed its machine counts: one on its way there ends with a cause of its own.
    log.until(lambda: log.events and "asleep" in log.log)
    instances.until(
        lambda: any(job["id"] == job_id for event in instances.events for row in event["rows"] for job in row["jobs"])
    )
    with pytest.raises(InstanceBusy):
        panels.act("terminate", {"instance": dev.id})
    panels.act("cancel", {"job": job_id})
    rc.jobs.get(job_id).wait(120)
    leave_instances()
    leave_log()


def test_a_refusal_of_s3_is_a_trouble_and_what_was_known_stays(
    rc: Runctl, panels: Panels, sandbox: Connection, dev: Instance
) -> None:
    job_id = panels.act("launch", {"line": f"train sleep.py --on {dev.name}"})["job"]["id"]
    panels.handles.find(rc, job_id).launched(120)
    heard = [Heard() for _ in range(3)]
    topics = [("jobs", {}), ("card", {"job": job_id}), ("log", {"job": job_id})]
    leaves = [panels.hub.follow(topic, params, None, each) for (topic, params), each in zip(topics, heard, strict=True)]
    heard[2].until(lambda: heard[2].events and "asleep" in heard[2].log)
    for each in heard:
        each.until(lambda each=each: each.statuses and each.statuses[-1][0])
    fault = faults_client.add(sandbox, "error", service="s3", code="AccessDenied", status=403, origin="client")
    try:
        for each in heard:
            each.until(lambda each=each: not each.statuses[-1][0])
            trouble = each.statuses[-1][1]
            assert trouble is not None
            assert trouble["what"]
            assert trouble["to_resolve"]
        told = Heard()
        leave = panels.hub.follow("card", {"job": job_id}, None, told)
        assert (told.events[0]["job"]["id"], told.statuses[0][0]) == (job_id, False)
        leave()
    finally:
        faults_client.clear(sandbox, fault.id)
    for each in heard:
        each.until(lambda each=each: each.statuses[-1][0])
    panels.act("cancel", {"job": job_id})
    heard[1].until(lambda: heard[1].events[-1]["job"]["state"] == "cancelled")
    for leave in leaves:
        leave()


def test_a_sandbox_that_does_not_run_is_not_started(
    rc: Runctl, panels: Panels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNCTL_SANDBOX_HOME", str(tmp_path / "elsewhere"))
    heard = Heard()
    leave = panels.hub.follow("instances", {}, None, heard)
    heard.until(lambda: heard.statuses)
    assert heard.statuses[0][1] is not None
    assert heard.statuses[0][1]["error"] == "target-unavailable"
    with pytest.raises(TargetUnavailable):
        panels.query("place")
    leave()
    assert not (tmp_path / "elsewhere").exists()


def test_a_place_by_its_id(rc: Runctl, sandbox: Connection) -> None:
    from runctl_jupyter.orchestration.places import open_place

    rc.instances.list()
    panels = Panels(lambda place: rc if place is None else Runctl(**open_place(place), cwd=rc.cwd))  # type: ignore[arg-type]
    assert panels.query("places")["places"][0]["id"] == rc.place
