"""The form: what it shows, and that it launches exactly that."""

from __future__ import annotations

import html
import re
import shlex
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runctl_jupyter.commands import PanelView, Request, invoke
from runctl_jupyter.orchestration import Runctl
from runctl_jupyter.orchestration.errors import InvalidRequest, LaunchRefused
from runctl_jupyter.orchestration.jobs.job import Job
from runctl_jupyter.panels import Panels
from runctl_jupyter.widgets import JobCardWidget, launch_form

TYPES = {
    "types": [
        {"name": "m5.large", "vcpus": 2, "memory_gib": 8, "gpus": 0, "price_per_hour": 0.096},
        {"name": "g5.xlarge", "vcpus": 4, "memory_gib": 16, "gpus": 1, "price_per_hour": 1.006},
        {"name": "odd.type", "vcpus": None, "memory_gib": None, "gpus": 0, "price_per_hour": None},
    ]
}
SCRIPT = """\
import os
lr = float(os.environ.get("RUNCTL_PARAM_LR", "3e-4"))
epochs = int(os.environ.get("RUNCTL_PARAM_EPOCHS", "20"))
"""


@pytest.fixture
def sandbox(project: Path, monkeypatch: pytest.MonkeyPatch) -> Runctl:
    """An engine whose machine types are known without asking anybody."""
    monkeypatch.setattr(Panels, "query", lambda *_: TYPES)
    (project / "fit.py").write_text(SCRIPT)
    (project / "sub").mkdir()
    (project / "sub" / "other.py").write_text("print()\n")
    (project / "notes.txt").write_text("no script\n")
    return Runctl("sandbox", cwd=project)


def shown(widget: Any) -> str:
    """Return the text of an HTML widget."""
    return html.unescape(re.sub(r"<[^>]*>", "\n", widget.value)).strip()


class Trains:
    """Stands for the engine's `train`: remembers what it was asked, and gives a job whose launch is under way."""

    def __init__(self, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
        self.job, self.asked = job, []  # type: tuple[Job, list[tuple[str, dict[str, Any]]]]
        self.failure: Exception | None = None
        # In place of all of `jobs`: making them would start a sandbox.
        monkeypatch.setattr(Runctl, "jobs", SimpleNamespace(train=self.train))

    def train(self, script: str, **asked: Any) -> Job:
        self.asked.append((script, asked))
        if self.failure is not None:
            raise self.failure
        self.job.launching = Future()
        return self.job


@pytest.fixture
def trains(job: Job, monkeypatch: pytest.MonkeyPatch) -> Trains:
    return Trains(job, monkeypatch)


def test_it_offers_what_there_is(sandbox: Runctl) -> None:
    form = launch_form(sandbox)
    assert form._script.options == ("fit.py", "sub/other.py")
    labels = {name: label for label, name in form._machine.options}
    assert labels["g5.xlarge"] == "g5.xlarge · 1 GPU · 4 vCPU · 16 GiB · $1.006/h"
    assert labels["odd.type"] == "odd.type · price unknown"
    assert form._machine.value == "m5.large"
    assert [slider.description for slider in form._sliders.children] == ["lr", "epochs"]


def test_the_line_follows_every_choice(sandbox: Runctl) -> None:
    form = launch_form(sandbox)
    assert shown(form._line) == "%runctl train fit.py --instance-type m5.large --param lr=0.0003 --param epochs=20"
    form._machine.value = "g5.xlarge"
    form._name.value = "digits "
    form._ttl.value = "2h"
    form._max_cost.value = "$1.5"
    lr, epochs = form._sliders.children
    lr.value, epochs.value = 1e-3, 30
    assert shown(form._line) == (
        "%runctl train fit.py --instance-type g5.xlarge --name digits --ttl 2h --max-cost 1.5"
        " --param lr=0.001 --param epochs=30"
    )
    form._script.value = "sub/other.py"
    assert form._sliders.children == ()
    assert shown(form._line).startswith("%runctl train sub/other.py --instance-type g5.xlarge")


def test_it_says_what_it_may_cost(sandbox: Runctl) -> None:
    form = launch_form(sandbox)
    assert shown(form._bill) == "$0.096/h, at most $0.77: it is ended after 8 h."
    form._ttl.value = "30m"
    assert shown(form._bill) == "$0.096/h, at most $0.048: it is ended after 30 m."
    form._max_cost.value = "0.02"
    assert shown(form._bill) == "$0.096/h, at most $0.020: then it is ended."
    form._ttl.value = "soon"
    assert shown(form._bill) == "$0.096/h."
    form._spot.value = True
    assert shown(form._bill) == "$0.096/h. Spot costs less than that."
    assert "--instance-type m5.large --spot" in shown(form._line)
    form._machine.value = "odd.type"
    assert shown(form._bill) == "Price unknown."


def test_it_launches_what_it_shows_and_shows_the_card(sandbox: Runctl, trains: Trains) -> None:
    launching: list[Job] = []
    form = launch_form(sandbox, launching=launching)
    form._name.value, form._ttl.value, form._max_cost.value = "digits", "1h", "2"
    form._sliders.children[0].value = 1e-3
    form._button.click()
    ((script, asked),) = trains.asked
    assert script == "fit.py"
    wanted = {
        "instance_type": "m5.large",
        "spot": False,
        "name": "digits",
        "ttl": 3600.0,
        "max_cost": 2.0,
        "params": {"lr": "0.001", "epochs": "20"},
    }
    assert {key: asked[key] for key in wanted} == wanted
    assert launching == [trains.job]
    assert form._button.disabled
    form._button.click()
    assert len(trains.asked) == 1
    (card,) = form._cards.children
    assert isinstance(card, JobCardWidget)
    assert card.job == trains.job.id
    assert trains.job.launching is not None
    trains.job.launching.set_result(None)
    assert not form._button.disabled
    assert shown(form._trouble) == ""
    form._button.click()
    assert len(form._cards.children) == 2


def test_errors_are_two_lines_in_the_form(sandbox: Runctl, trains: Trains) -> None:
    form = launch_form(sandbox)
    trains.failure = LaunchRefused("There is no <b>room</b>.", "Take another type.")
    form._button.click()
    assert shown(form._trouble).splitlines() == ["There is no <b>room</b>.", "Take another type."]
    assert "<b>" not in form._trouble.value
    assert not form._button.disabled
    trains.failure = None
    form._button.click()
    assert shown(form._trouble) == ""
    assert trains.job.launching is not None
    trains.job.launching.set_exception(LaunchRefused("No capacity.", "Try later."))
    assert "No capacity." in shown(form._trouble)
    assert not form._button.disabled
    form._max_cost.value = "five"
    form._button.click()
    assert "five" in shown(form._trouble)
    assert len(trains.asked) == 2


def test_what_nobody_foresaw_leaves_the_form_usable(sandbox: Runctl, trains: Trains) -> None:
    form = launch_form(sandbox)
    trains.failure = ZeroDivisionError("oops")
    with pytest.raises(ZeroDivisionError):
        form._launch(None)
    assert not form._button.disabled
    trains.failure = None
    form._button.click()
    assert len(trains.asked) == 2


def test_ranges_are_given_by_name(sandbox: Runctl) -> None:
    form = launch_form(sandbox, "sub/other.py", params={"width": (16, 64, 16), "lr": (1e-5, 1e-2)})
    width, lr = form._sliders.children
    assert (width.min, width.max, width.step, width.value) == (16, 64, 16, 16)
    assert lr.value == pytest.approx(1e-5)
    assert shlex.split(form.choice.line())[-4:] == ["--param", "width=16", "--param", "lr=1e-05"]


def test_a_script_that_is_no_python_can_be_launched(sandbox: Runctl, project: Path) -> None:
    (project / "broken.py").write_text("def (\n")
    form = launch_form(sandbox, "broken.py")
    assert "cannot be read as Python, see line 1" in shown(form._note)
    assert not form._button.disabled
    form._script.value = "fit.py"
    assert shown(form._note) == ""


def test_a_script_that_is_gone_is_said(sandbox: Runctl, project: Path) -> None:
    form = launch_form(sandbox, "gone.py")
    assert "gone.py cannot be read" in shown(form._note)


def test_an_empty_project_says_the_next_step(project: Path, sandbox: Runctl) -> None:
    for path in project.rglob("*.py"):
        path.unlink()
    form = launch_form(sandbox)
    assert form._button.disabled
    assert "%%runctl train" in shown(form._note)
    assert form._line.value == ""


def test_on_this_computer_there_is_no_machine_to_choose(local: Runctl) -> None:
    form = launch_form(local)
    assert shown(form._line) == "%runctl train fit.py"
    assert "nothing to pay" in shown(form._bill)


def test_without_a_sandbox_types_are_known_and_none_is_started(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from runctl_jupyter.orchestration import connection

    monkeypatch.setattr(connection, "_start_sandbox", lambda: pytest.fail("started a sandbox"))
    form = launch_form(Runctl("sandbox", cwd=project))
    assert "g5.xlarge" in [name for _, name in form._machine.options]
    assert shown(form._bill) == "Price unknown."


def test_the_verb_gives_a_view_to_the_notebook_and_two_lines_to_the_terminal(local: Runctl) -> None:
    def say(kind: str, line: str) -> Any:
        door: Any = SimpleNamespace(kind=kind, prompt="runctl", runctl=lambda _: local)
        return invoke(line.split(), Request(door)).value

    assert say("notebook", "panel") == PanelView(local)
    assert say("notebook", "panel fit.py") == PanelView(local, "fit.py")
    with pytest.raises(InvalidRequest, match="needs a notebook") as raised:
        say("terminal", "panel")
    assert "runctl jobs" in raised.value.to_resolve
