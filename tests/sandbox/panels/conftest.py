"""The engine's sandbox and instance, for panels over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sandbox.engine.conftest import dev, engine

__all__ = ["dev", "engine"]


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember places in a folder of the test's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
