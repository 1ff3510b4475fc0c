"""A machine whose clock jumps an hour, forth and back, in the middle of a training."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from runctl_jupyter.orchestration import Instance, Runctl
from runctl_jupyter.orchestration.jobs.judge import judge
from runctl_jupyter.orchestration.jobs.record import JobRecord
from runctl_jupyter.orchestration.storage.folder import ListableFolder
from runctl_jupyter.orchestration.targets.local import LocalTarget
from runctl_jupyter.run_record import AttemptKeys, JobKeys, JobState, LatestCheckpoint, Limits, from_iso
from runctl_jupyter.run_record.layout import CHUNK_TIME
from runctl_jupyter.runner.files import FolderFiles
from runctl_jupyter.runner.resume import candidates_for_resume
from tests.faults.conftest import Row
from tests.faults.training import (
    BUCKET,
    PREFIX,
    Follower,
    Training,
    Watch,
    check_success,
    expected_log,
    objects_under,
    run_on,
)
from tests.runner.machines import QUICK, Machine, until
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine

HOUR = timedelta(hours=1)
JUMPS = ("+3600", "-3600")
LINES = 300
PRINTER = f"import time\nfor i in range({LINES}):\n    print('line', i, flush=True)\n    time.sleep(0.01)\n"
# Where libfaketime leaves the monotonic clock alone, its `clock_nanosleep` refuses moments of that clock (0.9.10).
SLEEP_BY_SELECT = "import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds) and None\n"


@pytest.fixture(scope="session")
def faketime() -> str:
    """Path of libfaketime."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        missing = "there is no libfaketime (Debian: apt-get install faketime)"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return str(found[0])


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    """A machine in a folder; nothing of it lives on."""
    found = Machine(tmp_path)
    yield found
    found.end()


def faked(library: str, clock: str, programs: str) -> Mapping[str, str]:
    """Return the variables of a program whose wall clock is off by what the file `clock` says, just then."""
    return {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": clock,
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
        "PYTHONPATH": programs,
    }


@pytest.mark.parametrize("jump", JUMPS)
def test_no_limit_and_no_reader_is_misled(here: Machine, tmp_path: Path, faketime: str, jump: str) -> None:
    clock = tmp_path / "clock"

    def set_clock(offset: str) -> None:
        (tmp_path / "new").write_text(f"{offset}\n")
        (tmp_path / "new").replace(clock)

    set_clock("+0")
    (tmp_path / "sitecustomize.py").write_text(SLEEP_BY_SELECT)
    limits = Limits(ttl_s=600, timeout_s=600, max_cost_usd=0.5, idle_stop_s=600)
    spec = here.spec(PRINTER, limits=limits, price_per_hour=1.0)
    programs = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    keeper = here.start(**faked(faketime, str(clock), programs))
    store = ListableFolder(here.store.root)
    record, target = JobRecord(store), LocalTarget(store, here.root)
    until(lambda: b"line 50\n" in here.stream())
    before = here.status()
    set_clock(jump)
    jumped = time.monotonic()
    heartbeats = set()
    while keeper.poll() is None:
        seen = record.look(spec.id)
        heartbeats.add(seen.status.updated_at)
        assert judge(record, target, seen) is False
        time.sleep(0.05)
    assert keeper.returncode == 0
    assert len(heartbeats) > (time.monotonic() - jumped) / QUICK.heartbeat_s / 10
    status = here.status()
    assert abs((from_iso(status.updated_at) - from_iso(before.updated_at)).total_seconds()) > 3000
    assert (status.state, status.exit_code, status.cause) == (JobState.SUCCEEDED, 0, None)
    assert here.output() == b"".join(b"line %d\n" % i for i in range(LINES))
    assert status.log_bytes == len(here.stream())
    assert status.cost_usd == pytest.approx(1.0 * 60 / 3600, abs=1e-6)
    assert not store.exists(AttemptKeys(spec.id, 1).revival)


INSTALL = """\
set -eu
root="${RUNCTL_ROOT:-/var/lib/runctl}/clock"
real=$(command -v python3)
mkdir -p "$root"
echo +0 > "$root/now"
cat > "$root/sitecustomize.py" <<'END'
SLEEP
END
cat > "${PATH%%:*}/python3" <<END
#!/bin/sh
exec env SETTINGS "$real" "\\$@"
END
chmod +x "${PATH%%:*}/python3"
"""


def test_signatures_stay_good(
    engine: Engine, machine: Instance, watcher: Runctl, boto: Boto, row: Row, faketime: str
) -> None:
    """S3 refuses requests that are signed more than 15 minutes off its own clock."""
    settings = " ".join(f'{name}="{value}"' for name, value in faked(faketime, "$root/now", "$root").items())
    run_on(boto, machine.id, INSTALL.replace("SLEEP\n", SLEEP_BY_SELECT).replace("SETTINGS", settings))
    training = Training(lines=200, rate=50.0)
    job = training.start(engine, on=machine.id)
    with Watch(watcher, job.id) as watch:
        follower = Follower(job)
        for line, jump in zip((50, 120), JUMPS, strict=True):
            follower.await_line(line)
            run_on(boto, machine.id, f'cd "${{RUNCTL_ROOT:-/var/lib/runctl}}/clock" && echo {jump} > new && mv new now')
        assert follower.result() == expected_log(training.lines)
        job.wait(60)
        count = check_success(job, boto, training)
    assert watch.failures == []
    assert job.cost_usd == pytest.approx(0.096 * 60 / 3600, abs=1e-6)
    s3, off = boto("s3"), set()
    for key in objects_under(boto, f"{AttemptKeys(job.id, 1).prefix}logs/"):
        found = s3.head_object(Bucket=BUCKET, Key=PREFIX + key)
        difference = from_iso(found["Metadata"][CHUNK_TIME]) - found["LastModified"]
        off.add(round(difference / HOUR))
    assert off == {0, 1, -1}
    row("clock jumps +1 h, then -1 h", job, count, hits=2)


SAVER = """\
import os, pathlib, time
saved = pathlib.Path(os.environ["RUNCTL_CHECKPOINT_DIR"])
for step, off in ((1, 3600), (2, 3600), (3, 0), (4, -3600), (5, -3600)):
    path = saved / f"step_{step}.bin"
    path.write_bytes(b"%d" % step * 1000)
    os.utime(path, (time.time() + off, time.time() + off))
    print("saved", step, flush=True)
    while not pathlib.Path(f"go-{step}").exists():
        time.sleep(0.01)
"""


def test_the_newest_checkpoint_is_the_last_that_was_written(here: Machine) -> None:
    """Not the one with the latest time: after the clock was put back it would be resumed from for an hour."""
    here.spec(SAVER)
    keeper = here.start()
    for step in range(1, 6):
        until(lambda step=step: f"saved {step}\n".encode() in here.output())
        until(lambda step=step: len(here.manifests()) == step or step == 5)
        (here.root / f"jobs/job-1/1/work/go-{step}").touch()
    assert keeper.wait(60) == 0
    assert [manifest.step for manifest in here.manifests()] == [1, 2, 3, 4, 5]
    latest = LatestCheckpoint.from_json(here.store.get(JobKeys("job-1").latest_checkpoint).data)
    assert (latest.attempt, latest.seq) == (1, 4)
    assert [found.seq for found in candidates_for_resume(FolderFiles(here.store.root), "job-1")] == [4, 3, 2, 1, 0]
