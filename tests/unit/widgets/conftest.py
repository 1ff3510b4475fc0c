"""Widgets without a front end: comms that a test holds the other end of."""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import comm
import pytest

from runctl_jupyter.orchestration import Runctl
from runctl_jupyter.orchestration.jobs.job import Job

DEADLINE_S = 20.0


class FakeComm(comm.base_comm.BaseComm):
    """The kernel's end of a comm; what it publishes is kept for the test, which is the front end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.opened: dict[str, Any] = {}
        self.published: queue.Queue[dict[str, Any]] = queue.Queue()
        self.closes = 0
        super().__init__(*args, **kwargs)

    def publish_msg(self, msg_type: str, data: Any = None, **_: Any) -> None:
        if msg_type == "comm_open":
            self.opened = data
        elif msg_type == "comm_close":
            self.closes += 1
        elif data.get("method") == "custom":
            self.published.put(data["content"])

    def say(self, content: dict[str, Any]) -> None:
        """Send a custom message, as a view does."""
        data = {"method": "custom", "content": content}
        self.handle_msg({"content": {"data": data}, "buffers": []})

    def hear(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the next message that is wanted; others before it are passed over."""
        end = time.monotonic() + DEADLINE_S
        while True:
            message = self.published.get(timeout=max(end - time.monotonic(), 0.01))
            if wanted(message):
                return message


@pytest.fixture(autouse=True)
def _comms(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Open comms to the test, and close every widget after it: their feeds have threads."""
    from ipywidgets import Widget

    manager = comm.base_comm.CommManager()
    monkeypatch.setattr(comm, "get_comm_manager", lambda: manager)
    monkeypatch.setattr(comm, "create_comm", FakeComm)
    yield
    Widget.close_all()


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
def local(project: Path) -> Runctl:
    """The engine on this computer."""
    return Runctl("local", cwd=project)


@pytest.fixture
def job(local: Runctl) -> Job:
    """A job that has ended, in a record that is a folder."""
    from runctl_jupyter.run_record import AttemptKeys, JobKeys, JobSpec, JobState, Status, now, to_iso

    job_id, moment = f"261124-100000-{uuid.uuid4().hex[:4]}", to_iso(now())
    spec = JobSpec(job_id, "digits", moment, "ada", "local", "fit.py")
    status = Status(job_id, 1, JobState.SUCCEEDED, moment, "", "runner", None, moment, moment, moment, 0)
    store = local.jobs.record.store
    store.put(JobKeys(job_id).spec, spec.to_json(), create_only=True)
    store.put(AttemptKeys(job_id, 1).status, status.to_json(), create_only=True)
    return local.jobs.get(job_id)
