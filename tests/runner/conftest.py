"""A machine for each test, of which nothing lives on; an S3 for each module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runctl_jupyter.runner.backoff import Backoff
from tests.runner.machines import Machine
from tests.runner.services import Front, s3_behind_front


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    found = Machine(tmp_path)
    yield found
    found.end()


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[Front, str]]:
    with s3_behind_front() as found:
        yield found


@pytest.fixture
def front(service: tuple[Front, str], monkeypatch: pytest.MonkeyPatch) -> Front:
    """The front of the module's S3, without faults and without a memory; nobody pauses long before trying again."""
    found = service[0]
    found.faults.clear()
    found.seen.clear()
    found.headers.clear()
    monkeypatch.setattr(Backoff, "next", lambda _: 0.001)
    return found
