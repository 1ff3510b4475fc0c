"""Which checkpoint a job goes on from, and where: rules that need no machine, on a record in a folder."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration.config import SyncSettings
from runctl_jupyter.orchestration.errors import InstanceNotReady, InvalidRequest, JobNotFound, RunctlError
from runctl_jupyter.orchestration.jobs.job import Job
from runctl_jupyter.orchestration.jobs.jobs import Jobs
from runctl_jupyter.orchestration.jobs.request import Origin
from runctl_jupyter.orchestration.jobs.resumption import resume_point
from runctl_jupyter.orchestration.jobs.submit import Submitter
from runctl_jupyter.orchestration.targets.base import Place, Started
from runctl_jupyter.run_record import (
    AttemptKeys,
    AttemptPlan,
    CheckpointFile,
    CheckpointManifest,
    JobKeys,
    JobSpec,
    JobState,
    LatestCheckpoint,
    Limits,
    MachineAsked,
    MachineOffer,
    NotFound,
    ResumeFrom,
    Status,
)
from runctl_jupyter.run_record.documents import to_plain
from tests.unit.orchestration.records import Records, catalogue_of

AT = "2026-01-02T03:05:30Z"


@dataclass
class Machines:
    """A target whose machines are there or not; notes what was started."""

    gone: set[str] = field(default_factory=set)
    started: list[tuple[str, int, Place, JobSpec]] = field(default_factory=list)

    def check(self, on: str | None, asked: MachineAsked) -> Place:
        if on in self.gone:
            raise InstanceNotReady(f"{on} is terminated and cannot run a job.", "Launch a new one.")
        if on is not None:
            return Place(on, "m5.large", "us-east-1", 0.096)
        offers = [MachineOffer(kind, None, asked.spot, None if kind == "new.type" else 0.096) for kind in _types(asked)]
        first = offers[0]
        return Place(
            None, first.instance_type, "us-east-1", first.price_per_hour,
            own_machine=True, spot=asked.spot, asked=asked, offers=offers,
        )  # fmt: skip

    def start(self, spec: JobSpec, attempt: int, place: Place) -> Started | None:
        self.started.append((spec.id, attempt, place, spec))
        return Started(place.instance_id or "i-new", None if place.instance_id else place.offers[-1])

    def verdict(self, job_id: str, status: Status) -> None:
        return None


def _types(asked: MachineAsked) -> list[str]:
    return asked.instance_types or ["m5.large"]


class World:
    """A record with jobs in it, and the nouns that read it."""

    def __init__(self, tmp_path: Path) -> None:
        self.records, self.machines = Records(tmp_path), Machines()
        self.record, self.store = self.records.record, self.records.store
        self.catalogue = catalogue_of(self.record, lambda ref: self.jobs.get(ref).id)
        self.root = tmp_path / "project"
        self.root.mkdir()
        (self.root / "t.py").write_text("print(1)")
        self.submitter = Submitter(
            self.record, self.machines, self.catalogue,  # type: ignore[arg-type]  # what is used of a target
            target_name="sandbox", cwd=self.root, root=self.root, sync=SyncSettings(), cache_dir=tmp_path / "cache",
        )  # fmt: skip
        self.jobs = Jobs(self.record, self.machines, self.catalogue, self.submitter)  # type: ignore[arg-type]

    def ended(self, job_id: str, *names: str, state: JobState = JobState.FAILED, **facts: Any) -> Job:
        """Write a job that has ended and saved checkpoints of these names."""
        self.records.spec(job_id, **facts)
        self.records.end(job_id, state=state, cost_usd=0.25)
        self.saved(job_id, 1, *names)
        return self.jobs.get(job_id)

    def saved(self, job_id: str, attempt: int, *names: str) -> None:
        keys = JobKeys(job_id)
        for seq, name in enumerate(names):
            files = [CheckpointFile(name, 3, "0" * 64)]
            manifest = CheckpointManifest(name, attempt, seq, AT, "bin", 3, files)
            self.records.put(keys.checkpoint_manifest(attempt, seq), manifest)
            self.records.put(keys.latest_checkpoint, LatestCheckpoint(attempt, seq, AT))

    def plan(self, job_id: str, attempt: int) -> AttemptPlan | None:
        try:
            return AttemptPlan.from_json(self.store.get(AttemptKeys(job_id, attempt).plan).data)
        except NotFound:
            return None

    def resumed(self, job_id: str, **facts: Any) -> tuple[AttemptPlan, Place]:
        """Resume, and return the plan that was written and where the attempt was started."""
        job = self.jobs.resume(job_id, **facts).launched(10)
        plan = self.plan(job_id, job.attempt)
        assert plan is not None
        started, attempt, place, spec = self.machines.started[-1]
        assert (started, attempt) == (job_id, job.attempt)
        assert spec == job.spec
        return plan, place


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def refuses(error: type[RunctlError], words: str, act: Any) -> None:
    with pytest.raises(error, match=words) as raised:
        act()
    what, advice = str(raised.value).split("\n")
    assert what
    assert advice


def test_what_a_person_may_say(world: World) -> None:
    world.ended("j-1", "a.bin", "b.bin", "a.bin")
    base = f"{world.store.uri}/jobs/j-1/checkpoints"
    said = {
        "latest": None,
        "none": None,
        "j-1": ResumeFrom(job_id="j-1"),
        "digits": ResumeFrom(job_id="j-1"),  # its name
        f"{base}/1-00001/": ResumeFrom("j-1", 1, 1),
        f"{base}/1-00002/a.bin": ResumeFrom("j-1", 1, 2),
    }
    assert {each: resume_point(each, world.record, world.catalogue) for each in said} == said


def test_names_are_those_of_the_jobs_own_checkpoints(world: World) -> None:
    world.ended("j-1", "a.bin", "b.bin", "a.bin")
    world.ended("j-2", "c.bin")

    def own(said: str) -> ResumeFrom | None:
        return resume_point(said, world.record, world.catalogue, own="j-1")

    assert own("a.bin") == ResumeFrom("j-1", 1, 2)  # the newest of its name
    assert own("b.bin") == ResumeFrom("j-1", 1, 1)
    for said in ("c.bin", "j-2", "A.bin", ""):
        refuses(InvalidRequest, "no checkpoint", lambda said=said: own(said))


def test_what_is_not_there_is_refused(world: World) -> None:
    world.ended("j-1", "a.bin")
    world.ended("j-2")
    base = f"{world.store.uri}/jobs"
    for said, error, words in (
        ("nobody", JobNotFound, "nobody"),
        ("j-2", InvalidRequest, "no complete checkpoint"),
        (f"{base}/j-1/checkpoints/1-00009/", InvalidRequest, "1-00009"),
        (f"{base}/j-9/checkpoints/1-00000/", InvalidRequest, "j-9"),
        ("s3://Bad_Bucket/x", InvalidRequest, "not the name of a bucket"),
        ("http://somewhere/x", InvalidRequest, "not an S3 address"),
        ("s3://bucket/weights.pt", InvalidRequest, "local has no S3"),
    ):
        refuses(error, words, lambda said=said: resume_point(said, world.record, world.catalogue))


def test_a_next_attempt_runs_where_the_one_before_ran(world: World) -> None:
    world.ended("j-1", "a.bin", instance_id="i-dev", instance_type="m5.large")
    plan, place = world.resumed("j-1")
    assert (plan.number, plan.instance_id, plan.end_machine, plan.resume) == (2, "i-dev", False, "latest")
    assert (plan.resume_from, place.instance_id) == (None, "i-dev")  # the newest, as the machine finds it then
    job = world.jobs.get("j-1")
    assert (job.attempt, job.state, job.instance_id) == (2, JobState.QUEUED, "i-dev")
    assert (job.cost_usd, [each.state for each in job.earlier]) == (0.25, [JobState.FAILED])


@pytest.mark.parametrize(("kept", "ends"), [(False, True), (True, False)])
def test_a_machine_of_its_own_ends_as_before(world: World, kept: bool, ends: bool) -> None:
    world.ended("j-1", "a.bin", instance_type="g5.xlarge", end_machine=not kept)
    plan, place = world.resumed("j-1")
    assert (place.own_machine, place.instance_type, plan.end_machine) == (True, "g5.xlarge", ends)


def test_it_can_move(world: World) -> None:
    world.ended("j-1", "a.bin", instance_id="i-dev")
    plan, place = world.resumed("j-1", instance_type="g5.xlarge")
    assert (place.own_machine, plan.instance_id, plan.instance_type) == (True, None, "g5.xlarge")
    assert plan.end_machine, "nobody would end a machine that was launched for this attempt"
    world.records.end("j-1", 2, JobState.FAILED)
    plan, _ = world.resumed("j-1", on="i-other")
    assert (plan.number, plan.instance_id, plan.end_machine) == (3, "i-other", False)


def test_from_what(world: World) -> None:
    begun_from = ResumeFrom(uri="s3://bucket/weights.pt")
    world.ended("own", "a.bin", resume_from=begun_from)
    world.ended("bare", resume_from=begun_from)
    assert world.resumed("own")[0].resume_from is None
    assert world.resumed("bare")[0].resume_from == begun_from, "it has saved nothing: from where it began itself"
    for job_id in ("own", "bare"):
        world.records.end(job_id, 2, JobState.CANCELLED)
        plan, _ = world.resumed(job_id, checkpoint="none")
        assert (plan.number, plan.resume, plan.resume_from) == (3, "none", None)
        world.records.end(job_id, 3, JobState.CANCELLED)
    plan, _ = world.resumed("own", checkpoint="a.bin")
    assert plan.resume_from == ResumeFrom("own", 1, 0)
    assert world.jobs.get("own").spec.resume_from == plan.resume_from


def test_refusals_leave_no_attempt(world: World) -> None:
    world.ended("j-1", "a.bin", instance_id="i-gone")
    world.machines.gone.add("i-gone")
    world.ended("j-2", "a.bin", state=JobState.RUNNING)
    refuses(InstanceNotReady, "i-gone is terminated", lambda: world.jobs.resume("j-1"))
    refuses(InvalidRequest, "no checkpoint 'b.bin'", lambda: world.jobs.resume("j-1", checkpoint="b.bin", on="i-dev"))
    refuses(InvalidRequest, "has not ended: it is running", lambda: world.jobs.resume("j-2"))
    refuses(JobNotFound, "j-3", lambda: world.jobs.resume("j-3"))
    world.ended("j-4", "a.bin", limits=Limits(max_cost_usd=1.0))
    refuses(InvalidRequest, "cost limit cannot", lambda: world.jobs.resume("j-4", instance_type="new.type"))
    assert world.machines.started == []
    assert [world.plan(job_id, 2) for job_id in ("j-1", "j-2", "j-4")] == [None] * 3


def test_of_two_who_resume_at_once_one_does(world: World) -> None:
    job = world.ended("j-1", "a.bin", instance_id="i-dev")
    world.resumed("j-1")
    again = world.submitter.resume
    refuses(InvalidRequest, "is being resumed already", lambda: again(job, None, None, MachineAsked()))
    assert len(world.machines.started) == 1


def test_a_start_that_fails_is_told_as_its_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RunctlError("AWS refused to launch m5.large.", "Try another type.")

    world.ended("j-1", "a.bin", instance_type="m5.large")
    monkeypatch.setattr(world.machines, "start", refuse)
    going = world.jobs.resume("j-1")
    with pytest.raises(RunctlError, match="AWS refused"):
        going.launched(10)
    job = world.jobs.get("j-1")
    assert (job.attempt, job.state) == (2, JobState.FAILED)
    assert job.cause is not None
    assert to_plain(job.cause) == {"kind": "launch", "message": "AWS refused to launch m5.large.", "signal": None}
    monkeypatch.undo()
    assert world.resumed("j-1")[0].number == 3, "it can be tried again"


def test_who_cancels_before_the_launch_launches_nothing(world: World) -> None:
    job = world.ended("j-1", "a.bin", instance_type="m5.large")
    world.records.end("j-1", 2, JobState.CANCELLED)  # by another client, the moment the plan is written
    world.submitter.resume(job, None, None, MachineAsked()).launched(10)
    assert world.machines.started == []
    assert world.jobs.get("j-1").state is JobState.CANCELLED


@pytest.mark.parametrize(
    ("origin", "notebook"),
    [
        (None, None),
        (Origin(None, "c1"), None),
        (Origin("nb/train.ipynb", "c1"), "train.ipynb"),  # not below the project
        (Origin("{root}/nb/train.ipynb", "c1"), "nb/train.ipynb"),
        (Origin("/home/me/secret/train.ipynb", "c1"), "train.ipynb"),
    ],
)
def test_a_job_knows_its_cell_and_notebook(world: World, origin: Origin | None, notebook: str | None) -> None:
    if origin is not None and origin.notebook is not None:
        origin = replace(origin, notebook=origin.notebook.format(root=world.root))
    job = world.jobs.train("t.py", origin=origin)
    assert isinstance(job, Job)
    spec = world.record.spec(job.launched(10).id)
    assert (spec.notebook, spec.cell_id) == (notebook, None if origin is None else "c1")
    assert spec.project == "project"
