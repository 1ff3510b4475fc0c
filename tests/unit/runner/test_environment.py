"""Requirements are installed before the script runs, kept for the next job, and fail the job when they fail.

Nothing is fetched: the one package is a wheel that lies in the project.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import sys
import time
import zipfile
from pathlib import Path

import pytest

from runctl_jupyter.run_record import AttemptKeys, CodeFile, CodeTree, JobState, Pacing, Status, blob_key
from runctl_jupyter.runner.environment import EnvironmentMaker
from runctl_jupyter.runner.folders import RootFolders
from runctl_jupyter.runner.log import JobLog
from runctl_jupyter.runner.requirements import find_requirements
from runctl_jupyter.runner.stops import StopSignal
from tests.unit.runner.machines import Machine, until

NEEDS = "import tinypkg; print('tinypkg', tinypkg.VERSION)"


def wheel(folder: Path, version: str = "1.0") -> Path:
    """Make a wheel by hand: one module."""
    info = f"tinypkg-{version}.dist-info"
    files = {
        "tinypkg.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tinypkg\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}\n"
        for name, text in files.items()
    )
    path = folder / f"tinypkg-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(name, text)
    return path


def project(machine: Machine, files: dict[str, bytes]) -> str:
    """Store a project and return the hash of its tree."""
    rows = []
    for path, data in files.items():
        digest = hashlib.sha256(data).hexdigest()
        machine.store.put(blob_key(digest), data)
        rows.append(CodeFile(path, 0o644, len(data), digest, digest, 0))
    tree = CodeTree(rows).to_json()
    digest = hashlib.sha256(tree).hexdigest()
    machine.store.put(blob_key(digest), tree)
    return digest


def run(machine: Machine, tree: str, job_id: str = "job-1", **fields: object) -> Status:
    machine.spec("", job_id, tree=tree, **fields)
    runner = machine.start(job_id, UV_OFFLINE="1", UV_CACHE_DIR=str(machine.root / "uv"))
    assert runner.wait(60) == 0, machine.log.read_text()
    return machine.status(job_id)


def own_lines(machine: Machine, job_id: str = "job-1") -> list[bytes]:
    return [line for line in machine.stream(job_id).splitlines() if line.startswith(b"runctl: ")]


def test_a_requirements_file_is_installed_once(machine: Machine, tmp_path: Path) -> None:
    path = wheel(tmp_path)
    tree = project(
        machine,
        {
            "train.py": NEEDS.encode(),
            "requirements.txt": b"./wheels/%s\n" % path.name.encode(),
            f"wheels/{path.name}": path.read_bytes(),
        },
    )
    first = run(machine, tree, requirements="requirements.txt")
    assert (first.state, first.cause) == (JobState.SUCCEEDED, None)
    assert b"tinypkg 1.0\n" in machine.stream()
    assert any(b"installing 1 requirement with uv" in line for line in own_lines(machine))
    second = run(machine, tree, "job-2", requirements="requirements.txt")
    assert second.state is JobState.SUCCEEDED
    assert machine.stream("job-2") == b"tinypkg 1.0\n"


def test_a_block_in_the_script_is_installed(machine: Machine, tmp_path: Path) -> None:
    path = wheel(tmp_path, "2.0")
    block = f'# /// script\n# requires-python = ">=3.9"\n# dependencies = ["tinypkg @ {path.as_uri()}"]\n# ///\n'
    status = run(machine, project(machine, {"train.py": (block + NEEDS).encode()}))
    assert (status.state, status.cause) == (JobState.SUCCEEDED, None)
    assert b"tinypkg 2.0\n" in machine.stream()


def test_what_cannot_be_installed_fails_the_job_and_starts_nothing(machine: Machine) -> None:
    files = {"train.py": b"open('started', 'w')", "requirements.txt": b"--no-index\nno-such-package-of-ours==1\n"}
    status = run(machine, project(machine, files), requirements="requirements.txt")
    assert (status.state, status.exit_code) == (JobState.FAILED, None)
    assert status.cause is not None
    assert status.cause.kind == "environment"
    assert "no-such-package-of-ours" in status.cause.message
    assert not list(machine.root.rglob("started"))
    assert b"no-such-package-of-ours" in machine.stream()


@pytest.mark.parametrize("wanted", [">=3.99", "==2.7.*"])
def test_a_python_that_cannot_be_had_fails_the_job(machine: Machine, wanted: str) -> None:
    block = f'# /// script\n# requires-python = "{wanted}"\n# dependencies = []\n# ///\n'
    status = run(machine, project(machine, {"train.py": block.encode()}))
    assert status.state is JobState.FAILED
    assert status.cause is not None
    assert status.cause.kind == "environment"


def test_a_broken_environment_is_made_anew(machine: Machine, tmp_path: Path) -> None:
    path = wheel(tmp_path)
    requirement = f"tinypkg @ {path.as_uri()}\n".encode()
    tree = project(machine, {"train.py": NEEDS.encode(), "requirements.txt": requirement})
    assert run(machine, tree, requirements="requirements.txt").state is JobState.SUCCEEDED
    (python,) = (machine.root / "envs").glob("*/bin/python")
    python.unlink()
    assert run(machine, tree, "job-2", requirements="requirements.txt").state is JobState.SUCCEEDED
    assert b"tinypkg 1.0\n" in machine.stream("job-2")


def test_two_jobs_that_need_the_same_install_it_once(machine: Machine, tmp_path: Path) -> None:
    path = wheel(tmp_path)
    requirement = f"tinypkg @ {path.as_uri()}\n".encode()
    tree = project(machine, {"train.py": NEEDS.encode(), "requirements.txt": requirement})
    jobs = ["job-1", "job-2", "job-3"]
    for job in jobs:
        machine.spec("", job, tree=tree, requirements="requirements.txt")
    runners = [machine.start(job, UV_OFFLINE="1", UV_CACHE_DIR=str(machine.root / "uv")) for job in jobs]
    assert [runner.wait(60) for runner in runners] == [0, 0, 0]
    assert {machine.status(job).state for job in jobs} == {JobState.SUCCEEDED}
    assert sum(b"installing" in machine.stream(job) for job in jobs) == 1


def test_cancel_while_it_waits_for_another_installation(machine: Machine, tmp_path: Path) -> None:
    requirement = f"tinypkg @ {wheel(tmp_path).as_uri()}\n".encode()
    tree = project(machine, {"train.py": NEEDS.encode(), "requirements.txt": requirement})
    assert run(machine, tree, requirements="requirements.txt").state is JobState.SUCCEEDED
    (marker,) = (machine.root / "envs").glob("*/.complete")
    marker.unlink()
    (lock,) = (machine.root / "envs").glob("*.lock")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        machine.spec("", "job-2", tree=tree, requirements="requirements.txt")
        runner = machine.start("job-2")
        until(lambda: b"waiting for another job" in machine.stream("job-2"))
        machine.store.put(AttemptKeys("job-2", 1).cancel, b"{}")
        assert runner.wait(30) == 0
    assert machine.status("job-2").state is JobState.CANCELLED


def test_a_shell_script_runs_by_its_first_line_or_by_sh(machine: Machine) -> None:
    plain = {"run.sh": b'test -z "$BASH_VERSION"; echo "sh $1"'}
    bash = {"run.sh": b'#!/usr/bin/env bash\n[[ -n "$BASH_VERSION" ]] && echo "bash $1"'}
    for job, files, said in (("job-1", plain, b"sh x\n"), ("job-2", bash, b"bash x\n")):
        status = run(machine, project(machine, files), job, script="run.sh", arguments=["x"])
        assert status.state is JobState.SUCCEEDED
        assert machine.stream(job) == said


@pytest.mark.parametrize("path", ["../out.py", "/tmp/out.py", "a/../../out.py"])
def test_a_project_that_leaves_its_folder_is_refused(machine: Machine, path: str) -> None:
    status = run(machine, project(machine, {"train.py": b"", path: b"x"}))
    assert status.state is JobState.FAILED
    assert status.cause is not None
    assert status.cause.kind == "code"
    assert not list(machine.root.rglob("out.py"))


def test_a_damaged_pack_on_the_disk_is_fetched_again(machine: Machine) -> None:
    tree = project(machine, {"train.py": b"print('whole')"})
    assert run(machine, tree).state is JobState.SUCCEEDED
    for blob in (machine.root / "blobs").iterdir():
        blob.write_bytes(b"")
    assert run(machine, tree, "job-2").state is JobState.SUCCEEDED
    assert machine.stream("job-2") == b"whole\n"


def test_bytes_that_are_not_what_was_sent_fail_the_job(machine: Machine) -> None:
    tree = project(machine, {"train.py": b"print('whole')"})
    digest = hashlib.sha256(b"print('whole')").hexdigest()
    machine.store.put(blob_key(digest), b"print('other')")
    status = run(machine, tree)
    assert status.state is JobState.FAILED
    assert status.cause is not None
    assert status.cause.kind == "code"


def test_nothing_of_the_runner_leaks_into_the_script(machine: Machine) -> None:
    script = b"import json, os; print(json.dumps(dict(os.environ)))"
    machine.spec("", tree=project(machine, {"train.py": script}))
    secrets = {"AWS_ACCESS_KEY_ID": "leak-1", "AWS_SECRET_ACCESS_KEY": "leak-2", "AWS_SESSION_TOKEN": "leak-3"}
    runner = machine.start(**secrets, RUNCTL_ROOT="leak-4", AWS_REGION="eu-west-1", PYTHONPATH=str(Path.cwd()))
    assert runner.wait(30) == 0
    assert b"leak-" not in machine.output()
    assert b"eu-west-1" in machine.output()
    assert b"PYTHONPATH" not in machine.output()


def test_a_warm_environment_costs_nothing(machine: Machine, tmp_path: Path) -> None:
    requirement = f"tinypkg @ {wheel(tmp_path).as_uri()}\n".encode()
    files = {"train.py": NEEDS.encode(), "requirements.txt": requirement}
    assert run(machine, project(machine, files), requirements="requirements.txt").state is JobState.SUCCEEDED
    work = machine.root / "jobs" / "job-1" / "1" / "work"
    log = JobLog(machine.store, AttemptKeys("job-9", 1), Pacing(), tmp_path / "stream.log")
    maker = EnvironmentMaker(
        RootFolders(machine.root), log, StopSignal(), base=sys.executable, environ={}, project="x", attempt="x"
    )
    times = []
    for _ in range(10):
        began = time.monotonic()
        needs = find_requirements(work / "train.py", work / "requirements.txt")
        found = maker.python_for(needs, work)
        times.append(time.monotonic() - began)
        assert found.environment is not None
    assert min(times) < 0.02
