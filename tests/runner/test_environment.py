"""Requirements are installed before the script runs, kept for the next job, and fail the job when they fail.

Nothing is fetched: the one package is a wheel that lies in the project.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from runctl_jupyter.run_record import AttemptKeys, CodeFile, CodeTree, JobState, Pacing, Status, blob_key
from runctl_jupyter.runner import unsaved
from runctl_jupyter.runner.environment import EnvironmentMaker
from runctl_jupyter.runner.folders import RootFolders
from runctl_jupyter.runner.log import JobLog
from runctl_jupyter.runner.requirements import find_requirements
from runctl_jupyter.runner.stops import StopSignal
from tests.runner.machines import Machine, until

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


def run(machine: Machine, tree: str, job_id: str = "job-1", cache: str | None = None, **fields: object) -> Status:
    machine.spec("", job_id, tree=tree, **fields)
    runner = machine.start(job_id, UV_OFFLINE="1", UV_CACHE_DIR=cache or str(machine.root / "uv"))
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


LOCKED = """[project]
name = "training"
version = "0.1.0"
requires-python = ">=3.9"
dependencies = ["tinypkg"]

[tool.uv.sources]
tinypkg = { path = "wheels/tinypkg-1.0-py3-none-any.whl" }
"""


def locked_project(folder: Path, pyproject: str = LOCKED) -> dict[str, bytes]:
    """Return the files of a project as ``uv lock`` leaves it."""
    (folder / "wheels").mkdir(parents=True)
    path = wheel(folder / "wheels")
    (folder / "pyproject.toml").write_text(pyproject)
    environ = {**os.environ, "UV_OFFLINE": "1", "UV_CACHE_DIR": str(folder.parent / "uv-lock-cache")}
    subprocess.run(["uv", "lock", "--quiet"], cwd=folder, env=environ, check=True)
    names = ("pyproject.toml", "uv.lock", f"wheels/{path.name}")
    return {"train.py": NEEDS.encode(), **{name: (folder / name).read_bytes() for name in names}}


def test_a_lock_is_installed_once(machine: Machine, tmp_path: Path) -> None:
    tree = project(machine, locked_project(tmp_path / "project"))
    first = run(machine, tree, requirements="uv.lock")
    assert (first.state, first.cause) == (JobState.SUCCEEDED, None)
    assert b"tinypkg 1.0\n" in machine.stream()
    assert any(b"installing what uv.lock names with uv" in line for line in own_lines(machine))
    assert run(machine, tree, "job-2", requirements="uv.lock").state is JobState.SUCCEEDED
    assert machine.stream("job-2") == b"tinypkg 1.0\n"
    assert not list((machine.root / "jobs").rglob(".venv"))


def test_a_project_without_a_lock_gets_its_dependencies(machine: Machine, tmp_path: Path) -> None:
    files = locked_project(tmp_path / "project")
    del files["uv.lock"]
    tree = project(machine, files)
    for job in ("job-1", "job-2"):
        status = run(machine, tree, job, requirements="pyproject.toml")
        assert (status.state, status.cause) == (JobState.SUCCEEDED, None)
    assert b"installing 1 requirement with uv" in machine.stream()
    assert machine.stream("job-2") == b"tinypkg 1.0\n"


BACKEND = """import zipfile
from pathlib import Path

INFO, WHEEL = "training-0.1.0.dist-info", "training-0.1.0-py3-none-any.whl"

def build_editable(folder, config_settings=None, metadata_directory=None):
    files = {
        "training.pth": str(Path("src").resolve()),
        INFO + "/METADATA": "Metadata-Version: 2.1\\nName: training\\nVersion: 0.1.0\\nRequires-Dist: tinypkg\\n",
        INFO + "/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    with zipfile.ZipFile(Path(folder, WHEEL), "w") as archive:
        for name, text in {**files, INFO + "/RECORD": "".join(name + ",,\\n" for name in files)}.items():
            archive.writestr(name, text)
    return WHEEL
"""


def test_a_project_with_a_build_system_is_importable_as_it_is_in_this_job(machine: Machine, tmp_path: Path) -> None:
    build = '\n[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = locked_project(tmp_path / "project", LOCKED + build)
    files["backend.py"] = BACKEND.encode()
    files["train.py"] = b"import tinypkg, ours; print(ours.VALUE, tinypkg.VERSION)"
    for job, value in (("job-1", b"first"), ("job-2", b"second")):
        files["src/ours.py"] = b"VALUE = '%s'" % value
        status = run(machine, project(machine, files), job, requirements="uv.lock")
        assert (status.state, status.cause) == (JobState.SUCCEEDED, None)
        assert machine.output(job).endswith(b"%s 1.0\n" % value)


def cause_of(machine: Machine, files: dict[str, bytes], requirements: str) -> str:
    status = run(machine, project(machine, files), requirements=requirements)
    assert status.state is JobState.FAILED
    assert status.cause is not None
    assert status.cause.kind == "environment"
    assert "\n" not in status.cause.message
    return status.cause.message


def test_a_lock_that_does_not_fit_is_refused(machine: Machine, tmp_path: Path) -> None:
    files = locked_project(tmp_path / "project")
    files["pyproject.toml"] = LOCKED.replace('["tinypkg"]', "[]").encode()
    assert cause_of(machine, files, "uv.lock") == (
        "uv.lock does not fit pyproject.toml: run `uv lock`, then launch again"
    )


def test_a_lock_made_with_another_index_is_not_taken_for_stale(machine: Machine, tmp_path: Path) -> None:
    """Whether the check was asked about the lock's own index shows in what fails: the download, not the check."""
    files = locked_project(tmp_path / "project")
    wheel_source = b'source = { path = "wheels/tinypkg-1.0-py3-none-any.whl" }'
    assert wheel_source in files["uv.lock"]
    registry = b'source = { registry = "https://mirror.invalid/simple" }'
    lock = files["uv.lock"].replace(wheel_source, registry)
    lock = re.sub(rb'\{ filename = "([^"]+)"', rb'{ url = "https://mirror.invalid/\1"', lock)
    lock = re.sub(rb"requires-dist = .*", b'requires-dist = [{ name = "tinypkg" }]', lock)
    files["uv.lock"] = lock
    files["pyproject.toml"] = LOCKED.partition("\n[tool.uv.sources]")[0].encode()
    message = cause_of(machine, files, "uv.lock")
    assert "mirror.invalid" in message
    assert "does not fit" not in message


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("uv.lock", b"version = [", "uv.lock"),
        ("uv.lock", b"<<<<<<< HEAD\nversion = 1\n", "uv.lock"),
        ("pyproject.toml", LOCKED.replace(">=3.9", ">=3.99").encode(), "no fitting Python"),
        ("pyproject.toml", b"[project", "pyproject.toml"),
    ],
)
def test_a_project_that_cannot_be_installed_says_why(
    machine: Machine, tmp_path: Path, name: str, text: bytes, said: str
) -> None:
    files = {**locked_project(tmp_path / "project"), name: text}
    message = cause_of(machine, files, "uv.lock")
    assert said in message
    assert "could not be installed: it failed" not in message


def test_what_never_reached_the_disk_does_not_outlive_a_power_off(machine: Machine, tmp_path: Path) -> None:
    requirement = f"tinypkg @ {wheel(tmp_path).as_uri()}\n".encode()
    tree = project(machine, {"train.py": NEEDS.encode(), "requirements.txt": requirement})
    cache = str(RootFolders(machine.root).uv_cache)
    assert run(machine, tree, requirements="requirements.txt", cache=cache).state is JobState.SUCCEEDED
    (module,) = (machine.root / "envs").glob("*/lib/python*/site-packages/tinypkg.py")
    module.write_bytes(b"")  # the same file as the cache's: both have lost their bytes
    note = module.parents[3].with_name(f"{module.parents[3].name}.1.unsaved")
    note.write_text("of another boot")
    assert run(machine, tree, "job-2", requirements="requirements.txt", cache=cache).state is JobState.SUCCEEDED
    assert b"tinypkg 1.0\n" in machine.stream("job-2")
    assert not note.exists()


def test_what_is_on_the_disk_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = RootFolders(tmp_path)
    place, other = folders.environments / ("a" * 32), folders.environments / ("b" * 32)
    folders.uv_cache.mkdir(parents=True)
    before = unsaved.Unsaved(folders)
    for each in (place, other):
        each.mkdir(parents=True)
        before.begin(each)
        assert before.survived(each)
    before.save(place)
    until(lambda: not list(folders.environments.glob(f"{place.name}.*")))
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("another\n")
    monkeypatch.setattr(unsaved, "_BOOT_ID", boot_id)
    after = unsaved.Unsaved(folders)
    assert (after.survived(place), after.survived(other)) == (True, False)
    after.begin(folders.environments / ("c" * 32))
    assert (place.exists(), other.exists(), folders.uv_cache.exists()) == (True, False, False)
