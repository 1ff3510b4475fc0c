"""Faults, each test with a machine of its own in the sandbox of its process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration import Instance, Job, Runctl
from runctl_jupyter.sandbox.connection import Connection
from tests.faults.training import FaultBox, LogCount, table_row
from tests.sandbox.conftest import boto, sandbox
from tests.sandbox.engine.conftest import Engine, engine

__all__ = ["boto", "engine", "sandbox"]

Row = Callable[..., None]


@pytest.fixture
def machine(sandbox: Connection, engine: Engine) -> Iterator[Instance]:
    """An instance that takes jobs, for one test: what hits it hits no other."""
    rc = engine({})
    instance = rc.instances.create("m5.large", wait=True)
    assert isinstance(instance, Instance)
    yield instance
    rc.instances.terminate(instance.id, wait=True, force=True)


@pytest.fixture
def faults(sandbox: Connection) -> Iterator[FaultBox]:
    """What puts faults in the way; name it after `machine`: they are taken out before that ends."""
    box = FaultBox(sandbox)
    yield box
    box.clear()


@pytest.fixture
def watcher(engine: Engine) -> Runctl:
    """Another process's view of the same record, for `Watch`."""
    return engine({})


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Row:
    """Write a line of the table of faults to the file that ``RUNCTL_FAULT_TABLE`` names, if it names one.

    ``row(fault, job, count, hits=…, fault_s=…, recovery_s=…)``; any other facts may be given too.
    """
    began, place = time.monotonic(), os.environ.get("RUNCTL_FAULT_TABLE")

    def write(fault: str, job: Job, count: LogCount, **facts: Any) -> None:
        if place is None:
            return
        shown = job.to_dict()
        table_row(
            Path(place),
            {
                "fault": fault,
                "mode": os.environ.get("RUNCTL_TEST_MODE", "plain"),
                "state": shown["state"],
                "exit_code": shown["exit_code"],
                "lines": asdict(count),
                "checkpoints": shown["checkpoint_count"],
                **facts,
                "test_s": round(time.monotonic() - began, 1),
                "test": request.node.name,
            },
        )

    return write
