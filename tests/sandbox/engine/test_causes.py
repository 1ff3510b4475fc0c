"""Why a job failed: one word for programs and a sentence for people, as every door shows it."""

from __future__ import annotations

import pytest

from runctl_jupyter.orchestration import Instance
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine
from tests.sandbox.engine.running import BUCKET, end_of, failed, printed, said, stored, succeeded
from tests.sandbox.engine.test_jobs import job_of

HUNGRY = "held = []\nwhile True:\n    held.append(bytearray(50 << 20))\n"
GPU = """\
class OutOfMemoryError(RuntimeError): pass
OutOfMemoryError.__module__ = "torch.cuda"
raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 15.77 GiB")
"""


@pytest.mark.parametrize(
    ("files", "kind", "words", "code", "signal"),
    [
        ({"t.py": "import sys; print('Training complete'); sys.exit(7)"}, "exit", "exit code 7", 7, None),
        ({"t.py": "raise ValueError('loss is nan')"}, "exit", "ValueError: loss is nan", 1, None),
        ({"t.py": "import os; os.kill(os.getpid(), 11)"}, "signal", "SIGSEGV", 139, 11),
        ({"t.py": "import os; os.kill(os.getpid(), 9)"}, "signal", "SIGKILL", 137, 9),
        ({"t.py": "import yaml_of_nobody.reader"}, "missing-module", "yaml_of_nobody", 1, None),
        ({"t.py": GPU}, "cuda-out-of-memory", "Tried to allocate 20.00 GiB", 1, None),
        ({"t.sh": "ulimit -v 600000\npython3 hungry.py", "hungry.py": HUNGRY}, "out-of-memory", "MemoryError", 1, None),
    ],
    ids=["exit", "exception", "segfault", "kill", "module", "gpu", "memory"],
)
def test_what_ended_a_script(
    engine: Engine, dev: Instance, files: dict[str, str], kind: str, words: str, code: int, signal: int | None
) -> None:
    job = end_of(engine(files).jobs.train(next(iter(files)), on=dev.id))
    shown = job.to_dict()
    assert (shown["state"], shown["exit_code"]) == ("failed", code)
    assert (shown["cause"]["kind"], shown["cause"]["signal"]) == (kind, signal)
    assert words in shown["cause"]["message"]
    assert len(shown["cause"]["message"].splitlines()) == 1


def test_a_script_that_ends_well_has_no_cause(engine: Engine, dev: Instance) -> None:
    source = "print('Traceback (most recent call last):\\nMemoryError\\nCUDA out of memory')"
    assert succeeded(engine({"t.py": source}).jobs.train("t.py", on=dev.id)).to_dict()["cause"] is None


def test_what_the_machine_may_not_use_fails_the_job(engine: Engine, dev: Instance, boto: Boto) -> None:
    """At once, because each is tried for a while: a fresh role may not have all its rights yet."""
    source = "import os; open(os.environ['RUNCTL_OUTPUT_DIR'] + '/result', 'w').write('42'); print('ran')"
    rc = engine({"t.py": source})
    theirs = "s3://bucket-of-somebody-else/set/"
    data = job_of(rc.jobs.train("t.py", on=dev.id, data_s3=theirs))
    checkpoint = job_of(rc.jobs.train("t.py", on=dev.id, resume=theirs))
    output = job_of(rc.jobs.train("t.py", on=dev.id, output_s3=theirs))
    for job, kind in ((data, "data"), (checkpoint, "resume")):
        what, _ = failed(job, kind)
        assert "bucket-of-somebody-else" in what
        assert (job.exit_code, printed(job)) == (None, [])
    shown = end_of(output).to_dict()
    assert (shown["state"], shown["exit_code"], shown["cause"]["kind"]) == ("failed", 0, "upload")
    assert "result" in shown["cause"]["message"]
    assert (shown["output_count"], printed(output)) == (0, ["ran"])
    assert any("NOT" in line for line in said(output)), said(output)
    assert stored(boto, f"runctl/jobs/{output.id}/outputs/") == {}
    assert BUCKET not in shown["cause"]["message"]
