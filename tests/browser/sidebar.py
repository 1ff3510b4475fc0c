"""The sidebar of the page, driven as a person does."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import Lab

WAIT_MS = 60_000
"""Until a state is there; CI has two cores and other work."""
TAB = "runctl: jobs, machines and checkpoints"


@dataclass
class Sidebar:
    """The panel at the left of the page."""

    lab: Lab
    page: Page

    def open(self) -> Sidebar:
        """Open the page in a fresh workspace, and the sidebar by its icon."""
        self.open_page()
        self.page.get_by_role("tab", name=TAB).click()
        expect(self.panel).to_be_visible(timeout=WAIT_MS)
        return self

    def open_page(self, path: str = "") -> None:
        """Open Lab in a fresh workspace and wait until it is up."""
        self.page.goto(self.lab.url(f"lab/workspaces/{secrets.token_hex(4)}{path}?token={self.lab.token}"))
        self.page.get_by_role("tab", name=TAB).wait_for(timeout=WAIT_MS)
        self.page.wait_for_function("() => window.jupyterapp.restored.then(() => true)", timeout=WAIT_MS)

    @property
    def panel(self) -> Locator:
        """The panel itself."""
        return self.page.locator("#runctl-sidebar .rc-Panel")

    def section(self, title: str) -> Locator:
        """Return a section."""
        return self.panel.get_by_role("region", name=title)

    def head(self, title: str) -> Locator:
        """Return the button that folds a section."""
        return self.section(title).get_by_role("button", name=title).first

    def unfold(self, title: str) -> Locator:
        """Return a section that is open now."""
        if self.head(title).get_attribute("aria-expanded") != "true":
            self.head(title).click()
        expect(self.head(title)).to_have_attribute("aria-expanded", "true")
        return self.section(title)

    def row(self, listed: str, name: str) -> Locator:
        """Return the row of a name in one of the lists."""
        rows = self.panel.get_by_role("list", name=listed, exact=True).get_by_role("listitem")
        return rows.filter(has=self.page.locator(f'[data-row-main][title^="{name}\\a"]'))

    def choose(self, row: Locator, verb: str) -> None:
        """Choose a verb in a row's context menu."""
        main = row.locator("[data-row-main]")
        main.scroll_into_view_if_needed()
        # A menu goes when what is around it scrolls: the event of this scrolling comes with the next frame.
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        main.click(button="right")
        self.page.get_by_role("menuitem", name=verb, exact=True).click()
