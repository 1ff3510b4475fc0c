"""The card of a job in a notebook: from its launch to its end, while the kernel is busy, dead or looked at twice."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import psutil
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.cards import (
    LONG_MS,
    end_kernel,
    expect_state,
    is_busy,
    job_named,
    log_bytes,
    save,
    serious_findings,
    tab,
    until,
)
from tests.browser.conftest import OpenNotebook, train_cell
from tests.browser.lab import Lab, Notebook, screenshot

THEMES = ("JupyterLab Dark", "JupyterLab Dark High Contrast", "JupyterLab Light")
LONG = 6000
"""Steps, of which a job never comes to the end: its test stops it."""
FAILS = '%%runctl train --on dev --name {name}\nprint("before")\nraise ValueError("the data has 3 columns")\n'


@pytest.fixture(autouse=True)
def nothing_stays(lab: Lab) -> Iterator[None]:
    """Each test ends the jobs and kernels it has started: two cores are shared."""
    yield
    for job in lab.runctl("jobs"):
        if job["state"] == "running":
            lab.runctl("cancel", job["id"])
    for session in httpx.get(lab.url("api/sessions"), headers=lab.headers).json():
        end_kernel(lab, session["path"])


def launched(notebook: Notebook, number: int = 1) -> Locator:
    """Load the extension, run a cell that launches, and return its card once the job runs."""
    notebook.run(0)
    notebook.run(number)
    card = notebook.card(number)
    expect_state(card, "running")
    return card


def test_from_launch_to_end(lab: Lab, page: Page, open_notebook: OpenNotebook) -> None:
    notebook = open_notebook("whole", train_cell("whole", steps=60, pause=0.15))
    notebook.run(0)
    notebook.run(1)
    card = notebook.card(1)

    # The cell has come back while the job goes on.
    expect(notebook.cell(1).locator(".jp-InputPrompt")).to_have_text("[2]:", timeout=LONG_MS)
    expect_state(card, "running")
    screenshot(page, "card-running")
    expect(card.get_by_role("log")).to_contain_text("step=", timeout=LONG_MS)
    expect(card.get_by_role("img", name=re.compile("chart of loss"))).to_be_visible(timeout=LONG_MS)
    points = card.get_by_role("group", name="checkpoints").get_by_role("button")
    expect(points.first).to_be_visible(timeout=LONG_MS)
    expect_state(card, "succeeded")
    expect(card.get_by_role("tab", name="Checkpoints 3")).to_be_visible(timeout=LONG_MS)
    expect(points).to_have_count(3, timeout=LONG_MS)
    screenshot(page, "card-succeeded")
    points.last.click()
    inside = card.get_by_role("group", name="Inside step-0059.json")
    expect(inside).to_contain_text('"step": 59', timeout=LONG_MS)
    screenshot(page, "card-checkpoints")
    inside.get_by_role("button", name="Close").click()
    expect(inside).to_have_count(0)

    log = card.get_by_role("log")
    tab(card, "Log")
    log.focus()
    page.keyboard.press("Home")
    expect(log).to_contain_text("step=0 loss=2.1000 acc=0.500")
    page.keyboard.press("Control+f")
    page.keyboard.type("step=42 ")
    expect(card.get_by_role("search").get_by_role("status")).to_have_text("1 of 1")
    expect(log.locator("mark")).to_have_text("step=42 ")
    expect(log.locator("mark")).to_be_in_viewport()
    screenshot(page, "card-log-search")
    expect(page.locator(".jp-DocumentSearch-overlay")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(card.get_by_role("search")).to_have_count(0)
    for name in ("time", "wrap"):
        card.get_by_role("button", name=name, exact=True).click()
        expect(card.get_by_role("button", name=name, exact=True)).to_have_attribute("aria-pressed", "true")
    expect(log).to_contain_text(re.compile(r"\d\d:\d\d:\d\dstep=42 "))
    screenshot(page, "card-log-times")
    with page.expect_download() as download:
        card.get_by_role("link", name="download").click()
    log_file = download.value.path().read_bytes()
    assert log_file == log_bytes(lab, "whole")
    lines = log_file.splitlines(keepends=True)
    assert b"".join(line for line in lines if not line.startswith(b"runctl: ")) == log_bytes(lab, "whole", "--raw")

    checkpoints = tab(card, "Checkpoints")
    expect(checkpoints.get_by_role("row")).to_have_count(4)
    checkpoints.get_by_role("button", name="Actions of step-0039.json").click()
    screenshot(page, "card-checkpoint-menu")
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Download", exact=True).click()
    assert download.value.path().read_bytes() == b'{"step": 39}'
    assert download.value.suggested_filename == "step-0039.json"

    machine = tab(card, "Machine")
    expect(machine).to_contain_text(job_named(lab, "whole")["instance_id"])
    expect(machine.get_by_role("img").first).to_be_visible(timeout=LONG_MS)
    screenshot(page, "card-machine")
    record = tab(card, "Record")
    expect(record).to_contain_text("python", timeout=LONG_MS, ignore_case=True)
    screenshot(page, "card-record")


def test_stops_while_the_kernel_is_busy_and_resumes(lab: Lab, page: Page, open_notebook: OpenNotebook) -> None:
    notebook = open_notebook(
        "busy", train_cell("busy", steps=LONG), "import time\nfor _ in range(600):\n    time.sleep(0.1)"
    )
    card = launched(notebook)
    expect(card.get_by_role("tab", name=re.compile(r"Checkpoints \d"))).to_be_visible(timeout=LONG_MS)
    notebook.run(2)
    until(lambda: is_busy(notebook, 2), "the cell runs")

    card.get_by_role("button", name="Stop…").click()
    question = card.get_by_role("alertdialog", name="Stop busy?")
    expect(question).to_contain_text("checkpoint of step")
    screenshot(page, "card-stop-asked")
    question.get_by_role("button", name="Stop", exact=True).click()
    expect_state(card, "cancelled")
    assert job_named(lab, "busy")["state"] == "cancelled"
    assert is_busy(notebook, 2)
    screenshot(page, "card-cancelled")

    card.get_by_role("button", name="Resume").first.click()
    expect(card.locator("header")).to_contain_text("attempt 2", timeout=LONG_MS)
    expect_state(card, "running")
    expect(card.get_by_text("1 earlier attempt")).to_be_visible()
    assert is_busy(notebook, 2)
    screenshot(page, "card-resumed")
    page.evaluate("window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
    expect(notebook.cell(2)).to_contain_text("KeyboardInterrupt", timeout=LONG_MS)
    lab.runctl("cancel", "busy")
    expect_state(card, "cancelled")


def test_goes_on_when_the_kernel_is_killed(lab: Lab, page: Page, open_notebook: OpenNotebook) -> None:
    notebook = open_notebook("killed", train_cell("killed", steps=LONG))
    card = launched(notebook)
    expect(card.get_by_role("log")).to_contain_text("step=", timeout=LONG_MS)
    [session] = httpx.get(lab.url("api/sessions"), headers=lab.headers).json()
    name = f"kernel-{session['kernel']['id']}.json"
    [kernel] = [
        child
        for child in psutil.Process(lab.process.pid).children(recursive=True)
        if any(name in word for word in child.cmdline())
    ]
    kernel.kill()
    kernel.wait(30)
    page.get_by_role("dialog").get_by_role("button", name="Ok").click(timeout=LONG_MS)
    reached = latest_step(card)
    until(lambda: latest_step(card) > reached + 30, "the log goes on")
    expect_state(card, "running")
    screenshot(page, "card-kernel-killed")
    lab.runctl("cancel", "killed")
    expect_state(card, "cancelled")


def latest_step(card: Locator) -> int:
    """Return the last step that a card's log shows."""
    return max(int(step) for step in re.findall(r"step=(\d+)", card.get_by_role("log").inner_text()))


def test_a_failure_shows_its_error_and_code_is_inserted(page: Page, open_notebook: OpenNotebook) -> None:
    notebook = open_notebook("fails", FAILS.format(name="fails"))
    notebook.run(0)
    notebook.run(1)
    card = notebook.card(1)
    expect_state(card, "failed")
    screenshot(page, "card-failed")
    card.get_by_role("button", name="Show error").click()
    log = card.get_by_role("log")
    expect(log).to_be_focused(timeout=LONG_MS)
    expect(log.get_by_text("ValueError: the data has 3 columns")).to_be_in_viewport(timeout=LONG_MS)
    expect(log.get_by_text("Traceback")).to_be_in_viewport()
    screenshot(page, "card-error-shown")

    card.get_by_role("button", name="Insert code").click()
    page.get_by_role("menuitem", name="Attach").click()
    expect(notebook.cells).to_have_count(3)
    inserted = notebook.cell(2)
    expect(inserted.locator(".cm-content")).to_have_text(re.compile(r"^%runctl attach \S+$"))
    page.keyboard.press("Control+Enter")
    expect_state(notebook.card(2), "failed")
    screenshot(page, "card-attached")


def test_every_theme(page: Page, open_notebook: OpenNotebook) -> None:
    notebook = open_notebook("themes", train_cell("trains", steps=LONG), FAILS.format(name="breaks"))
    running = launched(notebook)
    expect(running.get_by_role("img", name=re.compile("chart of loss"))).to_be_visible(timeout=LONG_MS)
    running.get_by_role("button", name="Stop…").click()
    look_in_every_theme(page, "card-running")
    running.get_by_role("button", name="Stop", exact=True).click()
    expect_state(running, "cancelled")
    notebook.run(2)
    failed = notebook.card(2)
    expect_state(failed, "failed")
    tab(failed, "Log")
    expect(failed.get_by_role("log")).to_contain_text("ValueError", timeout=LONG_MS)
    failed.scroll_into_view_if_needed()
    look_in_every_theme(page, "card-failed")


def look_in_every_theme(page: Page, name: str) -> None:
    """Take a picture in each of Lab's themes and hold it against what axe-core knows; the light one is the last."""
    for theme in THEMES:
        page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
        expect(page.locator("body")).to_have_attribute("data-jp-theme-name", theme, timeout=LONG_MS)
        screenshot(page, f"{name}-{theme.lower().replace(' ', '-')}")
        assert serious_findings(page) == [], theme


def test_after_a_reload_and_in_a_second_tab(page: Page, lab: Lab, open_notebook: OpenNotebook) -> None:
    notebook = open_notebook("twice", train_cell("twice", steps=LONG))
    card = launched(notebook)
    expect(card.get_by_role("log")).to_contain_text("step=", timeout=LONG_MS)
    save(page, notebook)
    page.reload()
    expect_state(card, "running")
    log = tab(card, "Log").get_by_role("log")
    expect(log).to_contain_text("step=", timeout=LONG_MS)
    log.focus()
    page.keyboard.press("Home")
    expect(log.get_by_text("step=0 loss")).to_be_in_viewport(timeout=LONG_MS)
    page.keyboard.press("End")

    other = Notebook(lab, page.context.new_page(), notebook.name)
    other.open()
    tab(other.card(1), "Log")
    expect(other.card(1).get_by_role("log")).to_contain_text("step=", timeout=LONG_MS)
    expect_state(other.card(1), "running")
    lab.runctl("cancel", "twice")
    for each in (notebook, other):
        each.page.bring_to_front()
        expect_state(each.card(1), "cancelled")
        expect(each.page.locator(".rc-Card")).to_have_count(1)
        whole = log_bytes(lab, "twice").decode().splitlines()
        expect(each.card(1).locator(".rc-Log-amount")).to_contain_text(f"{len(whole)} lines", timeout=LONG_MS)
        screenshot(each.page, f"card-{'reloaded' if each is notebook else 'second-tab'}")


def test_keys_pressed_in_a_card_are_the_cards(page: Page, lab: Lab, open_notebook: OpenNotebook) -> None:
    notebook = open_notebook("keys", train_cell("keys", steps=20, pause=0.05))
    notebook.run(0)
    notebook.run(1)
    card = notebook.card(1)
    expect_state(card, "succeeded")
    tab(card, "Log")
    log = card.get_by_role("log")
    log.click()
    expect(log).to_be_focused()
    # In a notebook: delete the cell, insert others, change its type, go up, run it.
    for key in ("d", "d", "a", "b", "m", "ArrowUp", "Escape", "Shift+Enter"):
        page.keyboard.press(key)
    expect(notebook.cells).to_have_count(2)
    expect(log).to_be_focused()
    expect(notebook.cell(1).locator(".jp-InputPrompt")).to_have_text("[2]:")

    # What belongs to the whole of JupyterLab goes on to work.
    saved = lab.work / notebook.name
    assert "succeeded" not in saved.read_text()

    def save() -> bool:
        # What the kernel puts into the file may come later than what the page shows: it is saved until it is there.
        page.keyboard.press("Control+s")
        return "succeeded" in saved.read_text()

    until(save, "the notebook is saved")

    card.get_by_role("tab", name="Log").focus()
    page.keyboard.press("ArrowRight")
    expect(card.get_by_role("tab", name="Checkpoints")).to_be_focused()
    expect(card.get_by_role("tabpanel", name="Checkpoints")).to_be_visible()
    page.keyboard.press("Tab")
    expect(card.get_by_role("button", name="step-0019.json", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(card.get_by_role("group", name="Inside step-0019.json")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("menu")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).to_have_count(0)
    expect(card.get_by_role("button", name="Actions of step-0019.json")).to_be_focused()
    screenshot(page, "card-keys")
