"""The sidebar without a mouse: from the icons to a job, its menu, the question, and back."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.lab import Lab, screenshot
from tests.browser.sidebar import TAB, WAIT_MS, Sidebar

_OUTLINED = """() => [null, '::after'].some(part => {
    const style = getComputedStyle(document.activeElement, part);
    return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1;
})"""


def test_a_job_is_stopped_by_keys_alone(lab: Lab, page: Page) -> None:
    (lab.work / "waits.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(600)\n")
    job = lab.runctl("train", "waits.py", "--on", "dev", "--name", "by-keys")["id"]
    sidebar = Sidebar(lab, page)
    sidebar.open_page()
    tab = page.get_by_role("tab", name=TAB)
    # The launcher takes the focus when it comes; then it is where it stays.
    expect(page.locator(".jp-Launcher")).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("tablist", name="main sidebar").get_by_role("tab").first.focus()
    press_until(page, "ArrowDown", lambda: tab.evaluate("tab => tab === document.activeElement"))
    page.keyboard.press("Enter")
    row = sidebar.row("Jobs", "by-keys")
    expect(row).to_contain_text("running", timeout=WAIT_MS)

    main = row.locator("[data-row-main]")
    first = page.get_by_role("list", name="Jobs", exact=True).locator("[data-row-main]").first
    press_until(page, "Tab", lambda: first.evaluate("row => row === document.activeElement"))
    expect(main).to_be_focused()
    assert page.evaluate(_OUTLINED)
    screenshot(page, "keyboard-row")

    page.keyboard.press("Shift+F10")
    menu = page.get_by_role("menu")
    expect(menu.get_by_role("menuitem").first).to_be_focused()
    screenshot(page, "keyboard-menu")
    page.keyboard.press("Escape")
    expect(menu).to_have_count(0)
    expect(row.locator("[data-row-head] :focus")).to_have_count(1)

    page.keyboard.press("Shift+F10")
    page.keyboard.press("s")
    press_until(page, "s", lambda: page.evaluate("() => document.activeElement.textContent") == "Stop…")
    page.keyboard.press("Enter")
    question = row.get_by_role("alertdialog")
    expect(question.get_by_role("button", name="Stop", exact=True)).to_be_focused()
    assert page.evaluate(_OUTLINED)
    screenshot(page, "keyboard-question")
    page.keyboard.press("Escape")
    expect(question).to_have_count(0)
    expect(main).to_be_focused()

    page.keyboard.press("Delete")
    page.keyboard.press("Enter")
    expect(row).to_contain_text("cancelled", timeout=WAIT_MS)
    expect(main).to_be_focused()
    assert lab.runctl("show", job)["state"] == "cancelled"


def press_until(page: Page, key: str, there: Callable[[], object], most: int = 60) -> None:
    """Press a key until the focus is where it is wanted."""
    for _ in range(most):
        page.keyboard.press(key)
        if there():
            return
    raise AssertionError(f"{most} times {key} do not lead there: {page.evaluate('document.activeElement.outerHTML')}")
