"""Jobs from submission to end, on a machine of the sandbox: what changed in the bucket and on the machine."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from runctl_jupyter.orchestration import Instance, Job, Runctl
from runctl_jupyter.orchestration.errors import (
    InstanceBusy,
    InstanceNotFound,
    InstanceNotReady,
    InvalidRequest,
    JobNotFound,
    ProjectTooBig,
    RunctlError,
)
from runctl_jupyter.orchestration.instances.describe import is_ours
from runctl_jupyter.run_record import JobState
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine

PRINTER = """\
import sys, time
for i in range(200):
    print(f"line {i}", flush=True)
    time.sleep(0.01)
"""
SLEEPER = "import os, time; print(os.getpid(), flush=True); time.sleep(300)\n"


def job_of(found: object) -> Job:
    assert isinstance(found, Job)
    return found


def first_line(job: Job) -> str:
    return next(iter(job.logs(follow=True, script_only=True))).decode().splitlines()[0]


def machines(rc: Runctl) -> set[str]:
    return {i.id for i in rc.instances.list(all=True)}


def test_a_job_ends_well_and_leaves_its_record(engine: Engine, dev: Instance, boto: Boto) -> None:
    script = """
        import os, pathlib
        from lib import value
        print("value", value, os.environ["RUNCTL_PARAM_LR"])
        d = pathlib.Path(os.environ["RUNCTL_CHECKPOINT_DIR"])
        (d / "step_10.pt").write_bytes(b"weights" * 1000)
        pathlib.Path(os.environ["RUNCTL_OUTPUT_DIR"], "result.txt").write_text("42")
    """
    rc = engine(
        {"train.py": textwrap.dedent(script), "lib.py": "value = 7\n", "data/big": "x", ".gitignore": "data/\n"}
    )
    job = job_of(rc.jobs.train("train.py", on=dev.id, params={"lr": "0.1"}, name="first")).wait(60)
    assert (job.state, job.exit_code) == (JobState.SUCCEEDED, 0)
    assert job.logs(script_only=True).read() == b"value 7 0.1\n"
    assert job.instance_id == dev.id
    (checkpoint,) = job.checkpoints()
    assert (checkpoint.name, checkpoint.step, checkpoint.latest, checkpoint.complete) == ("step_10.pt", 10, True, True)
    s3 = boto("s3")
    key = checkpoint.uri.removeprefix("s3://runctl-sandbox/")
    data = s3.get_object(Bucket="runctl-sandbox", Key=key)["Body"].read()
    assert hashlib.sha256(data).hexdigest() == hashlib.sha256(b"weights" * 1000).hexdigest()
    outputs = f"runctl/jobs/{job.id}/outputs/result.txt"
    assert s3.get_object(Bucket="runctl-sandbox", Key=outputs)["Body"].read() == b"42"
    assert job.cost_usd == pytest.approx(0.096 * 60 / 3600)
    again = rc.jobs.get("first")
    assert (again.id, again.to_dict()["state"]) == (job.id, "succeeded")
    assert rc.jobs.get(job.id[-4:]).id == job.id


def test_failure_is_the_exit_code(engine: Engine, dev: Instance) -> None:
    job = job_of(engine({"t.py": "print('Training complete'); raise SystemExit(3)"}).jobs.train("t.py", on=dev.id))
    assert job.wait(60).state is JobState.FAILED
    assert job.exit_code == 3


def test_every_line_once_for_two_followers(engine: Engine, dev: Instance) -> None:
    rc = engine({"t.py": PRINTER})
    job = job_of(rc.jobs.train("t.py", on=dev.id))
    seen: list[bytes] = []
    other = threading.Thread(target=lambda: seen.append(rc.jobs.get(job.id).logs(follow=True).read()))
    job.launched(30)
    other.start()
    mine = job.logs(follow=True).read()
    other.join(60)
    expected = b"".join(b"line %d\n" % i for i in range(200))
    assert mine == expected
    assert seen == [expected]


def test_a_cell_is_a_job(engine: Engine, dev: Instance) -> None:
    job = job_of(engine({}).jobs.train(cell="print('from a cell', __file__.rsplit('/')[-1])\n", on=dev.id)).wait(60)
    assert job.logs(script_only=True).text() == "from a cell runctl_cell.py\n"


def test_cancel_ends_the_process(engine: Engine, dev: Instance) -> None:
    job = job_of(engine({"t.py": SLEEPER}).jobs.train("t.py", on=dev.id))
    pid = int(first_line(job))
    job.cancel()
    assert job.state is JobState.CANCELLED
    if os.environ.get("RUNCTL_TEST_MODE", "plain") == "plain":
        assert not psutil.pid_exists(pid)
    with pytest.raises(InvalidRequest, match="ended already"):
        job.cancel()


def test_the_launching_process_may_die(engine: Engine, dev: Instance, tmp_path: Path) -> None:
    rc = engine({"t.py": PRINTER})
    code = f"""
import sys
from runctl_jupyter.orchestration import Runctl
job = Runctl(target="sandbox", cwd={str(tmp_path / "project")!r}).jobs.train("t.py", on={dev.id!r})
next(iter(job.logs(follow=True)))
print(job.id, flush=True)
job.wait()
"""
    launcher = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    job_id = launcher.stdout.readline().strip()
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    launcher.stdout.close()
    job = rc.jobs.get(job_id).wait(60)
    assert job.state is JobState.SUCCEEDED
    assert job.logs(script_only=True).read() == b"".join(b"line %d\n" % i for i in range(200))


def test_a_job_with_its_own_machine_ends_it(engine: Engine, boto: Boto) -> None:
    rc = engine({"t.py": "print('alone')"})
    job = job_of(rc.jobs.train("t.py", instance_type="m5.large", name="alone")).launched(30)
    assert job.wait(60).state is JobState.SUCCEEDED
    assert job.logs(script_only=True).read() == b"alone\n"
    assert job.instance_id is not None
    gone = rc.instances.wait(job.instance_id, until="terminated", timeout=30)
    assert gone.tags["runctl:job"] == job.id
    assert gone.state_reason


def test_cancel_before_it_begins_ends_the_machine(engine: Engine) -> None:
    rc = engine({"t.py": SLEEPER})
    job = job_of(rc.jobs.train("t.py", instance_type="m5.large")).launched(30)
    job.cancel(timeout=60)
    assert job.state is JobState.CANCELLED
    assert job.instance_id is not None
    rc.instances.wait(job.instance_id, until="terminated", timeout=30)


def test_a_machine_that_goes_interrupts_the_job(engine: Engine) -> None:
    rc = engine({"t.py": SLEEPER})
    instance = rc.instances.create("m5.large", wait=True)
    assert isinstance(instance, Instance)
    job = job_of(rc.jobs.train("t.py", on=instance.id))
    first_line(job)
    with pytest.raises(InstanceBusy, match=job.id):
        rc.instances.terminate(instance.id)
    rc.instances.terminate(instance.id, force=True, wait=True)
    assert job.wait(60).state is JobState.INTERRUPTED
    assert job.cause is not None
    assert instance.id in job.cause.message


def test_requirements_that_cannot_be_installed_fail_the_job(engine: Engine, dev: Instance) -> None:
    block = "# /// script\n# dependencies = ['no-such-package-of-runctl @ file:///nowhere/x.whl']\n# ///\n"
    rc = engine({"t.py": block + "print('no')\n"})
    job = job_of(rc.jobs.train("t.py", on=dev.id)).wait(60)
    assert job.state is JobState.FAILED
    assert job.cause is not None
    assert job.cause.kind == "environment"
    assert job.exit_code is None
    assert job.logs(script_only=True).read() == b""


def nothing_happens(rc: Runctl, act: Callable[[], object], error: type[RunctlError], said: str) -> None:
    before, jobs = machines(rc), len(rc.jobs.list())
    with pytest.raises(error, match=said) as raised:
        act()
    what, advice = str(raised.value).split("\n")
    assert what
    assert advice
    assert machines(rc) == before
    assert len(rc.jobs.list()) == jobs


def test_bad_input_launches_nothing(engine: Engine, dev: Instance) -> None:
    rc = engine({"t.py": "print(1)"})
    train, create = rc.jobs.train, rc.instances.create
    nothing_happens(rc, lambda: create("m5.lrge"), InvalidRequest, r"m5.lrge")
    nothing_happens(rc, lambda: create("m5.lrge", dry_run=True), InvalidRequest, r"m5.lrge")
    nothing_happens(rc, lambda: train("t.py", instance_type="g99.banana"), InvalidRequest, "g99.banana")
    nothing_happens(rc, lambda: train("nope.py", on=dev.id), InvalidRequest, "no script")
    nothing_happens(rc, lambda: train("../t.py", on=dev.id), InvalidRequest, "outside the project")
    nothing_happens(rc, lambda: train(cell="  ", on=dev.id), InvalidRequest, "empty")
    nothing_happens(rc, lambda: train("t.py", on="nobody"), InstanceNotFound, "no instance 'nobody'")
    nothing_happens(rc, lambda: train("t.py", on="i-0123456789abcdef0"), InstanceNotFound, "EC2 knows no")
    nothing_happens(rc, lambda: rc.jobs.get("zzzz"), JobNotFound, "zzzz")
    nothing_happens(rc, lambda: rc.storage.list("s3:/oops"), InvalidRequest, "not an S3 address")
    nothing_happens(rc, lambda: rc.storage.list("s3://no-such-bucket-here/"), RunctlError, "no-such-bucket-here")


def test_a_project_that_is_too_big_launches_nothing(engine: Engine, dev: Instance, tmp_path: Path) -> None:
    rc = engine({"t.py": "print(1)", ".runctl.toml": "[sync]\nmax_mb = 1\n"})
    with (tmp_path / "project" / "big.bin").open("wb") as big:
        big.truncate(2_000_000)
    rc = Runctl(target="sandbox", cwd=tmp_path / "project")
    nothing_happens(rc, lambda: rc.jobs.train("t.py", on=dev.id), ProjectTooBig, "big.bin")


def test_a_stopped_machine_takes_no_job_and_starts_again(engine: Engine) -> None:
    rc = engine({"t.py": "print(1)"})
    instance = rc.instances.create("m5.large", name="stops", wait=True)
    assert isinstance(instance, Instance)
    with pytest.raises(InvalidRequest, match="named 'stops' already"):
        rc.instances.create("m5.large", name="stops")
    assert rc.instances.stop("stops", wait=True).state == "stopped"
    nothing_happens(rc, lambda: rc.jobs.train("t.py", on="stops"), InstanceNotReady, "is stopped")
    assert rc.instances.start("stops").state == "running"
    assert job_of(rc.jobs.train("t.py", on="stops")).wait(60).state is JobState.SUCCEEDED
    assert rc.instances.terminate("stops", wait=True).state == "terminated"
    nothing_happens(rc, lambda: rc.jobs.train("t.py", on=instance.id), InstanceNotReady, "terminated")


def test_the_time_limit_ends_the_machine_also_after_a_start(engine: Engine) -> None:
    rc = engine({})
    short = rc.instances.create("m5.large", ttl=2.0, wait=True)
    assert isinstance(short, Instance)
    assert short.expires_at is not None
    rc.instances.wait(short.id, until="terminated", timeout=30)
    again = rc.instances.create("m5.large", ttl=6.0, wait=True)
    assert isinstance(again, Instance)
    rc.instances.stop(again.id, wait=True)
    assert rc.instances.start(again.id).state == "running"
    rc.instances.wait(again.id, until="terminated", timeout=30)


def test_a_machine_without_our_tag_is_not_ours(dev: Instance, boto: Boto) -> None:
    described = boto("ec2").describe_instances(InstanceIds=[dev.id])["Reservations"][0]["Instances"][0]
    assert is_ours(described)
    assert not is_ours({**described, "Tags": [{"Key": "Name", "Value": "theirs"}]})


def test_a_plan_launches_nothing(engine: Engine) -> None:
    rc = engine({"t.py": "print(1)"})
    before = machines(rc)
    plan = rc.jobs.train("t.py", instance_type="g5.xlarge", dry_run=True, ttl=3600)
    assert plan.to_dict()["price_per_hour"] == 1.006
    beside = 0.08 * plan.to_dict()["volume_gib"] / 730 + 0.005  # gp3 and a public address
    assert plan.to_dict()["total_at_ttl_usd"] == pytest.approx(1.006 + beside)
    assert "Deep Learning" in plan.to_dict()["image_name"]
    assert machines(rc) == before


def test_many_jobs_on_one_machine_do_not_touch_each_other(engine: Engine, dev: Instance) -> None:
    script = "import pathlib, time\nfor i in range(20): open('log', 'a').write('x'); time.sleep(0.02)\n"
    rc = engine({"t.py": script + "print(len(pathlib.Path('log').read_text()))"})
    started = time.monotonic()
    jobs = [job_of(rc.jobs.train("t.py", on=dev.id, name=f"many-{i}")) for i in range(4)]
    for job in jobs:
        assert job.wait(90).state is JobState.SUCCEEDED, (job, time.monotonic() - started)
        assert job.logs(script_only=True).read() == b"20\n"
