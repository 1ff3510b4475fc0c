"""`processes`: what runs on a machine, from outside, with the job that each process belongs to."""

from __future__ import annotations

import json

import pytest

from runctl_jupyter.display.values import notebook_bundle, value_text
from runctl_jupyter.orchestration import Instance
from runctl_jupyter.orchestration.errors import InstanceNotReady
from tests.sandbox.engine.conftest import Engine
from tests.sandbox.engine.test_jobs import first_line, job_of

WORKS = """
print("begun", flush=True)
while True:
    pass
"""


def test_a_job_is_seen_at_work_and_gpus_of_the_type_are_named(engine: Engine) -> None:
    rc = engine({"t.py": WORKS})
    machine = rc.instances.create("g5.xlarge", name="looks", wait=True)
    assert isinstance(machine, Instance)
    job = job_of(rc.jobs.train("t.py", on=machine.id))
    first_line(job)
    seen = rc.instances.processes("looks")
    (script,) = (each for each in seen.processes if each.command.endswith("t.py") and each.job == job.id)
    assert script.cpu_percent > 5
    assert all("look.pyz" not in each.command for each in seen.processes)
    (gpu,) = seen.gpus
    assert "A10G" in gpu.name
    assert (gpu.memory_used, gpu.celsius) == (0, 30.0)
    assert any(disk.mount == "/" for disk in seen.disks)
    assert seen.notes == []
    assert json.loads(json.dumps(seen.to_dict()))["processes"][0]["pid"]
    text = value_text(seen)
    assert job.id in text
    assert "GPU 0" in text
    assert "<table>" in notebook_bundle(seen)["text/html"]
    job.cancel()
    rc.instances.stop(machine.id, wait=True)
    with pytest.raises(InstanceNotReady, match="stopped"):
        rc.instances.processes(machine.id)
    rc.instances.terminate(machine.id, wait=True)
