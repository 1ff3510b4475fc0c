"""The sidebar knows what a terminal did, and what it does itself is so in the account."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, screenshot
from tests.browser.sidebar import TAB, WAIT_MS, Sidebar

LONG = "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"
FAILS = "import sys\nprint('about to fail', flush=True)\nsys.exit('no data in the bucket')\n"


@pytest.fixture
def sidebar(lab: Lab, page: Page) -> Sidebar:
    """The sidebar of a fresh page."""
    return Sidebar(lab, page)


def state_of(lab: Lab, machine: str) -> str:
    """What EC2 says of a machine."""
    return next(each["state"] for each in lab.runctl("list", "--all")["instances"] if each["id"] == machine)


def test_shows_what_a_terminal_starts_and_the_status_bar_counts_it(lab: Lab, sidebar: Sidebar) -> None:
    (lab.work / "long.py").write_text(LONG)
    sidebar.open()
    expect(sidebar.row("Instances", "dev")).to_contain_text("running", timeout=WAIT_MS)
    status = sidebar.page.get_by_role("button", name=re.compile(r"machine.* · \$[\d.]+/h"))
    expect(status).to_be_visible(timeout=WAIT_MS)

    job = lab.runctl("train", "long.py", "--on", "dev", "--name", "from-a-terminal")["id"]
    row = sidebar.row("Jobs", "from-a-terminal")
    expect(row).to_contain_text("running", timeout=WAIT_MS)
    expect(sidebar.row("Instances", "dev")).to_contain_text("runs from-a-terminal", timeout=WAIT_MS)
    expect(status).to_contain_text("1 job · ", timeout=WAIT_MS)
    screenshot(sidebar.page, "sidebar-running")

    sidebar.choose(row, "Stop…")
    question = row.get_by_role("alertdialog", name="Stop from-a-terminal?")
    expect(question).to_contain_text("Lost: all it has done, there is no checkpoint yet")
    screenshot(sidebar.page, "sidebar-stop-question")
    question.get_by_role("button", name="Stop", exact=True).click()
    expect(row).to_contain_text("cancelled", timeout=WAIT_MS)
    expect(status).not_to_contain_text("job", timeout=WAIT_MS)
    assert lab.runctl("show", job)["state"] == "cancelled"
