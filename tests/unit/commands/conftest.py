"""Doors over a real engine, target local: its record is a folder in which a test writes what a runner would."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration import Runctl
from runctl_jupyter.orchestration.model import Instance, LaunchPlan
from runctl_jupyter.run_record import (
    AttemptKeys,
    Cause,
    CheckpointManifest,
    JobKeys,
    JobSpec,
    JobState,
    Status,
    now,
    to_iso,
)
from runctl_jupyter.run_record.layout import CHUNK_OFFSET, CHUNK_TIME
from runctl_jupyter.run_record.schemas import CheckpointFile, Limits

JOB_ID = "261124-100000-7k2f"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project as working directory, and a home of its own."""
    for name in ("RUNCTL_TARGET", "RUNCTL_PROFILE", "RUNCTL_REGION", "RUNCTL_BUCKET", "RUNCTL_PROJECT_ROOT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "IPYTHONDIR", "RUNCTL_SANDBOX_HOME"):
        place = tmp_path / "home" / name.lower()
        place.mkdir(parents=True)
        monkeypatch.setenv(name, str(place))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "fit.py").write_text("print('hello')\n")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Runctl:
    """The engine on this computer, which is what every door uses in this test."""
    monkeypatch.setenv("RUNCTL_TARGET", "local")
    return Runctl()


WriteJob = Callable[..., str]


@pytest.fixture
def write_job(local: Runctl) -> WriteJob:
    """Write the record of a job, the way a runner leaves it; returns its id."""

    def write(
        log: bytes = b"hello\n",
        state: JobState = JobState.SUCCEEDED,
        *,
        name: str = "digits",
        job_id: str = JOB_ID,
        checkpoints: int = 0,
        exit_code: int | None = 0,
        cause: Cause | None = None,
        chunk_bytes: int = 1 << 20,
        limits: Limits | None = None,
    ) -> str:
        store, moment = local.jobs.record.store, to_iso(now())
        spec = JobSpec(
            job_id, name, to_iso(now() - timedelta(seconds=72)), "me", "local", "fit.py", limits=limits or Limits()
        )
        keys = AttemptKeys(job_id, 1)
        chunks = [log[i : i + chunk_bytes] for i in range(0, len(log), chunk_bytes)]
        for seq, chunk in enumerate(chunks):
            place = {CHUNK_OFFSET: str(seq * chunk_bytes), CHUNK_TIME: moment}
            store.put(keys.chunk(seq), chunk, create_only=True, metadata=place)
        for seq in range(checkpoints):
            file = CheckpointFile(f"epoch-{seq:03d}.safetensors", 1000, "0" * 64)
            manifest = CheckpointManifest(
                file.path, 1, seq, moment, "safetensors", 1000, [file], step=seq, metrics={"accuracy": 0.5 + seq / 100}
            )
            store.put(
                f"{JobKeys(job_id).checkpoint_data(1, seq).rstrip('/')}.json", manifest.to_json(), create_only=True
            )
        status = Status(
            job_id, 1, state, moment, "" if state.ended else "training", "runner", None, moment, moment,
            moment if state.ended else None, exit_code if state.ended else None, cause, len(chunks), len(log),
            checkpoints,
        )  # fmt: skip
        store.put(JobKeys(job_id).spec, spec.to_json(), create_only=True)
        store.put(keys.status, status.to_json(), create_only=True)
        return job_id

    return write


INSTANCE = Instance(
    "i-0123456789abcdef0", "dev", "running", "m5.large", False, "us-east-1a", now(), 0.096, 0.0016, {"Name": "dev"}
)
PLAN = LaunchPlan(
    "m5.large", "ami-1", "ubuntu", "us-east-1", ["us-east-1a"], 30, False, 0.096, "shipped table", 28800.0, 0.768
)


class Recorder:
    """Stands for a noun of the engine; answers every verb with `answer` and remembers what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((verb, args, kwargs))
            return self.answer

        return call


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Recorder]:
    """What every door asks of instances, jobs, storage and checkpoints, recorded instead of done."""
    nouns = {name: Recorder(INSTANCE) for name in ("instances", "jobs", "storage", "checkpoints", "resources")}
    for name, recorder in nouns.items():
        monkeypatch.setattr(Runctl, name, recorder)
    return nouns
