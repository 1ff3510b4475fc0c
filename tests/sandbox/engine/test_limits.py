"""Limits of time, money and idleness hold on the machine, whoever still watches; what was saved by then is kept."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration import Instance, Job, Runctl
from runctl_jupyter.run_record import JobState
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine
from tests.sandbox.engine.running import end_of, printed, stored
from tests.sandbox.engine.test_jobs import job_of

STAYS = """\
import os, pathlib, signal, sys, time
def told_to_end(*_):
    pathlib.Path(os.environ["RUNCTL_CHECKPOINT_DIR"], "step_9.bin").write_bytes(b"the last" * 1000)
    pathlib.Path(os.environ["RUNCTL_OUTPUT_DIR"], "last.txt").write_text("told to end")
    print("saved", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, told_to_end)
print("begun", flush=True)
if "--work" in sys.argv:
    while True:
        sum(range(10_000))
        print("works", flush=True)
        time.sleep(0.05)
time.sleep(300)
"""
ALONE = """\
from runctl_jupyter.orchestration import Runctl
job = Runctl(target="sandbox", cwd={folder!r}).jobs.train("t.py", on={on!r}, arguments=["--work"], timeout=3.0)
job.launched(60)
print(job.id, flush=True)
job.wait()
"""


def capped(job: Job, kind: str) -> dict[str, Any]:
    """Return the keys of a job that a limit has ended."""
    shown = end_of(job).to_dict()
    assert (shown["state"], shown["cause"]["kind"]) == ("capped", kind), (shown, job.logs().text())
    return shown


def has_saved(job: Job, boto: Boto) -> None:
    """See that what the script did when it was told to end is in S3."""
    assert printed(job)[-1] == "saved"
    (checkpoint,) = job.checkpoints()
    assert (checkpoint.name, checkpoint.size, checkpoint.latest) == ("step_9.bin", 8000, True)
    saved = stored(boto, f"runctl/jobs/{job.id}/checkpoints/1-00000/")
    assert saved == {"step_9.bin": b"the last" * 1000}
    assert stored(boto, f"runctl/jobs/{job.id}/outputs/") == {"last.txt": b"told to end"}


def is_gone(rc: Runctl, job: Job) -> None:
    """See that the job's own machine ended itself."""
    assert job.instance_id is not None
    gone = rc.instances.wait(job.instance_id, until="terminated", timeout=60)
    assert gone.state_reason_code == "Client.InstanceInitiatedShutdown", gone.state_reason


def test_each_limit_ends_the_job_and_its_own_machine(engine: Engine, boto: Boto) -> None:
    rc = engine({"t.py": STAYS})
    limits: dict[str, dict[str, float]] = {
        "timeout": {"timeout": 2.0},
        "ttl": {"ttl": 5.0},
        "max-cost": {"max_cost": 0.000001},
        "idle": {"idle_stop": 2.0},
    }
    jobs = {
        kind: job_of(
            rc.jobs.train("t.py", instance_type="m5.large", arguments=[] if kind == "idle" else ["--work"], **limit)
        )
        for kind, limit in limits.items()
    }
    for kind, job in jobs.items():
        shown = capped(job, kind)
        assert shown["cost_usd"] == pytest.approx(0.096 * 60 / 3600)  # a machine's first minute costs the same
        if kind == "max-cost":
            # The first minute is paid anyhow and costs more than that: the script was not begun, or not for long.
            assert "begun" not in printed(job) or printed(job)[-1] == "saved"
        else:
            has_saved(job, boto)
        is_gone(rc, job)


def test_a_job_that_works_is_not_idle(engine: Engine, dev: Instance) -> None:
    rc = engine({"t.py": STAYS})
    job = job_of(rc.jobs.train("t.py", on=dev.id, arguments=["--work"], idle_stop=1.0, timeout=4.0))
    capped(job, "timeout")


def test_a_limit_holds_without_the_launching_process(engine: Engine, dev: Instance, boto: Boto, tmp_path: Path) -> None:
    rc = engine({"t.py": STAYS})
    source = ALONE.format(folder=str(tmp_path / "project"), on=dev.id)
    launcher = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    job_id = launcher.stdout.readline().strip()
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    launcher.stdout.close()
    job = rc.jobs.get(job_id)
    assert job.state is not JobState.CAPPED
    capped(job, "timeout")
    has_saved(job, boto)
    assert rc.instances.get(dev.id).state == "running"  # the limit is the job's; the machine takes others
