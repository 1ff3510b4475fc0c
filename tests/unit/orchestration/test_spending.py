"""The report of what was spent: which row pays for what, and that rows and total fit together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.commands.cost import WAYS as OFFERED
from runctl_jupyter.display.values import notebook_bundle, value_text
from runctl_jupyter.orchestration.costs.cost import Cost, total
from runctl_jupyter.orchestration.costs.rates import Disk, gp3_per_hour
from runctl_jupyter.orchestration.costs.report import WAYS, By, CostReport, CostRow
from runctl_jupyter.orchestration.costs.spans import job_spans
from runctl_jupyter.orchestration.costs.spending import Account, Spending, checked_since
from runctl_jupyter.orchestration.costs.stored import Kept, kept_by_job
from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.jobs.job import Job
from runctl_jupyter.orchestration.model import Instance
from runctl_jupyter.orchestration.storage.listed import ListedObject
from runctl_jupyter.run_record import AttemptKeys, JobSpec, JobState, MachineOffer, Status, to_iso
from runctl_jupyter.run_record.measures import PhaseMark
from tests.unit.orchestration.records import Records

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
WEEK = NOW - timedelta(days=7)
DISK_RATE = gp3_per_hour(73, "us-east-1") or 0.0
"""USD per hour of 73 GiB: 0.008."""


class World:
    """Jobs at a dollar an hour, machines, disks."""

    def __init__(self, tmp_path: Path) -> None:
        self.records = Records(tmp_path)
        self.jobs: list[Job] = []
        self.instances: list[Instance] = []
        self.disks: list[Disk] | None = []
        self.kept: dict[str, Sequence[Kept]] = {}

    def job(self, job_id: str, began_h: float, ended_h: float | None, on: str | None = "i-gone", **facts: Any) -> None:
        price = facts.setdefault("price_per_hour", 1.0)
        facts = {"instance_type": "m5.large", "region": "us-east-1", "beside_per_hour": {"disk": 0.0}, **facts}
        phases = [PhaseMark("boot", to_iso(NOW - facts.pop("booted_h") * HOUR))] if "booted_h" in facts else []
        self.records.spec(job_id, **facts)
        status = Status(
            job_id,
            1,
            JobState.RUNNING if ended_h is None else JobState.SUCCEEDED,
            to_iso(NOW),
            claimed_at=to_iso(NOW - began_h * HOUR),
            ended_at=None if ended_h is None else to_iso(NOW - ended_h * HOUR),
            cost_usd=None if ended_h is None or price is None else price * (began_h - ended_h),
            instance_id=on,
            phases=phases,
        )
        self.records.put(AttemptKeys(job_id, 1).status, status)
        self.jobs.append(self.records.job(job_id))

    def machine(self, instance_id: str, launched_h: float, stopped_h: float | None = None, name: str = "dev") -> None:
        end = 0.0 if stopped_h is None else stopped_h
        parts = Cost.of(machine=launched_h - end, disk=99.0).to_dict()  # disks are told one by one
        state = "running" if stopped_h is None else "stopped"
        self.instances.append(
            Instance(
                instance_id, name, state, "m5.large", False, "us-east-1a", NOW - launched_h * HOUR, 1.0,
                launched_h if stopped_h is None else None, cost_parts=parts,
                stopped_at=None if stopped_h is None else NOW - stopped_h * HOUR,
            )
        )  # fmt: skip

    def disk(self, disk_id: str, since_h: float, on: str | None) -> None:
        assert self.disks is not None
        self.disks.append(Disk(disk_id, "gp3", 73, 3000, 125, NOW - since_h * HOUR, on))

    def report(self, by: By = "job", since: datetime = WEEK) -> CostReport:
        account = Account(self.jobs, self.instances, self.disks, self.kept, "us-east-1")
        return Spending(account, since, NOW).report(by)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def machine_usd(report: CostReport) -> Mapping[str, float]:
    return {row.key: round(row.cost.usd.get("machine", 0.0), 4) for row in report.rows}


def rows(report: CostReport, kind: str) -> list[CostRow]:
    return [row for row in report.rows if row.kind == kind]


def test_nothing(world: World) -> None:
    for by in WAYS:
        report = world.report(by)
        assert (report.to_dict()["cost_usd"], list(report.rows)) == (0, [])
        assert "Nothing has been spent" in value_text(report)


def test_jobs_and_what_of_a_machine_no_job_has_used(world: World) -> None:
    world.machine("i-1", 6)
    world.job("a", 5, 3, "i-1")
    world.job("b", 2, None, "i-1")
    world.job("c", 9, 8)
    report = world.report()
    assert machine_usd(report) == {"a": 2, "b": 2, "c": 1, "i-1": 2}
    assert report.total.usd["machine"] == pytest.approx(6 + 1)
    assert total(row.cost for row in report.rows).usd["machine"] == pytest.approx(7)
    assert [row.live for row in report.rows if row.key in ("a", "b", "i-1")].count(True) == 2
    assert report.price_per_hour == 1.0


def test_jobs_that_shared_a_machine_show_its_time_each(world: World) -> None:
    world.job("a", 5, 2)
    world.job("b", 4, 1)
    report = world.report()
    assert machine_usd(report) == {"a": 3, "b": 3}
    assert report.total.usd["machine"] == pytest.approx(4)
    assert any("shared a machine" in note for note in report.notes)
    assert machine_usd(world.report("instance")) == {"i-gone": 4, "s3": 0}


def test_a_job_pays_for_the_boot_of_its_own_machine_and_what_is_beside(world: World) -> None:
    world.job("a", 3, 1, booted_h=4, beside_per_hour={"disk": 0.01, "address": 0.005})
    world.job("short", 3, 3 - 10 / 3600, on="i-2", booted_h=3 + 20 / 3600)
    (row, short) = world.report().rows
    assert row.cost.usd["machine"] == pytest.approx(3)
    assert (row.cost.usd["disk"], row.cost.usd["address"]) == pytest.approx((0.03, 0.015))
    assert short.cost.usd["machine"] == pytest.approx(60 / 3600, rel=1e-3), "one minute, not one for each part"


def test_disks_of_stopped_machines_and_leftovers(world: World) -> None:
    world.machine("i-1", 40, stopped_h=30)
    world.disk("vol-1", 50, "i-1")
    world.disk("vol-left", 1000, None)
    report = world.report()
    assert machine_usd(report) == {"i-1": 10, "vol-1": 0, "vol-left": 0}
    assert {row.key: round(row.cost.usd["disk"], 6) for row in rows(report, "disk")} == {
        "vol-1": round(50 * DISK_RATE, 6), "vol-left": round(7 * 24 * DISK_RATE, 6),
    }  # fmt: skip
    assert "dev (stopped)" in value_text(report)
    assert "attached to nothing" in value_text(report)
    by_instance = {row.key: row.cost.usd for row in world.report("instance").rows}
    assert by_instance["i-1"] == pytest.approx({"machine": 10, "disk": 50 * DISK_RATE})
    assert "vol-left" in by_instance
    assert report.price_per_hour == 0


def test_a_disk_is_paid_once(world: World) -> None:
    world.machine("i-1", 6)
    world.disk("vol-1", 6, "i-1")
    world.job("a", 5, 3, "i-1", beside_per_hour={"disk": DISK_RATE})
    assert world.report().total.usd["disk"] == pytest.approx(6 * DISK_RATE)
    assert total(row.cost for row in world.report().rows).usd["disk"] == pytest.approx(6 * DISK_RATE)


@pytest.mark.parametrize("by", ["instance", "day"])
def test_rows_that_add_up(world: World, by: By) -> None:
    world.machine("i-1", 50)
    world.machine("i-2", 100, stopped_h=60, name="other")
    world.disk("vol-1", 50, "i-1")
    world.disk("vol-2", 500, "i-2")
    world.disk("vol-3", 30, None)
    world.job("a", 49, 20, "i-1")
    world.job("b", 30, 10, "i-1")
    world.job("gone", 90, 80, beside_per_hour={"disk": 0.01, "address": 0.005})
    world.job("older", 200, 160, "i-older")
    world.kept = {"a": [Kept(1 << 33, NOW - 20 * HOUR)], "older": [Kept(1 << 35, NOW - 160 * HOUR)]}
    report = world.report(by)
    assert total(row.cost for row in report.rows).usd == pytest.approx(report.total.usd, rel=1e-4, abs=1e-5)
    assert report.total.usd["machine"] == pytest.approx(50 + 40 + 10 + 8)
    assert not report.total.unknown
    if by == "day":
        assert [row.key for row in report.rows] == [f"2026-11-{day}" for day in range(24, 16, -1)]


def test_days_cut_at_midnight(world: World) -> None:
    world.job("a", 15, 6)  # noon now: from nine in the evening
    assert machine_usd(world.report("day")) == {"2026-11-24": 6, "2026-11-23": 3}


def test_cells_notebooks_and_projects(world: World) -> None:
    here = {"notebook": "lab/train.ipynb", "cell": True, "project": "digits"}
    world.job("a", 9, 8, cell_id="11111111-aaaa", **here)
    world.job("b", 8, 7, cell_id="11111111-aaaa", **here)
    world.job("c", 7, 6, cell_id="22222222-bbbb", **here)
    world.job("d", 6, 5, project="digits")
    world.job("e", 5, 4, project="faces")
    assert machine_usd(world.report("cell")) == {
        "lab/train.ipynb#11111111-aaaa": 2, "lab/train.ipynb#22222222-bbbb": 1, "no notebook#fit.py": 2,
    }  # fmt: skip
    assert machine_usd(world.report("notebook")) == {"lab/train.ipynb": 3, "no notebook": 2}
    assert machine_usd(world.report("project")) == {"digits": 4, "faces": 1}
    assert {row.key: row.jobs for row in world.report("project").rows} == {"digits": 4, "faces": 1}


def test_what_is_not_known_is_said(world: World) -> None:
    world.job("a", 5, 4)
    world.job("spot", 5, 4, "i-spot", price_per_hour=None, beside_per_hour={})
    world.disks = None
    report = world.report()
    said = report.to_dict()
    assert said["cost_parts"]["unknown"] == ["machine", "disk"]
    assert {row["key"]: row["cost_parts"]["machine"] for row in said["rows"] if row["kind"] == "job"} == {
        "a": 1.0, "spot": None,
    }  # fmt: skip
    text = value_text(report)
    assert "at least $1.01" in text
    assert "they could not be listed" in text
    assert "left out of the sums: machine, disk" in text


def test_says_that_it_is_an_estimate_everywhere(world: World) -> None:
    world.job("a", 5, 4)
    report = world.report()
    bundle = notebook_bundle(report)
    for shown in (value_text(report), bundle["text/plain"], bundle["text/html"], str(report.to_dict())):
        assert "estimate" in shown
        assert "Cost Explorer" in shown
    assert "<table" in bundle["text/html"]


def test_names_the_sources_of_its_prices(world: World) -> None:
    world.job("a", 5, 4, price_source="EC2 spot price history, us-east-1a, today")
    world.job("b", 5, 4, "i-2", price_source="EC2 spot price history, us-east-1b, today")
    world.job("c", 5, 4, "i-3", price_source="AWS price list, 3 days ago")
    world.disk("vol-1", 5, None)
    notes = world.report().notes
    (instances,) = [note for note in notes if note.startswith("Prices of instances")]
    assert sorted(instances.removesuffix(".").split(": ")[1].split(", ")) == [
        "AWS price list",
        "EC2 spot price history",
    ]
    assert any(note.startswith("Prices of disks") and "2026-11-30" in note for note in notes)


def test_as_a_data_frame(world: World) -> None:
    world.job("a", 5, 4)
    world.job("b", 5, 3, "i-2")
    frame = world.report().to_dataframe()
    assert list(frame["key"]) == ["b", "a"]
    assert frame["machine_usd"].sum() == pytest.approx(3)
    assert not frame["at_least"].any()
    nothing = world.report(since=NOW - HOUR).to_dataframe()
    assert (len(nothing), list(nothing.columns)) == (0, list(frame.columns))


def test_this_computer_costs_nothing(world: World) -> None:
    world.job("a", 5, 4, None, price_per_hour=None, instance_type=None, beside_per_hour={}, region=None)
    report = Spending(Account(world.jobs, [], [], {}, None), WEEK, NOW).report("job")
    assert report.to_dict()["cost_usd"] in (0, None)
    assert [row.cost.usd for row in report.rows if "machine" in row.cost.parts] == []


def test_objects_of_each_job() -> None:
    objects = [
        ListedObject("jobs/a/spec.json", 10, NOW, ""),
        ListedObject("jobs/a/attempts/1/status.json", 20, NOW, ""),
        ListedObject("jobs/b/spec.json", 30, NOW, ""),
        ListedObject("jobs/stray", 40, NOW, ""),
    ]
    found = kept_by_job(objects)
    assert {job: [each.size for each in kept] for job, kept in found.items()} == {"a": [10, 20], "b": [30]}


def test_since() -> None:
    assert checked_since("job", 3600, NOW) == checked_since("job", HOUR, NOW) == NOW - HOUR
    assert checked_since("day", NOW - HOUR, NOW) == NOW - HOUR
    with pytest.raises(InvalidRequest, match="not begun"):
        checked_since("job", NOW + HOUR, NOW)
    with pytest.raises(InvalidRequest, match="by 'colour'"):
        checked_since("colour", HOUR, NOW)
    assert OFFERED == WAYS


@pytest.mark.parametrize("by", WAYS)
def test_a_machine_whose_price_nobody_knows_is_not_free(world: World, by: By) -> None:
    world.machine("i-1", 5)
    spot = replace(world.instances[0], id="i-spot", price_per_hour=None, cost_usd=None)
    world.instances[0] = replace(spot, cost_parts=Cost.of(machine=None, disk=0.1).to_dict())
    world.job("a", 4, 3, "i-spot")
    report = world.report(by)
    assert report.total.usd["machine"] == pytest.approx(1), "what its job says is known"
    assert report.total.unknown == {"machine"}
    assert report.price_per_hour is None
    key = {"day": "2026-11-24"}.get(by, "i-spot")
    (row,) = [each for each in report.rows if each.key == key]
    assert "machine" in row.cost.unknown
    world.instances[0] = replace(world.instances[0], state="terminated")
    assert not world.report(by).total.unknown, "gone: its job's time was all"


def test_a_cell_is_one_row_whatever_its_jobs_are_called(world: World) -> None:
    world.job("a", 9, 8, notebook="n.ipynb", cell_id="11111111", cell=True)
    world.job("b", 8, 7, notebook="n.ipynb", cell_id="11111111", cell=True)
    renamed = replace(world.jobs[1].spec, name="other")
    world.jobs[1]._seen = replace(world.jobs[1]._seen, spec=renamed)
    (row,) = rows(world.report("cell"), "cell")
    assert (row.jobs, round(row.cost.usd["machine"], 6)) == (2, 2)


@pytest.mark.parametrize("told", [True, False])
def test_an_earlier_attempt_costs_what_its_own_machine_did(told: bool) -> None:
    """It ran an hour at 4 dollars after an hour of booting; the one that goes on has got a machine for one."""
    first = Status(
        "a", 1, JobState.INTERRUPTED, to_iso(NOW), claimed_at=to_iso(NOW - 4 * HOUR), ended_at=to_iso(NOW - 3 * HOUR),
        cost_usd=4.0, instance_id="i-1", phases=[PhaseMark("boot", to_iso(NOW - 5 * HOUR))],
        got=MachineOffer("g5.xlarge", price_per_hour=4.0) if told else None,
    )  # fmt: skip
    second = Status(
        "a", 2, JobState.RUNNING, to_iso(NOW), claimed_at=to_iso(NOW - HOUR), instance_id="i-2",
        phases=[PhaseMark("boot", to_iso(NOW - 2 * HOUR))], got=MachineOffer("m5.large", price_per_hour=1.0),
    )  # fmt: skip

    class Paid:
        id, status, earlier, price_per_hour = "a", second, (first,), 1.0
        spec = JobSpec("a", "digits", to_iso(NOW), "me", "aws", "fit.py", instance_type="m5.large")

    assert [span.cost.usd["machine"] for span in job_spans(Paid(), NOW)] == pytest.approx([8.0, 2.0])
