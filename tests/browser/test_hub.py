"""Under a prefix as JupyterHub gives one: everything works, and nobody else is let in."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import websocket
from playwright.sync_api import Page, expect

from tests.browser.cards import expect_state
from tests.browser.conftest import train_cell
from tests.browser.lab import Lab, Notebook, screenshot
from tests.browser.sidebar import TAB, WAIT_MS, Sidebar

ROUTES = (
    ("GET", "query/place"),
    ("GET", "download?log=some-job"),
    ("GET", "download?uri=s3://runctl-sandbox/x"),
    ("POST", "act/cancel"),
    ("GET", "events"),
)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab as a hub starts it for a user."""
    lab = Lab(tmp_path_factory.mktemp("hub"), base_url="/user/ada/")
    lab.start()
    try:
        lab.runctl("create", "m5.large", "--name", "dev", "--wait")
        yield lab
    finally:
        lab.stop()


def test_card_and_sidebar_work_below_a_prefix(hub: Lab, page: Page) -> None:
    hub.write("hub.ipynb", ["%load_ext runctl_jupyter", train_cell("below-a-prefix", steps=600)])
    notebook = Notebook(hub, page, "hub.ipynb")
    notebook.open()
    notebook.run(0)
    notebook.run(1)
    card = notebook.card(1)
    expect_state(card, "running")
    page.get_by_role("tab", name=TAB).click()
    sidebar = Sidebar(hub, page)
    row = sidebar.row("Jobs", "below-a-prefix")
    expect(row).to_contain_text("running", timeout=WAIT_MS)
    screenshot(page, "hub")
    sidebar.choose(row, "Stop…")
    row.get_by_role("alertdialog").get_by_role("button", name="Stop", exact=True).click()
    expect_state(card, "cancelled")


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_nobody_is_let_in_without_a_token(hub: Lab, method: str, route: str) -> None:
    answer = httpx.request(method, hub.url(f"runctl-jupyter/{route}"))
    assert answer.status_code == 403
    assert "runctl-sandbox" not in answer.text


def test_a_cookie_alone_changes_nothing(hub: Lab) -> None:
    with httpx.Client() as browser:
        browser.get(hub.url("lab"), params={"token": hub.token}, follow_redirects=True).raise_for_status()
        assert browser.get(hub.url("runctl-jupyter/query/place")).status_code in (200, 403)
        refused = browser.post(hub.url("runctl-jupyter/act/cancel"), json={"params": {"job": "x"}, "place": None})
        assert refused.status_code == 403
        assert "XSRF" in refused.text or "_xsrf" in refused.text
        asked = browser.post(
            hub.url("runctl-jupyter/act/cancel"),
            json={"params": {"job": "no-such-job"}, "place": None},
            headers={"X-XSRFToken": browser.cookies["_xsrf"]},
        )
        assert (asked.status_code, asked.json()["error"]) == (404, "job-not-found")


def test_another_site_cannot_listen(hub: Lab) -> None:
    with httpx.Client() as browser:
        browser.get(hub.url("lab"), params={"token": hub.token}, follow_redirects=True).raise_for_status()
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    address = hub.url("runctl-jupyter/events").replace("http://", "ws://")
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        websocket.create_connection(address, cookie=cookies, origin="https://elsewhere.example", timeout=30)
    own = websocket.create_connection(address, cookie=cookies, origin=f"http://127.0.0.1:{hub.port}", timeout=30)
    own.close()
