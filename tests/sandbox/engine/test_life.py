"""Stopping a machine under a job: the job saves first, and goes on when the machine is there again."""

from __future__ import annotations

from pathlib import Path

import pytest

from runctl_jupyter.orchestration import Instance
from runctl_jupyter.orchestration.errors import InstanceProtected
from runctl_jupyter.orchestration.waiting import wait_until
from runctl_jupyter.run_record import JobState
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine
from tests.sandbox.engine.running import printed
from tests.sandbox.engine.test_jobs import first_line, job_of

SAVES_WHEN_TOLD = """
import os, signal, sys, time
from pathlib import Path

folder = Path(os.environ["RUNCTL_CHECKPOINT_DIR"])
began = os.environ.get("RUNCTL_RESUME_FROM")
if began:
    print("goes on from", Path(began).name)
    sys.exit()

def save(name):
    (folder / f"{name}.part").write_bytes(b"state" * 100)
    (folder / f"{name}.part").rename(folder / f"{name}.bin")

def told(*_):
    save("step_2")
    sys.exit(143)

signal.signal(signal.SIGTERM, told)
save("step_1")
print("begun", flush=True)
while True:
    time.sleep(0.1)
"""


def test_a_stop_saves_the_job_and_keeps_its_own_machine(engine: Engine) -> None:
    rc = engine({"t.py": SAVES_WHEN_TOLD})
    job = job_of(rc.jobs.train("t.py", instance_type="m5.large", name="saves"))
    first_line(job)
    machine = job.refresh().instance_id
    assert machine is not None
    rc.instances.protect(machine)
    with pytest.raises(InstanceProtected, match="runctl protect"):
        rc.instances.terminate(machine, force=True)
    assert rc.instances.get(machine).state == "running"

    wait_until(job.checkpoints, bool, timeout=30, what="No checkpoint.", to_resolve="Look.")
    stopped = rc.instances.stop(machine, wait=True)
    assert stopped.state == "stopped"
    assert stopped.state_reason == "stopped by a user"
    ended = job.refresh()
    assert (ended.state, ended.cause and ended.cause.kind) == (JobState.INTERRUPTED, "user")
    assert [each.name for each in ended.checkpoints()] == ["step_1.bin", "step_2.bin"]
    assert any(f"runctl resume {job.id}" in each and "step_2.bin" in each for each in stopped.keeps), stopped.keeps

    assert rc.instances.start(machine).state == "running"
    going = ended.resume(on=machine).wait(60)
    assert going.state is JobState.SUCCEEDED
    assert printed(going)[-1].startswith("goes on from")
    assert rc.instances.get(machine).state == "running"
    rc.instances.protect(machine, off=True)
    gone = rc.instances.terminate(machine, wait=True)
    assert (gone.state, gone.state_reason) == ("terminated", "ended by a user")
    assert any("disks" in each for each in gone.loses), gone.loses


def test_the_time_limit_survives_a_reboot(engine: Engine, boto: Boto, sandbox: Connection) -> None:
    rc = engine({})
    machine = rc.instances.create("m5.large", ttl=25.0, wait=True)
    assert isinstance(machine, Instance)
    boots = Path(sandbox.home) / "hosts" / machine.id / "boots.json"
    boto("ssm").send_command(
        InstanceIds=[machine.id], DocumentName="AWS-RunShellScript", Parameters={"commands": ["reboot"]}
    )
    wait_until(boots.read_text, lambda text: text == "2", timeout=20, what="No reboot.", to_resolve="Look.")
    gone = rc.instances.wait(machine.id, until="terminated", timeout=60)
    assert gone.state_reason_code == "Client.InstanceInitiatedShutdown"


def test_a_forced_stop_keeps_the_machine_too_and_a_start_saves_what_was_left(engine: Engine) -> None:
    rc = engine({"t.py": SAVES_WHEN_TOLD})
    job = job_of(rc.jobs.train("t.py", instance_type="m5.large", name="cut-off"))
    first_line(job)
    machine = job.refresh().instance_id
    assert machine is not None
    assert rc.instances.stop(machine, wait=True, force=True).state == "stopped"
    assert rc.instances.start(machine).state == "running"
    assert job.wait(60).state is JobState.INTERRUPTED
    assert "step_1.bin" in {each.name for each in job.checkpoints()}
    # Its runner has ended, and with it the last that could power the machine off.
    probe = rc.jobs.train(cell="print('still there')", on=machine)
    assert job_of(probe).wait(60).state is JobState.SUCCEEDED
    rc.instances.terminate(machine, wait=True)
