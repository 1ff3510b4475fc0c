"""A machine that nobody uses ends by itself; one that runs a job stays until the job's end."""

from __future__ import annotations

import pytest

from runctl_jupyter.orchestration import Instance
from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.run_record import JobState
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine
from tests.sandbox.engine.test_jobs import job_of

IDLE_S = 6.0
ENDS_S = 120.0
"""Generous: on a plain machine the network is that of the whole computer, and somebody may be using it."""


def test_a_machine_that_nobody_uses_ends_itself(engine: Engine, boto: Boto) -> None:
    rc = engine({})
    created = rc.instances.create("m5.large", idle_stop=2.0)
    assert isinstance(created, Instance)
    assert created.tags["runctl:idle-stop"] == "2"
    gone = rc.instances.wait(created.id, until="terminated", timeout=ENDS_S)
    assert gone.state == "terminated"
    described = boto("ec2").describe_instances(InstanceIds=[created.id])["Reservations"][0]["Instances"][0]
    assert described["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


def test_one_that_runs_a_job_stays_until_its_end(engine: Engine) -> None:
    rc = engine({"t.py": f"import time; print('begun', flush=True); time.sleep({2 * IDLE_S})"})
    machine = rc.instances.create("m5.large", idle_stop=IDLE_S, wait=True)
    assert isinstance(machine, Instance)
    job = job_of(rc.jobs.train("t.py", on=machine.id)).wait(90)
    assert (job.state, job.exit_code) == (JobState.SUCCEEDED, 0)
    rc.instances.wait(machine.id, until="terminated", timeout=ENDS_S)


def test_the_guard_is_there_after_a_stop_and_only_where_it_is_wanted(engine: Engine) -> None:
    rc = engine({})
    stays = rc.instances.create("m5.large")
    assert isinstance(stays, Instance)
    assert "runctl:idle-stop" not in stays.tags
    machine = rc.instances.create("m5.large", idle_stop=IDLE_S, wait=True)
    assert isinstance(machine, Instance)
    rc.instances.stop(machine.id, wait=True)
    assert rc.instances.start(machine.id).state == "running"
    rc.instances.wait(machine.id, until="terminated", timeout=ENDS_S)
    assert rc.instances.get(stays.id).state == "running"
    rc.instances.terminate(stays.id, wait=True)


@pytest.mark.parametrize("idle_stop", [0.0, -1.0, 0.5, float("nan"), float("inf"), 3600.0])
def test_an_idle_stop_that_cannot_come_launches_nothing(engine: Engine, idle_stop: float) -> None:
    rc = engine({})
    before = {each.id for each in rc.instances.list(all=True)}
    with pytest.raises(InvalidRequest) as raised:
        rc.instances.create("m5.large", idle_stop=idle_stop, ttl=3600.0)
    assert len(str(raised.value).splitlines()) == 2
    assert {each.id for each in rc.instances.list(all=True)} == before
