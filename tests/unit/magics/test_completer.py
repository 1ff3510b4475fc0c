"""Tab on a %runctl line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from IPython.core.completer import CompletionContext

from runctl_jupyter.commands.known import KnownNames
from runctl_jupyter.magics.completer import complete
from runctl_jupyter.magics.notebook_door import NotebookDoor
from runctl_jupyter.orchestration import Runctl


def tab(text: str, door: NotebookDoor | None = None, token: str | None = None) -> dict[str, str]:
    """Press Tab at the end of `text`; returns what is offered and of what kind."""
    lines = text.split("\n")
    token = token if token is not None else text.rpartition(" ")[2]
    context = CompletionContext(token, text, len(lines[-1]), len(lines) - 1, 100)
    return {c.text: str(c.type) for c in complete(context, door or NotebookDoor())["completions"]}


def test_verbs(local: Runctl) -> None:
    offered = tab("%runctl ")
    assert {"use", "create", "train", "checkpoints", "s3"} <= set(offered)
    assert set(offered.values()) == {"verb"}
    assert set(tab("%runctl st")) == {"status", "start", "stop"}
    assert set(tab("%runctl s3 ")) == {"list", "upload", "download", "sync", "watch", "cleanup"}
    assert set(tab("%runctl aws st")) >= {"start", "stop"}


def test_flags(local: Runctl) -> None:
    assert tab("%runctl train --ins") == {"--instance-type": "flag"}
    assert "--wait" in tab("job = %runctl train x.py --w")
    assert tab("%%runctl train --pro") == {"--project-root": "flag"}
    assert tab("%runctl train x.py -- --ins") == {}


def test_values(local: Runctl) -> None:
    assert set(tab("%runctl use ")) == {"sandbox", "aws", "local"}
    assert "m5.large" in tab("%runctl create m5.l")
    assert "g5.xlarge" in tab("%runctl train x.py --instance-type g5.x")
    assert "m5.large,m5.xlarge" in tab("%runctl create m5.large,m5.x")


def test_jobs_by_name_and_id(write_job: Any) -> None:
    job_id = write_job()
    assert tab("%runctl logs ") == {"digits": "job", job_id: "job"}
    assert tab("%runctl logs dig") == {"digits": "job"}


def test_scripts(local: Runctl, project: Path) -> None:
    (project / "models").mkdir()
    assert tab("%runctl train ") == {"fit.py": "path", "models/": "path"}
    (project / "models" / "net.py").touch()
    assert tab("%runctl train models/n") == {"models/net.py": "path"}


def test_checkpoints_are_of_jobs_and_folders(write_job: Any, project: Path) -> None:
    job_id = write_job()
    (project / "models").mkdir()
    assert tab("%runctl checkpoints list dig") == {"digits": "job"}
    assert tab("%runctl checkpoints list ./mo") == {"./models/": "path"}
    assert job_id in tab("%runctl checkpoints prune ")


class Store:
    """Stands for an engine whose bucket is far away."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.asked = seconds, 0
        self.settings = type("Settings", (), {"target": "aws"})()
        self.storage = self

    def list(self, uri: str, limit: int | None = None) -> list[Any]:
        assert limit is not None, "a bucket of millions is not read to its end for a key press"
        self.asked += 1
        time.sleep(self.seconds)  # the slow network this class stands for
        return [type("Found", (), {"uri": f"{uri}{name}"})() for name in ("models/", "metrics.json")]


def test_s3_addresses_are_cut_at_the_colon(monkeypatch: pytest.MonkeyPatch) -> None:
    door = NotebookDoor()
    store = Store()
    monkeypatch.setattr(door, "runctl", lambda _: store)
    # IPython's token begins after the colon: what is offered must too.
    assert tab("%runctl s3 list s3://b/m", door, token="//b/m") == {"//b/models/": "s3", "//b/metrics.json": "s3"}
    assert tab("%runctl s3 list s3://b/mo", door, token="//b/mo") == {"//b/models/": "s3"}
    assert store.asked == 1


def test_a_slow_network_does_not_hold_up_a_key_press() -> None:
    known, store = KnownNames(), Store(1.0)
    began = time.monotonic()
    assert known.names(store, "s3", "s3://b/") == []  # type: ignore[arg-type]
    assert time.monotonic() - began < 0.9
    deadline = began + 10
    while not known.names(store, "s3", "s3://b/") and time.monotonic() < deadline:  # type: ignore[arg-type]
        pass
    assert known.names(store, "s3", "s3://b/") == ["s3://b/models/", "s3://b/metrics.json"]  # type: ignore[arg-type]
    assert store.asked == 1


def test_no_sandbox_is_started_by_a_key_press(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(settings: object) -> None:
        raise AssertionError("a key press connected")

    monkeypatch.setattr("runctl_jupyter.orchestration.runctl.connect", refuse)
    assert tab("%runctl stop ") == {}


@pytest.mark.parametrize("text", ["%matplotlib in", "runctl li", "print('x')\n%%runctl li", "x %runctl li"])
def test_other_lines_are_left_alone(local: Runctl, text: str) -> None:
    assert tab(text) == {}


def test_a_broken_configuration_is_silent(project: Path) -> None:
    (project / ".runctl.toml").write_text("nonsense = 1\n")
    assert tab("%runctl logs ") == {}
    assert "list" in tab("%runctl li")
