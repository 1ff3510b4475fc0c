"""Life cycle of instances against a strict control plane: what is refused, what is said, what is never touched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runctl_jupyter.orchestration import Instance, Runctl
from runctl_jupyter.orchestration.errors import (
    InstanceBusy,
    InstanceNotFound,
    InstanceNotReady,
    InstanceProtected,
    InvalidRequest,
    LaunchRefused,
)
from runctl_jupyter.orchestration.instances.sightings import Sightings
from runctl_jupyter.orchestration.jobs import job as job_module
from runctl_jupyter.orchestration.targets.ec2 import Ec2Target
from runctl_jupyter.panels import Panels
from runctl_jupyter.run_record import JobState, Status, now, to_iso
from runctl_jupyter.sandbox import faults_client
from tests.sandbox.conftest import client
from tests.sandbox.paper import Paper, PlayedJob, on_paper

pytestmark = pytest.mark.machineless


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    with on_paper(tmp_path_factory.mktemp("paper")) as found:
        yield found


@pytest.fixture
def rc(paper: Paper) -> Iterator[Runctl]:
    found = paper.engine()
    yield found
    faults_client.clear(paper.connection)
    for each in found.instances.list():
        if each.protected:
            found.instances.protect(each.id, off=True)
    found.instances.terminate_all([each.id for each in found.instances.list()], wait=True, force=True)


def created(rc: Runctl, **wishes: Any) -> Instance:
    found = rc.instances.create("m5.large", wait=True, **wishes)
    assert isinstance(found, Instance)
    return found


def launched(paper: Paper, **changes: Any) -> str:
    """Launch past the engine, with our tags."""
    ssm, ec2 = client(paper.connection, "ssm"), client(paper.connection, "ec2")
    image = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
    tags = [{"Key": "runctl:managed", "Value": "true"}]
    request = {
        "ImageId": ssm.get_parameter(Name=image)["Parameter"]["Value"],
        "InstanceType": "m5.large",
        "MinCount": 1,
        "MaxCount": 1,
        "IamInstanceProfile": {"Name": "runctl-instance"},
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
    }
    return str(ec2.run_instances(**{**request, **changes})["Instances"][0]["InstanceId"])


def requests(paper: Paper, operation: str) -> faults_client.FaultState:
    """Count requests from now on, by a delay of nothing to speak of."""
    return faults_client.add(paper.connection, "latency", service="ec2", operation=operation, latency_s=1e-4)


def hits(paper: Paper, fault: faults_client.FaultState) -> int:
    return next(each.hits for each in faults_client.list(paper.connection) if each.id == fault.id)


def test_a_job_that_has_saved_nothing_keeps_its_machine(rc: Runctl) -> None:
    machine = created(rc)
    job = PlayedJob(rc, "261130-120000-aaaa", machine.id)
    with pytest.raises(InstanceBusy, match="saved no checkpoint"):
        rc.instances.stop(machine.id)
    with pytest.raises(InstanceBusy, match="saved no checkpoint"):
        rc.instances.terminate(machine.id)
    assert job.asked is None
    assert rc.instances.get(machine.id).state == "running"
    gone = rc.instances.terminate(machine.id, force=True)
    assert any(job.id in each for each in gone.loses), gone.loses
    job.end(JobState.LOST)


def test_a_job_is_asked_to_save_and_then_the_machine_stops(rc: Runctl) -> None:
    machine = created(rc)
    job = PlayedJob(rc, "261130-120001-aaaa", machine.id, checkpoints=2)
    runner = job.obey()
    stopped = rc.instances.stop(machine.id, wait=True)
    runner.join(5)
    assert stopped.state == "stopped"
    assert job.asked is not None
    assert (job.asked.state, job.asked.keep_machine) == (JobState.INTERRUPTED, True)
    assert any("step_1.pt" in each and f"runctl resume {job.id}" in each for each in stopped.keeps), stopped.keeps
    assert any("30 GiB" in each and "$2.40 a month" in each for each in stopped.keeps), stopped.keeps


def test_a_job_that_does_not_answer_keeps_its_machine(rc: Runctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "_SAVE_S", -89.5)  # of the 90 s of grace half a second is left
    machine = created(rc)
    job = PlayedJob(rc, "261130-120002-aaaa", machine.id, checkpoints=1)
    with pytest.raises(InstanceBusy, match="could not be saved") as raised:
        rc.instances.stop(machine.id)
    assert "--force" in raised.value.to_resolve
    assert rc.instances.get(machine.id).state == "running"
    assert rc.instances.stop(machine.id, force=True, wait=True).state == "stopped"
    job.end(JobState.LOST)


@pytest.mark.parametrize("answers", [True, False])
def test_a_panel_lets_jobs_save_and_insists_only_when_that_fails(rc: Runctl, answers: bool, tmp_path: Path) -> None:
    panels = Panels(lambda _: rc, open_to_launch=lambda _: rc, folder=lambda: tmp_path)
    machine = created(rc)
    job = PlayedJob(rc, f"261130-12000{answers:d}-bbbb", machine.id, checkpoints=int(answers))
    runner = job.obey() if answers else None
    assert panels.act("stop", {"instance": machine.id, "force": True})["instance"]["state"] in ("stopping", "stopped")
    if runner is not None:
        runner.join(5)
        assert job.asked is not None
        assert job.asked.state is JobState.INTERRUPTED
    else:
        job.end(JobState.LOST)
    assert rc.instances.wait(machine.id, until="stopped").state == "stopped"


def test_a_spot_instance_is_not_stopped_and_ec2_is_not_asked_to(rc: Runctl, paper: Paper) -> None:
    spot = launched(paper, InstanceMarketOptions={"MarketType": "spot"})
    rc.instances.wait(spot, until="running")
    stops = requests(paper, "StopInstances")
    with pytest.raises(InvalidRequest, match="one-time spot") as raised:
        rc.instances.stop(spot)
    assert f"runctl terminate {spot}" in raised.value.to_resolve
    assert hits(paper, stops) == 0


def test_protection_is_read_when_it_matters_and_not_overridden(rc: Runctl, paper: Paper) -> None:
    one, two = created(rc), created(rc)
    other_kernel = paper.engine()
    other_kernel.instances.protect(two.id)
    for force in (False, True):
        with pytest.raises(InstanceProtected, match=two.id):
            rc.instances.terminate_all([one.id, two.id], force=force)
    assert {rc.instances.get(each.id).state for each in (one, two)} == {"running"}
    other_kernel.instances.protect(two.id, off=True)
    ended = rc.instances.terminate_all([one.id, two.id, one.id], wait=True)
    assert [(each.id, each.state) for each in ended] == [(one.id, "terminated"), (two.id, "terminated")]


def test_ec2s_own_protection_is_explained(rc: Runctl, paper: Paper) -> None:
    machine = launched(paper, DisableApiTermination=True)
    rc.instances.wait(machine, until="running")
    with pytest.raises(InstanceProtected) as raised:
        rc.instances.terminate(machine, force=True)
    assert "--no-disable-api-termination" in raised.value.to_resolve
    assert rc.instances.get(machine).state == "running"
    client(paper.connection, "ec2").modify_instance_attribute(
        InstanceId=machine, DisableApiTermination={"Value": False}
    )


def test_the_user_may_tag_nothing_else(rc: Runctl, paper: Paper) -> None:
    machine, ec2 = created(rc), client(paper.connection, "ec2")
    for call in (
        lambda: ec2.create_tags(Resources=[machine.id], Tags=[{"Key": "runctl:ttl", "Value": "1"}]),
        lambda: ec2.delete_tags(Resources=[machine.id], Tags=[{"Key": "runctl:managed"}]),
        lambda: ec2.delete_tags(Resources=[machine.id]),
    ):
        with pytest.raises(ec2.exceptions.ClientError, match="UnauthorizedOperation"):
            call()
    assert dict(rc.instances.get(machine.id).tags) == dict(machine.tags)


def test_a_foreign_machine_is_not_touched(rc: Runctl, paper: Paper) -> None:
    env = faults_client.admin_env(paper.connection)
    keys = {
        "aws_access_key_id": env["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"],
    }
    admin = client(paper.connection, "ec2", **keys)
    image = client(paper.connection, "ec2").describe_images()["Images"][0]["ImageId"]
    foreign = admin.run_instances(ImageId=image, InstanceType="m5.large", MinCount=1, MaxCount=1)
    foreign_id = foreign["Instances"][0]["InstanceId"]
    verbs = rc.instances
    acts = (verbs.stop, verbs.terminate, verbs.start, verbs.protect)
    for act in acts:
        with pytest.raises(InstanceNotFound, match="not launched by runctl"):
            act(foreign_id)
    assert foreign_id not in {each.id for each in rc.instances.list(all=True)}
    seen = admin.describe_instances(InstanceIds=[foreign_id])["Reservations"][0]["Instances"][0]
    assert seen["State"]["Name"] in ("pending", "running")
    admin.terminate_instances(InstanceIds=[foreign_id])


def test_a_termination_that_ec2_does_not_know_the_id_for_is_asked_again(rc: Runctl, paper: Paper) -> None:
    machine = created(rc)
    faults_client.add(
        paper.connection, "error", service="ec2", operation="TerminateInstances", status=400,
        code="InvalidInstanceID.NotFound", count=2,
    )  # fmt: skip
    assert rc.instances.terminate(machine.id, wait=True).state == "terminated"


def test_a_start_whose_limits_cannot_be_armed_is_told(rc: Runctl, paper: Paper) -> None:
    machine = created(rc, ttl=3600.0)
    rc.instances.stop(machine.id, wait=True)
    paper.host(machine.id).exit_code = 1
    with pytest.raises(InstanceNotReady, match="could not be armed"):
        rc.instances.start(machine.id)
    rc.instances.stop(machine.id, wait=True)
    paper.host(machine.id).exit_code = 0
    assert rc.instances.start(machine.id).state == "running"


def test_a_start_without_capacity_says_that_the_disk_binds_it_and_is_not_repeated(rc: Runctl, paper: Paper) -> None:
    machine = created(rc)
    rc.instances.stop(machine.id, wait=True)
    fault = faults_client.add(
        paper.connection, "error", service="ec2", operation="StartInstances", status=500,
        code="InsufficientInstanceCapacity",
    )  # fmt: skip
    with pytest.raises(LaunchRefused, match="InsufficientInstanceCapacity") as raised:
        rc.instances.start(machine.id)
    assert "its own zone" in raised.value.to_resolve
    assert hits(paper, fault) == 1
    assert rc.instances.get(machine.id).state == "stopped"


def test_why_an_instance_ended_is_said(rc: Runctl, paper: Paper) -> None:
    by_hand, inside = created(rc), created(rc)
    spot = launched(paper, InstanceMarketOptions={"MarketType": "spot"})
    rc.instances.wait(spot, until="running")
    assert rc.instances.get(spot).state_reason == ""
    rc.instances.terminate(by_hand.id, wait=True)
    paper.host(inside.id).shut_down()
    faults_client.interrupt(paper.connection, spot, notice_s=0.0)
    ended = {each: rc.instances.wait(each, until="terminated") for each in (by_hand.id, inside.id, spot)}
    assert ended[by_hand.id].state_reason == "ended by a user"
    assert ended[inside.id].state_reason.startswith("powered off from inside")
    assert ended[spot].state_reason == "EC2 took the spot capacity back"
    assert "took the spot capacity back" in repr(rc.instances.list(all=True))
    target = Ec2Target(*cast(Any, (None, None, None, rc.instances, None)))
    status = Status("j", 1, JobState.RUNNING, to_iso(now()), instance_id=spot, claimed_at=to_iso(now()))
    causes = {each: target.verdict("j", replace(status, instance_id=each)) for each in ended}
    assert {each: cause and cause.kind for each, cause in causes.items()} == {
        by_hand.id: "machine", inside.id: "machine", spot: "spot"
    }  # fmt: skip


def test_a_fresh_id_that_ec2_does_not_know_yet_is_no_lost_job(rc: Runctl) -> None:
    target = Ec2Target(*cast(Any, (None, None, None, rc.instances, None)))
    fresh = Status("j", 1, JobState.QUEUED, to_iso(now()), instance_id="i-0123456789abcdef0")
    assert target.verdict("j", fresh) is None
    old = replace(fresh, updated_at="2026-01-01T00:00:00Z")
    assert "does not know it" in str(target.verdict("j", old))


def test_an_instance_that_is_forgotten_for_a_moment_is_as_it_was() -> None:
    moment, answers = [0.0], [cast(Instance, SimpleNamespace(id="i-1", state="running"))]

    def get(_: str) -> Instance:
        if not answers:
            raise InstanceNotFound("EC2 knows no i-1.", "Look again.")
        return answers.pop()

    sightings = Sightings(answers[0], get, lambda: moment[0])
    assert sightings.look().state == "running"
    moment[0] = 59.0
    assert sightings.look().state == "running"
    moment[0] = 61.0
    with pytest.raises(InstanceNotFound):
        sightings.look()


def test_a_persistent_spot_instance_can_be_stopped_and_does_not_come_back(rc: Runctl, paper: Paper) -> None:
    """No launch of ours makes one; but one that carries our tag must not be replaced after its end."""
    tags = [{"Key": "runctl:managed", "Value": "true"}]
    kinds = ("instance", "volume", "spot-instances-request")
    spot = launched(
        paper,
        InstanceMarketOptions={
            "MarketType": "spot",
            "SpotOptions": {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"},
        },
        TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in kinds],
    )
    request_id = rc.instances.wait(spot, until="running").spot_request_id
    assert rc.instances.stop(spot, wait=True).state == "stopped"
    assert rc.instances.start(spot).state == "running"
    cancels = requests(paper, "CancelSpotInstanceRequests")
    assert rc.instances.terminate(spot, wait=True).state == "terminated"
    assert hits(paper, cancels) == 1
    (request,) = client(paper.connection, "ec2").describe_spot_instance_requests(SpotInstanceRequestIds=[request_id])[
        "SpotInstanceRequests"
    ]
    assert request["State"] == "cancelled"
    assert len(rc.instances.list()) == 0
