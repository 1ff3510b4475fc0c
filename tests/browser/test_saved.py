"""What a saved notebook keeps of a job, and what becomes of it when it is opened again."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Page, expect

from tests.browser.cards import LONG_MS, end_kernel, expect_state, job_named, save, until
from tests.browser.conftest import OpenNotebook, train_cell
from tests.browser.lab import Lab, Notebook, screenshot

JOB = "application/vnd.runctl.job+json"
WIDGET = "application/vnd.jupyter.widget-view+json"


def test_shows_the_present_without_a_kernel(lab: Lab, page: Page, open_notebook: OpenNotebook) -> None:
    notebook = open_notebook("saved", train_cell("saved", steps=6000))
    notebook.run(0)
    notebook.run(1)
    expect_state(notebook.card(1), "running")
    # The twins are made in the kernel, a little after the live view.
    page.wait_for_function(
        """() => JSON.stringify(window.jupyterapp.shell.currentWidget.content.model.toJSON()).includes('<svg')""",
        timeout=LONG_MS,
    )
    file = save(page, notebook)
    page.goto("about:blank")
    end_kernel(lab, notebook.name)

    text = file.read_text()
    [bundle] = [output["data"] for output in json.loads(text)["cells"][1]["outputs"] if JOB in output.get("data", {})]
    assert set(bundle) == {JOB, WIDGET, "text/html", "text/plain"}
    assert bundle[JOB]["card"]["job"]["state"] == "running"
    html = "".join(bundle["text/html"])
    assert "<svg" in html
    assert len(html.encode()) < 20_000
    assert len(text.encode()) < 100_000
    assert "<script" not in html
    assert_nothing_secret(lab, text)

    lab.runctl("cancel", "saved")
    until(lambda: job_named(lab, "saved")["state"] == "cancelled", "the job ends")
    notebook.open()
    card = notebook.card(1)
    expect_state(card, "cancelled")
    expect(notebook.cell(1).locator(".jp-InputPrompt")).to_have_text("[2]:")
    expect(card.get_by_role("img", name=re.compile("chart of loss"))).to_be_visible(timeout=LONG_MS)
    expect(card.get_by_role("log")).to_contain_text("step=", timeout=LONG_MS)
    screenshot(page, "saved-opened-again")
    end_kernel(lab, notebook.name)
    assert file.read_text() == text


def assert_nothing_secret(lab: Lab, text: str) -> None:
    """No key, no account, no bucket; what a bucket is called is known from the job's own addresses."""
    [newest, *_] = lab.runctl("checkpoints", "list", "saved")
    bucket = str(newest["uri"]).removeprefix("s3://").partition("/")[0]
    assert bucket not in text
    assert re.findall(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}", text) == []
    assert re.findall(r"(?<![\w.])\d{12}(?![\w.])", text) == []
    assert not any(word in text.lower() for word in ("secret", "session_token", "aws_access"))


def test_a_notebook_from_elsewhere_shows_what_was_saved(lab: Lab, page: Page, open_notebook: OpenNotebook) -> None:
    """Its place is not known on this computer: nobody can be asked."""
    notebook = open_notebook("mine", train_cell("mine", steps=20, pause=0.05))
    notebook.run(0)
    notebook.run(1)
    expect_state(notebook.card(1), "succeeded")
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.content.model.cells.get(1).outputs.toJSON()"
        ".some(output => JSON.stringify(output.data).includes('succeeded'))",
        timeout=LONG_MS,
    )
    document = json.loads(save(page, notebook).read_text())
    [output] = [each for each in document["cells"][1]["outputs"] if JOB in each.get("data", {})]
    output["data"][JOB]["place"] = "000000000000"
    (lab.work / "theirs.ipynb").write_text(json.dumps(document))
    theirs = Notebook(lab, page, "theirs.ipynb")
    theirs.open()
    expect_state(theirs.card(1), "succeeded")
    expect(theirs.card(1)).to_contain_text("not live", timeout=LONG_MS)
    expect(theirs.card(1).get_by_role("img", name=re.compile("chart of loss"))).to_be_visible(timeout=LONG_MS)
    screenshot(page, "saved-from-elsewhere")
    for each in (notebook, theirs):
        end_kernel(lab, each.name)
