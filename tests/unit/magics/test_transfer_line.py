"""The progress of a transfer under its cell."""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.testing.globalipapp import start_ipython

from runctl_jupyter.magics import transfer_line as module
from runctl_jupyter.orchestration.storage.crew import Progress


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    shell = start_ipython() or module.get_ipython()
    publisher = CapturingDisplayPublisher()
    monkeypatch.setattr(shell, "display_pub", publisher)
    monkeypatch.setattr(module, "get_ipython", lambda: shell)
    outputs: list[dict[str, Any]] = publisher.outputs
    return outputs


def test_one_display_that_is_updated_and_never_a_flood(
    published: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter(n / 100 for n in range(100_000))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(moments))
    with module.transfer_line("uploading") as show:
        for n in range(1000):  # ten seconds by that clock
            show(Progress(0, 2, n * 1000, 1_000_000))
        show(Progress(2, 2, 1_000_000, 1_000_000))
    assert 30 < len(published) <= 42
    assert [each["update"] for each in published] == [False] + [True] * (len(published) - 1)
    assert len({each["transient"]["display_id"] for each in published}) == 1
    last = published[-1]["data"]
    assert "uploading 100 % · 1.0 MB of 1.0 MB · 2 of 2 files" in last["text/plain"]
    assert '<progress value="1.000" max="1" aria-label="uploading">' in last["text/html"]


def test_what_is_soon_over_shows_nothing(published: list[dict[str, Any]]) -> None:
    with module.transfer_line("uploading") as show:
        show(Progress(1, 1, 5, 5))
    assert published == []
