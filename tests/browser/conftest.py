"""JupyterLab with a sandbox behind it, and Debian's Chromium in front of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.lab import Lab, Notebook

OpenNotebook = Callable[..., Notebook]

WAIT_MS = 60_000
"""For what a page should show: two cores may be shared by servers, kernels, machines and two browsers."""
expect.set_options(timeout=WAIT_MS)

TRAIN = """\
import os, pathlib, time
folder = pathlib.Path(os.environ["RUNCTL_CHECKPOINT_DIR"])
for step in range({steps}):
    print(f"step={{step}} loss={{2 / (step + 1) + 0.1:.4f}} acc={{1 - 1 / (step + 2):.3f}}", flush=True)
    if step % 20 == 19:
        (folder / f"step-{{step:04d}}.json").write_text('{{"step": %d}}' % step)
    time.sleep({pause})
"""


def train_cell(name: str, steps: int = 40, pause: float = 0.1, on: str = "dev") -> str:
    """A cell that trains for a while: metrics, checkpoints, an end."""
    return f"%%runctl train --on {on} --name {name}\n" + TRAIN.format(steps=steps, pause=pause)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium; nothing is downloaded."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert found is not None, "needs Chromium (Debian: apt-get install chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found,
            args=["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab with a machine ``dev`` in its sandbox; nothing of it is left at the end."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    lab.start()
    try:
        lab.runctl("create", "m5.large", "--name", "dev", "--wait")
        yield lab
    finally:
        lab.stop()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh browser profile with one page; it fails if the page did not catch an error of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert [error for error in errors if "runctl" in error or "rc-" in error] == []


@pytest.fixture
def open_notebook(lab: Lab, page: Page) -> OpenNotebook:
    """Writes a notebook and opens it."""

    def make(name: str, *cells: str) -> Notebook:
        lab.write(f"{name}.ipynb", ["%load_ext runctl_jupyter", *cells])
        notebook = Notebook(lab, page, f"{name}.ipynb")
        notebook.open()
        return notebook

    return make
