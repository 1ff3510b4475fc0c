"""What the runner measures on a machine of its own, in the record that lies on S3."""

from __future__ import annotations

from runctl_jupyter.orchestration import Job
from runctl_jupyter.run_record import AttemptKeys, JobState, Measures, Progress, Status, from_iso
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine

SOURCE = """\
for step in range(1, 51):
    print(f"step {step}/50 loss={1 / step:.3f}", flush=True)
"""


def test_phases_and_metrics_of_a_job_with_a_machine_of_its_own(engine: Engine, boto: Boto) -> None:
    job = engine({"t.py": SOURCE}).jobs.train("t.py")
    assert isinstance(job, Job)
    assert job.wait(120).state is JobState.SUCCEEDED
    s3, keys = boto("s3"), AttemptKeys(job.id, 1)

    def read(key: str) -> bytes:
        data: bytes = s3.get_object(Bucket="runctl-sandbox", Key=f"runctl/{key}")["Body"].read()
        return data

    status, measures = Status.from_json(read(keys.status)), Measures.from_json(read(keys.measures))
    assert [mark.name for mark in status.phases] == ["capacity", "boot", "code", "environment", "training", "saving"]
    times = [from_iso(mark.began_at) for mark in status.phases]
    assert times == sorted(times)
    assert status.progress == Progress(50, 50, 0.0)
    assert status.metrics == {"loss": 0.02}
    (loss,) = measures.series
    assert loss.steps == list(range(1, 51))
