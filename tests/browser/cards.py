"""What the tests of cards share: a job's record, a notebook's kernel, and waiting."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import ROOT, Lab, Notebook

LONG_MS = 60_000
"""Two cores, and others who use them."""

_AXE = ROOT / "labextension" / "node_modules" / "axe-core" / "axe.min.js"


def state_of(card: Locator) -> Locator:
    """Return the word for the job's state in a card's head."""
    return card.locator("header .rc-State")


def expect_state(card: Locator, state: str) -> None:
    """Wait until the card says so."""
    expect(state_of(card)).to_have_text(state, timeout=LONG_MS)


def job_named(lab: Lab, name: str) -> dict[str, Any]:
    """Return a job as its record has it, asked for beside the notebook."""
    [found] = [job for job in lab.runctl("jobs") if job["name"] == name]
    return dict(found)


def log_bytes(lab: Lab, name: str, *options: str) -> bytes:
    """Return a job's whole log, read beside the notebook; with ``--raw`` without the runner's words."""
    line = [sys.executable, "-m", "runctl_jupyter", "logs", name, *options]
    return subprocess.run(line, cwd=lab.work, env=lab.env, check=True, capture_output=True, timeout=120).stdout


def tab(card: Locator, name: str) -> Locator:
    """Select a tab of a card and return what it shows."""
    card.get_by_role("tab", name=name).click()
    return card.get_by_role("tabpanel", name=name)


def until(true: Callable[[], bool], what: str) -> None:
    """Wait for something that the page does not show."""
    deadline = time.monotonic() + LONG_MS / 1000
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def is_busy(notebook: Notebook, number: int) -> bool:
    """Whether a cell has not come back."""
    return notebook.cell(number).locator(".jp-InputPrompt").inner_text().strip() == "[*]:"


def end_kernel(lab: Lab, notebook: str) -> None:
    """Shut the kernel of a notebook down, as the menu does."""
    for session in httpx.get(lab.url("api/sessions"), headers=lab.headers).json():
        if session["path"] == notebook:
            httpx.delete(lab.url(f"api/sessions/{session['id']}"), headers=lab.headers).raise_for_status()


def save(page: Page, notebook: Notebook) -> Path:
    """Save a notebook, wait until it is on disk, and return the file."""
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    return notebook.lab.work / notebook.name


def serious_findings(page: Page, *rules: str) -> list[str]:
    """Return what axe-core finds serious or worse in the views on a page, by all rules or only by these."""
    if not page.evaluate("typeof axe === 'object'"):
        page.add_script_tag(path=_AXE)
    found = page.evaluate(
        """async rules => {
            const only = rules.length > 0 ? { runOnly: rules } : {};
            const result = await axe.run('.rc-Root', { preload: false, resultTypes: ['violations'], ...only });
            return result.violations
                .filter(each => ['serious', 'critical'].includes(each.impact))
                .flatMap(each => each.nodes.map(node => `${each.id}: ${node.html} ${node.failureSummary}`));
        }""",
        rules,
    )
    return list(found)
