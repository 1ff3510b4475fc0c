"""What a script leaves in ``RUNCTL_OUTPUT_DIR`` is in S3 whatever its end was, and while it runs."""

from __future__ import annotations

import functools
import uuid

import pytest

from runctl_jupyter.orchestration import Instance, Job, Runctl
from runctl_jupyter.orchestration.jobs import submit
from runctl_jupyter.run_record import JobSpec, JobState, Pacing
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine
from tests.sandbox.engine.running import BUCKET, end_of, said, stored
from tests.sandbox.engine.test_jobs import first_line, job_of
from tests.sandbox.engine.test_logs import await_that

FILES = {"result.json": b'{"loss": 0.5}', "plots/\u00fc 1+1.bin": bytes(range(256)) * 300, "empty": b""}
SCRIPT = f"""
import os, pathlib, signal, sys, time
folder = pathlib.Path(os.environ["RUNCTL_OUTPUT_DIR"])
def write(name, data):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
def told_to_end(*_):
    write("last.txt", b"saved when told to end")
    write("result.json", b"the last")
    sys.exit(0)
signal.signal(signal.SIGTERM, told_to_end)
for name, data in {FILES!r}.items():
    write(name, data)
print("written", flush=True)
if sys.argv[1] == "stay":
    time.sleep(300)
sys.exit(int(sys.argv[1]))
"""
TOLD = FILES | {"last.txt": b"saved when told to end", "result.json": b"the last"}


def run(rc: Runctl, how: str, *, on: str, output_s3: str | None) -> Job:
    argument = {"succeeded": "0", "failed": "3"}.get(how, "stay")
    timeout = 1.0 if how == "capped" else None
    job = job_of(rc.jobs.train("t.py", on=on, arguments=[argument], output_s3=output_s3, timeout=timeout))
    if how == "cancelled":
        assert first_line(job) == "written"
        return job.cancel()
    return end_of(job)


@pytest.mark.parametrize(
    ("how", "elsewhere"), [("succeeded", False), ("failed", True), ("cancelled", False), ("capped", True)]
)
def test_all_are_there_at_every_end(engine: Engine, dev: Instance, boto: Boto, how: str, elsewhere: bool) -> None:
    prefix = f"outputs/{uuid.uuid4().hex}"
    job = run(engine({"t.py": SCRIPT}), how, on=dev.id, output_s3=f"s3://{BUCKET}/{prefix}" if elsewhere else None)
    assert job.state == how
    in_record = f"runctl/jobs/{job.id}/outputs/"
    found = stored(boto, f"{prefix}/" if elsewhere else in_record)
    assert found == (FILES if how in ("succeeded", "failed") else TOLD)
    shown = job.to_dict()
    assert (shown["output_count"], shown["output_bytes"]) == (len(found), sum(map(len, found.values())))
    assert elsewhere is not bool(stored(boto, in_record))
    assert any(line.startswith(f"outputs: {len(found)} files") and "verified" in line for line in said(job))


def test_they_come_while_the_script_runs(
    engine: Engine, dev: Instance, boto: Boto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "JobSpec", functools.partial(JobSpec, pacing=Pacing(output_s=0.3)))
    rc = engine({"t.py": SCRIPT})
    job = job_of(rc.jobs.train("t.py", on=dev.id, arguments=["stay"]))
    await_that(lambda: stored(boto, f"runctl/jobs/{job.id}/outputs/") == FILES)
    await_that(lambda: job.refresh().to_dict()["output_count"] == len(FILES))
    assert job.state is JobState.RUNNING
    assert job.to_dict()["output_bytes"] == sum(map(len, FILES.values()))
    job.cancel()
    assert stored(boto, f"runctl/jobs/{job.id}/outputs/") == TOLD
    assert job.to_dict()["output_bytes"] == sum(map(len, TOLD.values()))
