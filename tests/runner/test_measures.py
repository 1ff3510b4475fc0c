"""What is measured while a job runs, by its effects in the record."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import psutil

from runctl_jupyter.run_record import (
    AttemptKeys,
    AttemptPlan,
    JobState,
    Measures,
    NotFound,
    PhaseMark,
    Progress,
    SeriesColumns,
    from_iso,
)
from runctl_jupyter.runner.attempt import Attempt
from runctl_jupyter.runner.attempt import Machine as RealMachine
from runctl_jupyter.runner.files import FolderFiles
from runctl_jupyter.runner.folders import RootFolders
from runctl_jupyter.runner.imds import Imds
from runctl_jupyter.runner.machine_samples import MachineGauge
from runctl_jupyter.runner.phases import opening_phases, with_phase
from runctl_jupyter.runner.stops import StopSignal
from tests.runner import event_writer
from tests.runner.machines import Machine, until
from tests.runner.services import Metadata, serve

RUNNER = "runctl-runner"
KEYS = AttemptKeys("job-1", 1)
TRAINING = """
import time
for i in range(1, {steps} + 1):
    print(f'step {{i}}/{steps} loss={{1 / i:.4f}}', flush=True)
    time.sleep({pause})
"""


def measures(machine: Machine) -> Measures:
    try:
        return Measures.from_json(machine.store.get(KEYS.measures).data)
    except NotFound:
        return Measures()


def series(machine: Machine, name: str = "loss") -> SeriesColumns | None:
    return next((each for each in measures(machine).series if each.name == name), None)


def test_metrics_progress_and_machine_while_it_runs(machine: Machine) -> None:
    machine.spec("print('warming up', flush=True)\n" + TRAINING.format(steps=100_000, pause=0.01))
    machine.start()
    loss = until(lambda: series(machine), 60)
    assert loss.steps[0] == 1
    assert loss.values[0] == 1.0
    assert abs(loss.times[0] - time.time()) < 60
    status = until(lambda: (found := machine.maybe_status()) and found.machine and found, 60)
    assert status.state is JobState.RUNNING
    until(lambda: machine.status().metrics.get("loss", 1.0) < 1.0, 60)
    progress = until(lambda: (found := machine.status().progress) and found.left_s and found, 60)
    assert progress.total == 100_000
    columns = until(lambda: measures(machine).machine, 60)
    assert columns.memory_total == psutil.virtual_memory().total
    assert len(columns.times) == len(columns.cpu_percent) == len(columns.gpu_percent)


def test_all_is_there_at_the_end(machine: Machine) -> None:
    status = machine.run(TRAINING.format(steps=300, pause=0) + "print('final_acc: 0.75', end='')")
    assert status.progress == Progress(300, 300, 0.0)
    assert status.metrics == {"loss": 0.0033, "final_acc": 0.75}
    loss = series(machine)
    assert loss is not None
    assert loss.steps == list(range(1, 301))
    assert loss.source == "log"
    assert measures(machine).log_bytes == len(machine.stream())


def test_a_job_that_measures_nothing(machine: Machine) -> None:
    status = machine.run("print('hello')")
    assert status.state is JobState.SUCCEEDED
    assert (status.progress, status.metrics) == (None, {})
    assert measures(machine).series == []


def test_a_status_stays_small_whatever_is_printed(machine: Machine) -> None:
    status = machine.run(
        "for i in range(3):\n    print(*(f'{n:x>64}={n + i / 7}' for n in range(10, 35)), f'{chr(120) * 60}{i}=1')\n"
    )
    assert len(status.metrics) == 16
    assert len(machine.store.get(KEYS.status).data) < 4096


def test_event_files_where_a_script_writes_them(machine: Machine) -> None:
    writer = event_writer.source().split("def source")[0] + "".join(
        "def " + part for part in event_writer.source().split("def ")[2:]
    )
    script = writer + (
        "\nimport os, time, pathlib\n"
        "for name, folder in [('a', 'runs/x'), ('b', os.environ['RUNCTL_OUTPUT_DIR'])]:\n"
        "    folder = pathlib.Path(folder)\n    folder.mkdir(parents=True, exist_ok=True)\n"
        "    with open(folder / 'events.out.tfevents.1', 'wb') as stream:\n"
        "        for step in range(5):\n"
        "            stream.write(record(event(time.time(), step, simple(name, step / 2))))\n"
    )
    status = machine.run(script)
    assert status.state is JobState.SUCCEEDED, machine.stream()
    for name in ("a", "b"):
        found = series(machine, name)
        assert found is not None
        assert (found.source, found.steps) == ("tensorboard", [0, 1, 2, 3, 4])
        assert found.values == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert status.metrics == {"a": 2.0, "b": 2.0}


def test_a_runner_that_follows_goes_on(machine: Machine, tmp_path: Path) -> None:
    go = tmp_path / "go"
    wait = f"import os\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
    first, second = TRAINING.format(steps=200, pause=0), TRAINING.format(steps=400, pause=0)
    machine.spec(first + wait + second.replace("range(1,", "range(201,"))
    keeper = machine.start()
    until(lambda: (found := series(machine)) and found.steps[-1] == 200)
    first_samples = until(lambda: measures(machine).machine)
    runner = until(lambda: [each for each in psutil.Process(keeper.pid).children() if each.name() == RUNNER])
    os.kill(runner[0].pid, signal.SIGKILL)
    until(lambda: b"another one goes on" in machine.stream())
    go.touch()
    keeper.wait(60)
    status = machine.status()
    assert status.state is JobState.SUCCEEDED
    loss = series(machine)
    assert loss is not None
    assert loss.steps == list(range(1, 401)), "none is lost or doubled"
    assert status.progress == Progress(400, 400, 0.0)
    columns = measures(machine).machine
    assert columns is not None
    assert columns.times[0] == first_samples.times[0]
    assert [mark.name for mark in status.phases] == ["code", "environment", "training", "saving"]


def test_a_store_that_does_not_take_them_does_no_harm(machine: Machine) -> None:
    machine.store.path(KEYS.measures).mkdir(parents=True)
    status = machine.run(TRAINING.format(steps=50, pause=0))
    assert status.state is JobState.SUCCEEDED
    assert status.metrics == {"loss": 0.02}
    assert b"measures.json cannot be written" in machine.log.read_bytes()


def test_phases_of_a_job_on_a_machine_that_runs(machine: Machine) -> None:
    status = machine.run("print(1)")
    assert [mark.name for mark in status.phases] == ["code", "environment", "training", "saving"]
    times = [from_iso(mark.began_at) for mark in status.phases]
    assert times == sorted(times)
    assert status.phases[0].began_at == status.claimed_at


class Launched(Metadata):
    """The metadata of a machine that EC2 began to start at 10:00:30."""

    def text(self, path: str) -> str | None:
        if path == "dynamic/instance-identity/document":
            return json.dumps({"instanceId": "i-1", "pendingTime": "2026-01-01T10:00:30Z"})
        return super().text(path)


def attempt_of(machine: Machine, number: int, metadata: str | None, *, end_machine: bool) -> Attempt:
    spec = machine.spec("", created_at="2026-01-01T10:00:00.000Z", end_machine=end_machine)
    imds = Imds(metadata) if metadata else None
    return Attempt(
        FolderFiles(machine.store.root),
        spec,
        number,
        RootFolders(machine.root),
        RealMachine({}, imds),
        StopSignal(),
    )


CLAIMED = "2026-01-01T10:01:00.000Z"


def test_a_machine_of_its_own_had_to_be_found_and_to_boot(machine: Machine) -> None:
    with serve(Launched().handler()) as url:
        attempt = attempt_of(machine, 1, url, end_machine=True)
        assert opening_phases(attempt, CLAIMED) == [
            PhaseMark("capacity", "2026-01-01T10:00:00.000Z"),
            PhaseMark("boot", "2026-01-01T10:00:30.000Z"),
            PhaseMark("code", CLAIMED),
        ]
        plan = AttemptPlan(2, "2026-01-01T10:00:30.700Z", end_machine=True)
        machine.store.put(AttemptKeys("job-1", 2).plan, plan.to_json())
        again = opening_phases(replace(attempt, number=2), CLAIMED)
        assert [mark.began_at for mark in again[:2]] == [plan.created_at, plan.created_at]
        on_running = attempt_of(machine, 1, url, end_machine=False)
        assert opening_phases(on_running, CLAIMED) == [PhaseMark("code", CLAIMED)]


def test_metadata_that_do_not_tell_when_it_was_launched(machine: Machine) -> None:
    with serve(Metadata().handler()) as url:
        attempt = attempt_of(machine, 1, url, end_machine=True)
        assert [mark.name for mark in opening_phases(attempt, CLAIMED)] == ["capacity", "code"]


def test_a_phase_that_goes_on_is_not_listed_again() -> None:
    phases: list[PhaseMark] = []
    for phase in ("code", "data", "resume", "inputs", "environment", "training", "training"):
        phases = with_phase(phases, phase)
    assert [mark.name for mark in phases] == ["code", "data", "environment", "training"]
    assert with_phase([], "resume")[0].detail == "the checkpoint to go on from"


def test_how_busy_a_machine_is(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 600 kB\nSwapTotal: 5 kB\n")
    (tmp_path / "stat").write_text("cpu  100 0 100 9000 50 0 0 0 0 0\ncpu0 1 1 1 1\n")
    gauge = MachineGauge(tmp_path)
    began = time.monotonic()
    (tmp_path / "stat").write_text("cpu  200 0 100 9900 50 0 0 0 0 0\ncpu0 1 1 1 1\n")
    until(lambda: time.monotonic() - began > 0.05)
    sample = gauge.sample()
    assert sample is not None
    assert (sample.memory_used, sample.memory_total) == (400 * 1024, 1000 * 1024)
    assert sample.cpu_percent is not None
    assert 0 < sample.cpu_percent <= 100 * (100 / os.sysconf("SC_CLK_TCK")) / 0.05


def test_a_system_that_tells_nothing_gives_no_sample(tmp_path: Path) -> None:
    assert MachineGauge(tmp_path / "none").sample() is None
