"""A machine in a folder: a record, a project, and the real runner as a process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import psutil

from runctl_jupyter.run_record import (
    AttemptKeys,
    CheckpointManifest,
    CodeFile,
    CodeTree,
    FolderStore,
    JobKeys,
    JobSpec,
    NotFound,
    Pacing,
    Status,
    blob_key,
)

T = TypeVar("T")
QUICK = Pacing(heartbeat_s=0.2, control_s=0.05, checkpoint_scan_s=0.05)


def until(look: Callable[[], T], seconds: float = 20.0) -> T:
    """Wait until `look` returns something true, and return that."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


class Machine:
    """The record, the machine's folder, and the runners started on it."""

    def __init__(self, tmp_path: Path) -> None:
        self.store = FolderStore(tmp_path / "record")
        self.root = tmp_path / "machine"
        self.log = tmp_path / "runner.out"
        self.started: list[subprocess.Popen[bytes]] = []

    def spec(self, source: str, job_id: str = "job-1", **fields: Any) -> JobSpec:
        data = source.encode()
        pack = hashlib.sha256(data).hexdigest()
        self.store.put(blob_key(pack), data)
        tree = CodeTree([CodeFile("train.py", 0o644, len(data), pack, pack, 0)]).to_json()
        digest = hashlib.sha256(tree).hexdigest()
        self.store.put(blob_key(digest), tree)
        spec = JobSpec(job_id, "test", "2026-01-01T00:00:00.000Z", "me", "local", "train.py", tree=digest, pacing=QUICK)
        spec = replace(spec, **fields)
        self.store.put(JobKeys(job_id).spec, spec.to_json())
        return spec

    def start(self, job_id: str = "job-1", *, detach: bool = False, **env: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "runctl_jupyter.runner", "--record", str(self.store.root)]
        command += ["--job", job_id, "--attempt", "1", "--root", str(self.root)]
        command += ["--detach"] if detach else []
        with self.log.open("ab") as out:
            process = subprocess.Popen(
                command, env={**os.environ, "RUNCTL_PYTHON": sys.executable, **env}, stdout=out, stderr=out
            )
        self.started.append(process)
        return process

    def end(self) -> None:
        """End what was started and is still there."""
        for process in self.started:
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()
            process.wait()

    def run(self, source: str, **fields: Any) -> Status:
        """Run a job to its end."""
        spec = self.spec(source, **fields)
        assert self.start(spec.id).wait(60) == 0, self.log.read_text()
        return self.status(spec.id)

    def status(self, job_id: str = "job-1") -> Status:
        return Status.from_json(self.store.get(AttemptKeys(job_id, 1).status).data)

    def maybe_status(self, job_id: str = "job-1") -> Status | None:
        try:
            return self.status(job_id)
        except NotFound:
            return None

    def stream(self, job_id: str = "job-1") -> bytes:
        """The log as a reader sees it: chunk after chunk, until one is missing."""
        data = b""
        for seq in range(10**8):
            try:
                chunk = self.store.get(AttemptKeys(job_id, 1).chunk(seq))
            except NotFound:
                return data
            assert int(chunk.metadata["offset"]) == len(data)
            data += chunk.data
        raise AssertionError

    def output(self, job_id: str = "job-1") -> bytes:
        """What the script itself printed, without the runner's own lines."""
        lines = self.stream(job_id).splitlines(keepends=True)
        return b"".join(line for line in lines if not line.startswith(b"runctl: "))

    def manifests(self, job_id: str = "job-1") -> list[CheckpointManifest]:
        folder = self.store.path(f"jobs/{job_id}/checkpoints") if self.store.root.exists() else Path("/nowhere")
        paths = sorted(folder.glob("*-*.json")) if folder.is_dir() else []
        return [CheckpointManifest.from_json(path.read_bytes()) for path in paths]
