"""A bucket with 100,000 objects under one prefix, in the browser of the panel."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.cards import expect_state
from tests.browser.conftest import OpenNotebook, train_cell
from tests.browser.lab import Lab, screenshot
from tests.browser.sidebar import TAB, WAIT_MS, Sidebar

BUCKET, PREFIX, COUNT = "runctl-sandbox", "many", 100_000
BODY = b'{"rows": [1, 2, 3], "about": "one of very many"}\n'


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab whose sandbox has very many objects."""
    lab = Lab(tmp_path_factory.mktemp("full"))
    sandbox = [sys.executable, "-m", "runctl_jupyter", "sandbox"]
    subprocess.run([*sandbox, "start"], env=lab.env, check=True, capture_output=True)
    subprocess.run([*sandbox, "stop"], env=lab.env, check=True, capture_output=True)
    fill(lab.home / "sandbox")
    subprocess.run([*sandbox, "start"], env=lab.env, check=True, capture_output=True)
    lab.start()
    try:
        yield lab
    finally:
        lab.stop()


def fill(home: Path) -> None:
    """Put the objects where a sandbox that starts finds them: one by one over HTTP they would take minutes."""
    body = home / "objects" / "aa" / "many"
    body.parent.mkdir(exist_ok=True)
    body.write_bytes(BODY)
    attributes = {
        "etag": hashlib.md5(BODY, usedforsecurity=False).hexdigest(), "storage_class": "STANDARD",
        "last_modified": "2026-01-01T00:00:00", "metadata": {"content-type": "application/json"}, "tags": [],
        **dict.fromkeys((
            "checksum_algorithm", "checksum_value", "checksum_type", "checksum_parts", "encryption", "kms_key_id",
            "bucket_key_enabled", "website_redirect_location", "lock_mode", "lock_legal_status", "lock_until",
        )),
    }  # fmt: skip
    said = json.dumps(attributes)
    rows = ((BUCKET, f"{PREFIX}/{number:06d}.json", "aa/many", said) for number in range(COUNT))
    with closing(sqlite3.connect(home / "state.sqlite3")) as database, database:
        database.executemany("INSERT INTO objects VALUES (?, ?, ?, ?)", rows)


def test_pages_filter_preview_and_download(full: Lab, page: Page) -> None:
    sidebar = Sidebar(full, page).open()
    section = sidebar.unfold("Checkpoints")
    section.get_by_role("button", name="Go to…").click()
    section.get_by_role("textbox", name="Address").fill(f"s3://{BUCKET}/{PREFIX}/")
    page.keyboard.press("Enter")
    rows = section.get_by_role("list", name="Objects", exact=True)
    expect(sidebar.row("Objects", "000000.json")).to_be_visible(timeout=WAIT_MS)
    count = section.locator(".rc-Panel-filter").get_by_role("status")
    expect(count).to_have_text("200+")
    assert rows.get_by_role("listitem").count() < 100

    sidebar.row("Objects", "000000.json").locator("[data-row-main]").focus()
    page.keyboard.press("End")
    expect(count).to_have_text("400+", timeout=WAIT_MS)
    expect(sidebar.row("Objects", "000199.json").locator("[data-row-main]")).to_be_focused()
    page.keyboard.press("PageDown")
    expect(sidebar.row("Objects", "000207.json").locator("[data-row-main]")).to_be_focused()
    screenshot(page, "objects-scrolled")

    section.get_by_role("searchbox").fill("09999")
    expect(count).to_have_text("10", timeout=WAIT_MS)
    last = sidebar.row("Objects", "099999.json")
    last.locator("[data-row-main]").click()
    expect(last.get_by_role("group", name="Inside 099999.json")).to_contain_text("one of very many", timeout=WAIT_MS)
    screenshot(page, "objects-preview")
    with page.expect_download() as started:
        sidebar.choose(last, "Download")
    assert started.value.suggested_filename == "099999.json"
    assert started.value.path().read_bytes() == BODY


def test_a_checkpoint_is_downloaded_and_loaded_into_a_variable(
    lab: Lab, page: Page, open_notebook: OpenNotebook
) -> None:
    notebook = open_notebook("checkpoints", train_cell("saves", steps=40, pause=0.02))
    notebook.run(0)
    notebook.run(1)
    expect_state(notebook.card(1), "succeeded")
    page.get_by_role("tab", name=TAB).click()
    sidebar = Sidebar(lab, page)
    sidebar.choose(sidebar.row("Jobs", "saves"), "Show checkpoints")
    saved = sidebar.row("Checkpoints of saves", "step-0039.json")
    expect(saved).to_contain_text("latest", timeout=WAIT_MS)
    screenshot(page, "sidebar-checkpoints")
    with page.expect_download() as started:
        sidebar.choose(saved, "Download")
    assert started.value.suggested_filename == "step-0039.json"
    assert started.value.path().read_bytes() == b'{"step": 39}'

    sidebar.choose(saved, "Load into a variable")
    inserted = notebook.cell(2)
    expect(inserted).to_contain_text("%runctl s3 download", timeout=WAIT_MS)
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("state")
    page.keyboard.press("Control+Enter")
    expect(inserted.locator(".jp-OutputArea-executeResult")).to_contain_text("{'step': 39}", timeout=WAIT_MS)
    screenshot(page, "checkpoint-loaded")
