"""Where there is no sidebar of Lab, or no extension of ours: Notebook 7, and the widgets that VS Code and Colab get."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.cards import expect_state, tab
from tests.browser.conftest import train_cell
from tests.browser.lab import Lab, Notebook, screenshot
from tests.browser.sidebar import WAIT_MS

SCRIPT = """\
import os
rate = float(os.environ.get("RUNCTL_PARAM_LR", "0.01"))
epochs = int(os.environ.get("RUNCTL_PARAM_EPOCHS", "3"))
print(f"lr is {rate}, epochs are {epochs}", flush=True)
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A Notebook server in whose pages our extension is disabled at first."""
    lab = Lab(tmp_path_factory.mktemp("bare"), app="notebook")
    extension(lab, "disable")
    said = {"JupyterNotebookApp": {"expose_app_in_browser": True}}
    (lab.home / "config" / "jupyter_notebook_config.json").write_text(json.dumps(said))
    lab.start()
    try:
        lab.runctl("create", "m5.large", "--name", "dev", "--wait")
        yield lab
    finally:
        lab.stop()


def extension(lab: Lab, verb: str) -> None:
    """Enable or disable the Lab extension in a server's own configuration; its pages read it when they load."""
    line = [sys.executable, "-m", "jupyter", "labextension", verb, "--level=user", "runctl-jupyter"]
    subprocess.run(line, env=lab.env, check=True, capture_output=True)


class Page7(Notebook):
    """A notebook in a page of its own."""

    def open(self) -> None:
        """Open it and wait for its kernel."""
        self.page.goto(self.lab.url(f"notebooks/{self.name}?token={self.lab.token}"))
        self.cells.first.wait_for(timeout=WAIT_MS)
        self.wait_for_kernel()


def test_the_widgets_live_without_the_extension(bare: Lab, page: Page) -> None:
    (bare.work / "fit.py").write_text(SCRIPT)
    bare.write(
        "widgets.ipynb", ["%load_ext runctl_jupyter", train_cell("as-a-widget", steps=600), "%runctl panel fit.py"]
    )
    notebook = Page7(bare, page, "widgets.ipynb")
    notebook.open()
    assert page.evaluate("() => window.jupyterapp.hasPlugin('runctl-jupyter:mime')") is False
    notebook.run(0)
    notebook.run(1)
    card = notebook.card(1)
    expect_state(card, "running")
    expect(card.get_by_role("tabpanel", name="Metrics")).to_contain_text("loss", timeout=WAIT_MS)
    # What is open in it stays open while the log grows: the view is not made anew.
    log = tab(card, "Log")
    expect(log).to_contain_text("step=60", timeout=WAIT_MS)
    screenshot(page, "widget-card")
    card.get_by_role("button", name="Stop…").click()
    card.get_by_role("alertdialog").get_by_role("button", name="Stop", exact=True).click()
    expect_state(card, "cancelled")

    cell = notebook.run(2)
    panel = cell.locator(".rc-Panel")
    expect(panel.get_by_role("list", name="Jobs", exact=True)).to_contain_text("as-a-widget", timeout=WAIT_MS)
    slider = cell.get_by_role("slider").nth(1)
    # By the mouse: of the arrow keys Notebook 7 takes the presses in a widget for its own.
    expect(slider).to_have_attribute("aria-valuenow", "3.0", timeout=WAIT_MS)
    track = cell.locator(".noUi-target").nth(1)
    track.scroll_into_view_if_needed()
    box = track.bounding_box()
    assert box is not None
    track.click(position={"x": box["width"] - 2, "y": box["height"] / 2})
    expect(slider).to_have_attribute("aria-valuenow", "12.0")
    expect(cell.get_by_label("the same as a line of a cell")).to_contain_text("--param epochs=12")
    screenshot(page, "widget-launch-form")
    cell.get_by_role("button", name="Launch", exact=True).last.click()
    launched = cell.locator(".rc-Card").last
    expect_state(launched, "succeeded")
    screenshot(page, "widget-launched")
    [job] = [each for each in bare.runctl("jobs") if each["name"] == "fit"]
    log = subprocess.run(
        [sys.executable, "-m", "runctl_jupyter", "logs", job["id"]],
        cwd=bare.work, env=bare.env, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "lr is 0.01, epochs are 12" in log


def test_notebook_7_has_card_and_panel(bare: Lab, page: Page) -> None:
    errors: list[str] = []
    page.on(
        "console", lambda said: errors.append(said.text) if said.type == "error" and "runctl" in said.text else None
    )
    extension(bare, "enable")
    bare.write("seven.ipynb", ["%load_ext runctl_jupyter", train_cell("in-seven", steps=600)])
    notebook = Page7(bare, page, "seven.ipynb")
    notebook.open()
    assert page.evaluate("() => window.jupyterapp.isPluginActivated('runctl-jupyter:mime')") is True
    notebook.run(0)
    notebook.run(1)
    card = notebook.card(1)
    expect_state(card, "running")
    page.evaluate("() => window.jupyterapp.commands.execute('runctl:show-panel')")
    panel = page.locator("#runctl-sidebar .rc-Panel")
    expect(panel).to_be_visible(timeout=WAIT_MS)
    expect(panel.get_by_role("list", name="Instances", exact=True)).to_contain_text("in-seven", timeout=WAIT_MS)
    screenshot(page, "notebook-7")
    card.get_by_role("button", name="Stop…").click()
    card.get_by_role("alertdialog").get_by_role("button", name="Stop", exact=True).click()
    expect_state(card, "cancelled")
    assert errors == []
