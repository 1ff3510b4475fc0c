"""A run key finds the very run again while it runs, from any process that reads the record."""

from __future__ import annotations

from runctl_jupyter.orchestration import Instance
from tests.sandbox.engine.conftest import Engine
from tests.sandbox.engine.running import end_of
from tests.sandbox.engine.test_jobs import SLEEPER, first_line, job_of


def test_it_finds_the_run_until_its_end(engine: Engine, dev: Instance) -> None:
    rc, elsewhere = engine({"t.py": SLEEPER}), engine({})
    assert rc.jobs.running("key-1") is None
    job = job_of(rc.jobs.train("t.py", on=dev.id, run_key="key-1"))
    other = job_of(rc.jobs.train("t.py", on=dev.id, run_key="key-2"))
    for each in (job, other):
        first_line(each)
    for key, each in (("key-1", job), ("key-2", other)):
        found = elsewhere.jobs.running(key)
        assert found is not None
        assert (found.id, found.state.ended) == (each.id, False)
    assert elsewhere.jobs.running("key-3") is None
    job.cancel()
    other.cancel()
    assert elsewhere.jobs.running("key-1") is None
    again = job_of(rc.jobs.resume(job.id))  # the same run once more: its next attempt
    first_line(again)
    found = elsewhere.jobs.running("key-1")
    assert found is not None
    assert (found.id, found.attempt) == (job.id, 2)
    again.cancel()
    assert end_of(rc.jobs.get(job.id)).state == "cancelled"
    assert elsewhere.jobs.running("key-1") is None
