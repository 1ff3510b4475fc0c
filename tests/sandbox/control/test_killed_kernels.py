"""A kernel that dies between a launch and its answer: the machine is there, is ours, and is found by the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration import Instance
from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.run_record import JobState
from runctl_jupyter.sandbox import faults_client
from tests.sandbox.conftest import client
from tests.sandbox.doors.conftest import ROOT
from tests.sandbox.paper import Paper, on_paper

pytestmark = pytest.mark.machineless

KERNEL = """
import sys
from runctl_jupyter import Runctl
rc = Runctl(target="sandbox", cwd=sys.argv[1])
{act}
"""
TRAINS = 'rc.jobs.train("t.py", instance_type="m5.large", name="alone").launched(60)'
CREATES = 'rc.instances.create("m5.large", name="dev")'


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    with on_paper(tmp_path_factory.mktemp("killed")) as found:
        yield found


@pytest.fixture
def launches(paper: Paper) -> Iterator[Paper]:
    """No launch is ever answered, though each is carried out."""
    faults_client.add(paper.connection, "lost-answer", service="ec2", operation="CreateFleet")
    yield paper
    faults_client.clear(paper.connection)


def machines(paper: Paper) -> list[dict[str, Any]]:
    answer = client(paper.connection, "ec2").describe_instances()
    return [each for reservation in answer["Reservations"] for each in reservation["Instances"]]


def killed_after_the_launch(paper: Paper, act: str, folder: Path) -> dict[str, Any]:
    """Let a kernel launch, kill it as soon as EC2 has a new machine, and return that."""
    before = {each["InstanceId"] for each in machines(paper)}
    command = [sys.executable, "-c", KERNEL.format(act=act), str(folder)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}) as kernel:
        end = time.monotonic() + 60
        while not (new := [each for each in machines(paper) if each["InstanceId"] not in before]):
            assert kernel.poll() is None, "the kernel has ended by itself"
            assert time.monotonic() < end, "nothing was launched"
            time.sleep(0.01)
        kernel.send_signal(signal.SIGKILL)
    (machine,) = new
    return machine


def test_a_job_is_found_and_its_machine_ended(launches: Paper, tmp_path: Path) -> None:
    (tmp_path / "t.py").write_text("print(1)")
    machine = killed_after_the_launch(launches, TRAINS, tmp_path)
    faults_client.clear(launches.connection)
    rc = launches.engine()
    (job,) = (job for job in rc.jobs.list() if job.name == "alone")
    assert (job.state, job.instance_id) == (JobState.QUEUED, None)
    (seen,) = rc.instances.list()
    assert (seen.id, seen.tags["runctl:job"]) == (machine["InstanceId"], job.id)
    assert seen.expires_at is not None
    # Whoever looks at the job from now on can end it, and with it the machine that nobody was told of.
    assert job.cancel().state is JobState.CANCELLED
    assert rc.instances.wait(seen.id, until="terminated").state == "terminated"


def test_a_machine_with_a_name_is_not_launched_again(launches: Paper, tmp_path: Path) -> None:
    machine = killed_after_the_launch(launches, CREATES, tmp_path)
    rc = launches.engine()
    with pytest.raises(InvalidRequest, match=machine["InstanceId"]):
        rc.instances.create("m5.large", name="dev")
    assert [each.id for each in rc.instances.list()] == [machine["InstanceId"]]
    left = client(launches.connection, "ec2").describe_launch_templates()["LaunchTemplates"]
    assert all({"Key": "runctl:managed", "Value": "true"} in each["Tags"] for each in left)
    rc.instances.terminate("dev", wait=True)


def test_a_launch_none_of_whose_answers_came_is_found_by_its_tag(
    launches: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_sleep = time.sleep
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: real_sleep(min(seconds, 0.005)))
    rc = launches.engine()
    made = rc.instances.create("m5.large", name="lost-and-found")
    assert isinstance(made, Instance)
    assert [each.id for each in rc.instances.list()] == [made.id]
    rc.instances.terminate(made.id, wait=True)
