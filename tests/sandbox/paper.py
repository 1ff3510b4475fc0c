"""The engine against a control plane on paper, and jobs that a test plays the runner of."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from runctl_jupyter.orchestration import Runctl
from runctl_jupyter.run_record import (
    AttemptKeys,
    CheckpointManifest,
    EndRequest,
    JobKeys,
    JobSpec,
    JobState,
    NotFound,
    Status,
    now,
    to_iso,
)
from runctl_jupyter.run_record.schemas import CheckpointFile
from runctl_jupyter.sandbox.connection import Connection
from runctl_jupyter.sandbox.hosts.base import (
    HostServices,
    HostSpec,
    RunningScript,
    ScriptEnd,
    ScriptResult,
    ShellScript,
)
from tests.paper_hosts import PaperHost, PaperHosts, paper_sandbox


class Done:
    """A script that has ended."""

    def __init__(self, exit_code: int) -> None:
        self._exit_code = exit_code

    def cancel(self) -> None:
        """Nothing to cancel."""

    def result(self) -> ScriptResult:
        """Return its end."""
        return ScriptResult(ScriptEnd.EXITED, self._exit_code, "", "told to fail" if self._exit_code else "", 0.0)


class ObedientHost(PaperHost):
    """A machine on paper whose agent takes every script for done; what it was sent is kept."""

    def __init__(self, spec: HostSpec, services: HostServices, private_ip: str) -> None:
        super().__init__(spec, services, private_ip)
        self.scripts: list[str] = []
        self.exit_code = 0

    def start_script(self, script: ShellScript) -> RunningScript:
        """Note it."""
        self.scripts.append(script.text)
        return Done(self.exit_code)


class ObedientHosts(PaperHosts):
    """Makes them."""

    make = ObedientHost


@dataclass
class Paper:
    """A control plane on paper, and the engine that uses it."""

    connection: Connection
    hosts: PaperHosts
    home: Path

    def engine(self) -> Runctl:
        """Return an engine with a session of its own, as another kernel has it."""
        return Runctl(target="sandbox", cwd=self.home)

    def host(self, instance_id: str) -> ObedientHost:
        """Return a machine."""
        found = self.hosts.hosts[instance_id]
        assert isinstance(found, ObedientHost)
        return found


@contextmanager
def on_paper(home: Path, *, max_instances: int = 64) -> Iterator[Paper]:
    """Yield a control plane, and let engines of this process use it."""
    home.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNCTL_SANDBOX_HOME", str(home / "sandbox"))
        for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            patch.setenv(name, str(home / name.lower()))
        with paper_sandbox(home / "sandbox", max_instances=max_instances, hosts=ObedientHosts()) as (connection, hosts):
            yield Paper(connection, hosts, home)


class PlayedJob:
    """The record of a job that runs on an instance, kept by a test in the runner's place."""

    def __init__(self, rc: Runctl, job_id: str, instance_id: str, *, checkpoints: int = 0) -> None:
        self.id, self.keys = job_id, AttemptKeys(job_id, 1)
        self.record = rc.jobs.record
        self.asked: EndRequest | None = None
        moment = to_iso(now())
        spec = JobSpec(job_id, job_id, moment, "me", "sandbox", "t.py", instance_id=instance_id)
        self.record.write_spec(spec)
        for seq in range(checkpoints):
            file = CheckpointFile(f"step_{seq}.pt", 10, "0" * 64)
            manifest = CheckpointManifest(file.path, 1, seq, moment, "torch", 10, [file])
            self.record.store.put(JobKeys(job_id).checkpoint_manifest(1, seq), manifest.to_json())
        status = Status(
            job_id,
            1,
            JobState.RUNNING,
            moment,
            instance_id=instance_id,
            claimed_at=moment,
            checkpoint_count=checkpoints,
        )
        self.record.store.put(self.keys.status, status.to_json())
        self._over = threading.Event()

    def obey(self) -> threading.Thread:
        """Wait for a request to end, in a thread, and end as it says."""

        def runner() -> None:
            while self.asked is None and not self._over.wait(0.02):
                try:
                    self.asked = EndRequest.from_json(self.record.store.get(self.keys.cancel).data)
                except NotFound:
                    continue
                self.end(self.asked.state)

        thread = threading.Thread(target=runner, daemon=True)
        thread.start()
        return thread

    def end(self, state: JobState) -> None:
        """Write its end."""
        self._over.set()
        seen = self.record.look(self.id)
        self.record.update(seen, replace(seen.status, state=state, ended_at=to_iso(now())))
