"""The sidebar knows what a terminal did, and what it does itself is so in the account."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, screenshot
from tests.browser.sidebar import WAIT_MS, Sidebar

LONG = "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"
FAILS = "import sys\nprint('about to fail', flush=True)\nsys.exit('no data in the bucket')\n"


@pytest.fixture
def sidebar(lab: Lab, page: Page) -> Sidebar:
    """The sidebar of a fresh page."""
    return Sidebar(lab, page)


def machine_of(lab: Lab, name: str) -> dict[str, Any]:
    """What EC2 says of a machine, also of one that is gone."""
    found: dict[str, Any] = next(each for each in lab.runctl("list", "--all") if each["name"] == name)
    return found


def test_shows_what_a_terminal_starts_and_the_status_bar_counts_it(lab: Lab, sidebar: Sidebar) -> None:
    (lab.work / "long.py").write_text(LONG)
    sidebar.open()
    expect(sidebar.row("Instances", "dev")).to_contain_text("running", timeout=WAIT_MS)
    status = sidebar.page.locator(".rc-StatusItem")
    expect(status).to_have_text("1 machine · $0.096/h", timeout=WAIT_MS)

    job = lab.runctl("train", "long.py", "--on", "dev", "--name", "from-a-terminal")["id"]
    row = sidebar.row("Jobs", "from-a-terminal")
    expect(row).to_contain_text("running", timeout=WAIT_MS)
    expect(sidebar.row("Instances", "dev")).to_contain_text("runs from-a-terminal", timeout=WAIT_MS)
    expect(status).to_have_text("1 job · 1 machine · $0.096/h", timeout=WAIT_MS)

    sidebar.choose(row, "Stop…")
    question = row.get_by_role("alertdialog", name="Stop from-a-terminal?")
    expect(question).to_contain_text("Lost: all it has done, there is no checkpoint yet")
    expect(question).to_contain_text("Kept: its log")
    screenshot(sidebar.page, "sidebar-stop-question")
    question.get_by_role("button", name="Stop", exact=True).click()
    expect(row).to_contain_text("cancelled", timeout=WAIT_MS)
    expect(status).to_have_text("1 machine · $0.096/h", timeout=WAIT_MS)
    assert lab.runctl("show", job)["state"] == "cancelled"


def test_stops_starts_and_terminates_a_machine_from_its_row(lab: Lab, sidebar: Sidebar) -> None:
    (lab.work / "long.py").write_text(LONG)
    machine = lab.runctl("create", "m5.large", "--name", "spare", "--wait")["id"]
    lab.runctl("train", "long.py", "--on", "spare", "--name", "passenger")
    sidebar.open()
    row = sidebar.row("Instances", "spare")
    expect(row).to_contain_text("runs passenger", timeout=WAIT_MS)

    sidebar.choose(row, "Terminate…")
    question = row.get_by_role("alertdialog")
    expect(question).to_contain_text("Terminate spare?")
    expect(question).to_contain_text("Lost: its disk; the job passenger that runs on it")
    screenshot(sidebar.page, "sidebar-terminate-question")
    expect(question.get_by_role("button", name="Terminate", exact=True)).to_be_focused()
    sidebar.page.keyboard.press("Escape")
    expect(question).to_have_count(0)
    assert machine_of(lab, "spare")["state"] == "running"

    lab.runctl("cancel", "passenger")
    expect(row).to_contain_text("idle", timeout=WAIT_MS)
    sidebar.choose(row, "Stop…")
    row.get_by_role("alertdialog").get_by_role("button", name="Stop", exact=True).click()
    expect(row).to_contain_text("stopped ·", timeout=WAIT_MS)
    assert machine_of(lab, "spare")["state"] == "stopped"

    sidebar.choose(row, "Start")
    expect(row).to_contain_text("running ·", timeout=WAIT_MS)
    assert machine_of(lab, "spare")["state"] == "running"

    sidebar.choose(row, "Terminate…")
    row.get_by_role("alertdialog").get_by_role("button", name="Terminate", exact=True).click()
    expect(row).to_contain_text("terminated", timeout=WAIT_MS)
    gone = machine_of(lab, "spare")
    assert (gone["id"], gone["state"]) == (machine, "terminated")


def test_a_failure_is_told_of_without_any_notebook_and_leads_to_its_card(lab: Lab, sidebar: Sidebar) -> None:
    (lab.work / "fails.py").write_text(FAILS)
    sidebar.open_page()
    expect(sidebar.page.locator(".rc-StatusItem")).to_be_visible(timeout=WAIT_MS)
    job = lab.runctl("train", "fails.py", "--on", "dev", "--name", "no-data")["id"]
    notice = sidebar.page.get_by_role("alert").filter(has_text="no-data failed")
    expect(notice).to_be_visible(timeout=WAIT_MS)
    screenshot(sidebar.page, "notification")
    notice.get_by_role("button", name="Show").click()
    card = sidebar.page.locator(f"#runctl-job-{job} .rc-Card")
    expect(card).to_contain_text("no data in the bucket", timeout=WAIT_MS)
    screenshot(sidebar.page, "job-tab-failed")


def test_the_palette_and_the_launcher_lead_to_the_panel(sidebar: Sidebar) -> None:
    sidebar.open_page()
    page = sidebar.page
    launcher = page.locator(".jp-Launcher").get_by_role("button", name="runctl", exact=True)
    launcher.click()
    expect(page.locator("#runctl-panel .rc-Panel")).to_contain_text("dev", timeout=WAIT_MS)
    screenshot(page, "panel-tab")
    page.keyboard.press("Control+Shift+C")
    page.locator(".lm-CommandPalette-input").fill("runctl")
    palette = page.locator(".lm-CommandPalette-item")
    for label in ("Open the runctl Panel", "Show the runctl Sidebar"):
        expect(palette.filter(has_text=label)).to_be_visible()
    palette.filter(has_text="Show the runctl Sidebar").click()
    expect(sidebar.row("Instances", "dev")).to_be_visible(timeout=WAIT_MS)


def test_nothing_overflows_at_any_width(sidebar: Sidebar) -> None:
    sidebar.open()
    page = sidebar.page
    expect(sidebar.row("Instances", "dev")).to_be_visible(timeout=WAIT_MS)
    for title in ("Jobs", "Checkpoints", "Costs", "Launch"):
        sidebar.unfold(title)
    try:
        for theme in ("Light", "Dark"):
            set_theme(page, theme)
            for width in (260, 340):
                resize(page, width)
                screenshot(page, f"sidebar-{width}-{theme.lower()}")
                wide = sidebar.panel.evaluate("panel => panel.scrollWidth - panel.clientWidth")
                assert wide == 0, (theme, width)
    finally:
        # The server keeps it for the tests that follow.
        set_theme(page, "Light")


def set_theme(page: Page, theme: str) -> None:
    """Choose a theme and wait for it."""
    page.evaluate(
        "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})", f"JupyterLab {theme}"
    )
    page.wait_for_function(
        "light => document.body.dataset.jpThemeLight === light", arg=str(theme == "Light").lower(), timeout=WAIT_MS
    )


def resize(page: Page, width: int) -> None:
    """Drag the edge of the sidebar."""
    handle = page.locator("#jp-main-split-panel > .lm-SplitPanel-handle").first
    box, panel = handle.bounding_box(), page.locator("#jp-left-stack").bounding_box()
    assert box is not None
    assert panel is not None
    page.mouse.move(box["x"], box["y"] + 300)
    page.mouse.down()
    page.mouse.move(panel["x"] + width, box["y"] + 300, steps=4)
    page.mouse.up()
    page.wait_for_function(
        "width => Math.abs(document.getElementById('jp-left-stack').clientWidth - width) < 8", arg=width
    )
