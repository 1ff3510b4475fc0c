"""A checkpoint is visible only when all of it is stored."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from runctl_jupyter.run_record import AttemptKeys, JobKeys, JobState, LatestCheckpoint, Limits
from runctl_jupyter.runner.checkpoint_files import candidates, is_whole, step_and_metrics
from tests.runner.machines import Machine, until

HEAD = "import os, pathlib, sys, time\nd = pathlib.Path(os.environ['RUNCTL_CHECKPOINT_DIR'])\n"


def check_data(machine: Machine) -> None:
    """Every visible checkpoint's files are there, whole."""
    for manifest in machine.manifests():
        prefix = JobKeys("job-1").checkpoint_data(manifest.attempt, manifest.seq)
        for file in manifest.files:
            data = machine.store.get(prefix + file.path).data
            assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256)


def latest(machine: Machine) -> LatestCheckpoint:
    return LatestCheckpoint.from_json(machine.store.get(JobKeys("job-1").latest_checkpoint).data)


def test_each_is_uploaded_while_the_script_runs(machine: Machine) -> None:
    script = HEAD + (
        "for i in range(3):\n"
        "    (d / f'step_{i}.pt.tmp').write_bytes(b'%d' % i * 1000)\n"
        "    (d / f'step_{i}.pt.tmp').rename(d / f'step_{i}.pt')\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.01)\n"
    )
    machine.spec(script)
    runner = machine.start()
    until(lambda: len(machine.manifests()) == 3)
    check_data(machine)
    assert [(m.name, m.step, m.size) for m in machine.manifests()] == [(f"step_{i}.pt", i, 1000) for i in range(3)]
    (machine.root / "jobs" / "job-1" / "1" / "work" / "go").touch()
    assert runner.wait(30) == 0
    assert machine.status().checkpoint_count == 3
    assert (latest(machine).attempt, latest(machine).seq) == (1, 2)


def test_a_slow_writer_is_not_seen_half(machine: Machine) -> None:
    script = HEAD + (
        "with (d / 'big.bin').open('wb') as f:\n"
        "    for _ in range(8):\n"
        "        f.write(b'x' * 1000); f.flush(); time.sleep(0.2)\n"
    )
    machine.run(script)
    assert [(m.name, m.size) for m in machine.manifests()] == [("big.bin", 8000)]
    check_data(machine)


def test_a_name_written_again_is_a_new_checkpoint(machine: Machine) -> None:
    script = HEAD + (
        "(d / 'last.bin').write_bytes(b'1')\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.01)\n"
        "(d / 'last.bin').write_bytes(b'22')\n"
    )
    machine.spec(script)
    runner = machine.start()
    until(lambda: len(machine.manifests()) == 1)
    (machine.root / "jobs" / "job-1" / "1" / "work" / "go").touch()
    assert runner.wait(30) == 0
    assert [m.size for m in machine.manifests()] == [1, 2]
    check_data(machine)
    assert latest(machine).seq == 1


def test_what_was_being_written_when_it_was_killed_is_not_saved(machine: Machine) -> None:
    script = HEAD + (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "(d / 'good.bin').write_bytes(b'good')\n"
        "f = (d / 'half.bin').open('wb')\n"
        "print('ready', flush=True)\n"
        "while True: f.write(b'x'); f.flush(); time.sleep(0.01)\n"
    )
    machine.spec(script, limits=Limits(grace_s=0.3))
    runner = machine.start()
    until(lambda: b"ready" in machine.stream())
    machine.store.put(AttemptKeys("job-1", 1).cancel, b"{}")
    assert runner.wait(30) == 0
    assert [m.name for m in machine.manifests()] == ["good.bin"]
    assert b"half.bin is not whole" in machine.stream()


def test_a_folder_with_a_mark_is_one_checkpoint(machine: Machine) -> None:
    script = HEAD + (
        "import json\nc = d / 'checkpoint-40'; c.mkdir()\n"
        "(c / 'config.json').write_text('{}')\n(c / 'weights.bin').write_bytes(b'w' * 50)\n"
        "(c / 'trainer_state.json').write_text(json.dumps({'global_step': 40, 'log_history': [{'loss': 0.5}]}))\n"
        "(d / 'run').mkdir(); (d / 'run' / 'epoch-2.bin').write_bytes(b'e')\n"
    )
    machine.run(script)
    found = {m.name: m for m in machine.manifests()}
    assert set(found) == {"checkpoint-40", "run/epoch-2.bin"}
    whole = found["checkpoint-40"]
    assert (whole.format, whole.step, whole.metrics["loss"]) == ("huggingface", 40, 0.5)
    assert [f.path for f in whole.files] == ["config.json", "trainer_state.json", "weights.bin"]
    check_data(machine)


def test_an_upload_that_fails_to_the_end_fails_the_job(machine: Machine) -> None:
    """A promise not kept is reported: a file stands where the checkpoints go."""
    script = HEAD + "(d / 'a.bin').write_bytes(b'a')"
    spec = machine.spec(script)
    blocked = machine.store.path(JobKeys(spec.id).checkpoints_prefix.rstrip("/"))
    blocked.write_text("in the way")
    from runctl_jupyter.runner.attempt import Attempt, Patience
    from runctl_jupyter.runner.folders import RootFolders
    from runctl_jupyter.runner.opening import open_machine
    from runctl_jupyter.runner.stops import StopSignal
    from runctl_jupyter.runner.supervisor import Supervisor

    at, store = open_machine(str(machine.store.root), None, None, {"PATH": "/usr/bin:/bin"})
    attempt = Attempt(store, spec, 1, RootFolders(machine.root), at, StopSignal(), Patience(save_s=1.0))
    Supervisor(attempt).run()
    status = machine.status()
    assert (status.state, status.exit_code) == (JobState.FAILED, 0)
    assert status.cause is not None
    assert status.cause.kind == "upload"
    assert machine.manifests() == []


def test_safetensors_tell_step_and_metrics_without_unpickling(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": np.ones(3)}, path, metadata={"step": "12", "accuracy": "0.93", "note": "x"})
    (candidate,) = candidates(tmp_path)
    assert is_whole(candidate)
    assert step_and_metrics(candidate) == (12, {"accuracy": 0.93})
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert not is_whole(candidate)


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_cut_zip_is_not_whole(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.ones(100))
    (candidate,) = candidates(tmp_path)
    assert is_whole(candidate)
    path.write_bytes(path.read_bytes()[:-cut])
    assert not is_whole(candidate)


@pytest.mark.parametrize("header", [b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]", json.dumps({"a": 1}).encode()])
def test_a_lying_header_is_not_whole(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(header or b"x")
    (candidate,) = candidates(tmp_path)
    assert not is_whole(candidate)
    assert step_and_metrics(candidate) == (None, {})


@pytest.mark.parametrize(
    ("name", "step"),
    [("step_6100.bin", 6100), ("epoch-3.bin", 3), ("e003.bin", 3), ("model.bin", None), ("run2/epoch4.bin", 4)],
)
def test_steps_in_names(tmp_path: Path, name: str, step: int | None) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"x")
    (candidate,) = candidates(tmp_path)
    assert step_and_metrics(candidate)[0] == step


def test_unfinished_and_hidden_files_are_left_alone(tmp_path: Path) -> None:
    for name in (".hidden", "a.tmp", "b.part", "c.lock", "empty.bin"):
        (tmp_path / name).write_bytes(b"" if name == "empty.bin" else b"x")
    assert candidates(tmp_path) == []
