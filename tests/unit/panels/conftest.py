"""Panels over a real engine, target local: its record is a folder in which a test writes what a runner would."""

from __future__ import annotations

from pathlib import Path

import pytest

from runctl_jupyter.orchestration import Runctl
from runctl_jupyter.panels import Panels
from runctl_jupyter.run_record import AttemptKeys, JobKeys, JobSpec, JobState, Status, now, to_iso
from runctl_jupyter.run_record.layout import CHUNK_OFFSET, CHUNK_ORIGIN, CHUNK_TIME

JOB_ID = "261124-100000-7k2f"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own."""
    for name in ("RUNCTL_TARGET", "RUNCTL_PROFILE", "RUNCTL_REGION", "RUNCTL_BUCKET", "RUNCTL_PROJECT_ROOT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "RUNCTL_SANDBOX_HOME"):
        place = tmp_path / "home" / name.lower()
        place.mkdir(parents=True)
        monkeypatch.setenv(name, str(place))
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Records:
    """Writes jobs the way client and runner do."""

    def __init__(self, rc: Runctl) -> None:
        self.store = rc.jobs.record.store
        self._sizes: dict[str, list[int]] = {}

    def job(self, state: JobState = JobState.RUNNING, *, job_id: str = JOB_ID, name: str = "digits") -> str:
        """Write a job without a log."""
        spec = JobSpec(job_id, name, to_iso(now()), "me", "local", "fit.py")
        self.store.put(JobKeys(job_id).spec, spec.to_json(), create_only=True)
        self._sizes[job_id] = []
        self.status(state, job_id=job_id)
        return job_id

    def chunk(self, data: bytes, *, job_id: str = JOB_ID, origin: str | None = None) -> None:
        """Write the next chunk of its log."""
        sizes = self._sizes[job_id]
        metadata = {CHUNK_OFFSET: str(sum(sizes)), CHUNK_TIME: to_iso(now())}
        if origin is not None:
            metadata[CHUNK_ORIGIN] = origin
        self.store.put(AttemptKeys(job_id, 1).chunk(len(sizes)), data, create_only=True, metadata=metadata)
        sizes.append(len(data))

    def status(self, state: JobState, *, job_id: str = JOB_ID, phase: str = "training") -> None:
        """Write its state."""
        moment, sizes = to_iso(now()), self._sizes[job_id]
        status = Status(
            job_id, 1, state, moment, "" if state.ended else phase, "runner", None, moment, moment,
            moment if state.ended else None, 0 if state.ended else None, None, len(sizes), sum(sizes), 0,
        )  # fmt: skip
        self.store.put(AttemptKeys(job_id, 1).status, status.to_json())

    def status_of(self, job_id: str) -> str:
        """Return the state that was written last."""
        return Status.from_json(self.store.get(AttemptKeys(job_id, 1).status).data).state.value


@pytest.fixture
def rc(tmp_path: Path) -> Runctl:
    """The engine on this computer."""
    return Runctl("local", cwd=tmp_path)


@pytest.fixture
def records(rc: Runctl) -> Records:
    """Writes jobs."""
    return Records(rc)


@pytest.fixture
def panels(rc: Runctl) -> Panels:
    """Panels of a door whose own place is this computer."""
    return Panels(lambda _place: rc)
