"""Many jobs at once on one machine: each keeps to itself, and what they share is brought once."""

from __future__ import annotations

from pathlib import Path

from runctl_jupyter.orchestration import Instance
from runctl_jupyter.sandbox.connection import Connection
from tests.runner.test_environment import wheel
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine
from tests.sandbox.engine.running import BUCKET, Downloads, printed, said, stored, succeeded

JOBS, OBJECTS = 8, 40
SCRIPT = """\
import os, pathlib, sys, time, tinypkg
data = sorted(p.read_text() for p in pathlib.Path(os.environ["RUNCTL_DATA_DIR"]).iterdir())
own = os.environ["RUNCTL_PARAM_NUMBER"]
for step in range(3):
    with open("log", "a") as log:
        log.write(own)
    pathlib.Path(os.environ["RUNCTL_CHECKPOINT_DIR"], f"step_{step}.bin").write_text(own * 100)
    time.sleep(0.02)
pathlib.Path(os.environ["RUNCTL_OUTPUT_DIR"], "own.txt").write_text(own)
root = pathlib.Path(os.environ["RUNCTL_OUTPUT_DIR"]).parents[3]
print(own, tinypkg.VERSION, len(data), len(set(data)), pathlib.Path("log").read_text())
"""


def test_eight_at_once(engine: Engine, dev: Instance, boto: Boto, sandbox: Connection, tmp_path: Path) -> None:
    s3 = boto("s3")
    for number in range(OBJECTS):
        s3.put_object(Bucket=BUCKET, Key=f"many/{number:03}.txt", Body=f"object {number}".encode())
    rc = engine({"t.py": SCRIPT})
    path = wheel(tmp_path / "project", "8.0")
    (tmp_path / "project" / "requirements.txt").write_text(f"./{path.name}\n")
    downloads = Downloads(sandbox, "many/*")
    try:
        numbers = [f"<{number}>" for number in range(JOBS)]
        jobs = [
            rc.jobs.train("t.py", on=dev.id, name=f"many-{i}", params={"number": own}, data_s3=f"s3://{BUCKET}/many/")
            for i, own in enumerate(numbers)
        ]
        ended = [succeeded(job) for job in jobs]
        assert downloads.since() <= 2 * OBJECTS
    finally:
        downloads.close()
    for job, own in zip(ended, numbers, strict=True):
        assert printed(job) == [f"{own} 8.0 {OBJECTS} {OBJECTS} {own * 3}"]
        assert stored(boto, f"runctl/jobs/{job.id}/outputs/") == {"own.txt": own.encode()}
        saved = stored(boto, f"runctl/jobs/{job.id}/checkpoints/")
        files = {name: data for name, data in saved.items() if not name.endswith(".json")}
        assert set(files.values()) == {own.encode() * 100}
        assert len(files) == job.checkpoint_count == 3
    assert sum(any("installing" in line for line in said(job)) for job in ended) == 1
    assert len({job.id for job in ended}) == JOBS
