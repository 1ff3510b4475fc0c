"""What the benches of the panels share: Chromium, a meter of its frames, and pages of the gallery."""

from __future__ import annotations

import shutil
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

EXTENSION = Path(__file__).parents[2] / "labextension"

_METER = """
() => {
  const meter = (window.benchFrames = { gaps: [], on: true });
  let last = performance.now();
  const frame = now => {
    meter.gaps.push(now - last);
    last = now;
    if (meter.on) requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}
"""
_READ = "() => { window.benchFrames.on = false; return window.benchFrames.gaps.slice(2); }"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the system's Chromium; without a GPU, as where most of these machines are."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--allow-file-access-from-files"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


def build_gallery(folder: Path) -> Path:
    """Build the pages of the gallery; return where they are."""
    subprocess.run(["node", "gallery/build.mjs", str(folder)], cwd=EXTENSION, check=True)
    return folder


def begin_frames(page: Page) -> None:
    """Note the time between frames of the page from now on."""
    page.evaluate(_METER)


def frames(page: Page) -> list[float]:
    """Return the milliseconds between frames since `begin_frames`, the first two left out, and stop."""
    gaps: list[float] = page.evaluate(_READ)
    return gaps


def worst(runs: Sequence[Sequence[float]]) -> str:
    """Return minimum, median and maximum of the longest gap of each run, and the 99th percentile of all gaps."""
    everything = sorted(gap for run in runs for gap in run)
    return f"longest gap {spread([max(run) for run in runs])} ms, p99 {everything[int(len(everything) * 0.99)]:.0f} ms"


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Return minimum, median and maximum; a single value alone."""
    if len(values) == 1:
        return f"{values[0]:,.{digits}f}"
    return " / ".join(f"{v:,.{digits}f}" for v in (min(values), statistics.median(values), max(values)))


def idle_frames(browser: Browser, seconds: float = 3.0) -> list[float]:
    """Return the gaps of a page that does nothing: what this machine gives to anybody now."""
    page = browser.new_page()
    page.goto("about:blank")
    begin_frames(page)
    page.wait_for_timeout(1000 * seconds)
    gaps = frames(page)
    page.close()
    return gaps
