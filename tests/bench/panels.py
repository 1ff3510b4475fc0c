"""Figures of card and panel in Chromium, beside what a user would take instead. Not a test: it prints tables.

``python tests/bench/panels.py [--rounds 3] [--only view|whole|cells|rows]`` (needs the extra ``test``, Chromium, and
node with the packages of ``labextension/``). Frames are noted in the page itself, between calls of
``requestAnimationFrame``; the server, the sandbox, its machine and Chromium share the computer's cores.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Error, Page

from tests.bench.chromium import begin_frames, build_gallery, chromium, frames, idle_frames, spread, worst
from tests.bench.sandboxed import load, show
from tests.browser.lab import Lab, Notebook

COLUMNS = ("what", "frames", "lines", "lag", "aim", "load")
RATE, SECONDS, SIZE = 100_000, 10, 95
COUNT = RATE * SECONDS
PATIENCE_S = 120.0

PRINTER = f"""\
import sys, time
rate, seconds, size = {RATE}, {SECONDS}, {SIZE}
pad = "x" * (size - 29)
count, tick = rate * seconds, rate // 100
began, done = time.monotonic(), 0
while done < count:
    behind = began + done / rate - time.monotonic()
    if behind > 0:
        time.sleep(behind)
    stamp = f" {{time.time():.6f}} "
    for i in range(done, min(count, done + tick)):
        print(f"{{i:09d}}{{stamp}}{{pad}}")
    done += tick
sys.stdout.flush()
"""
"""Numbered lines of ``size`` bytes at a steady rate, with the time in each."""

WATCH = """
selector => {
  const watch = (window.benchLines = { ages: [], last: null, on: true });
  const look = () => {
    const rows = document.querySelectorAll(selector);
    const text = rows.length ? rows[rows.length - 1].textContent : '';
    const found = [...text.matchAll(/(\\d{9}) (\\d{10}\\.\\d{6}) x/g)].at(-1);
    if (found && found[1] !== watch.last) {
      watch.last = found[1];
      watch.ages.push(Date.now() - 1000 * Number(found[2]));
    }
    if (watch.on) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}
"""
"""At each frame: how old is the last line that is drawn?"""

SCROLL = """
([selector, seconds]) => new Promise(resolve => {
  const list = document.querySelector(selector);
  const began = performance.now();
  let rows = new Set();
  const step = now => {
    list.scrollTop += 60;
    if (list.scrollTop + list.clientHeight >= list.scrollHeight) list.scrollTop = 0;
    for (const each of list.querySelectorAll('li')) rows.add(each.dataset.index);
    if (now - began < 1000 * seconds) requestAnimationFrame(step); else resolve(rows.size);
  };
  requestAnimationFrame(step);
})
"""
Row = tuple[str, ...]


def view_alone(browser: Browser, gallery: Path, rounds: int) -> Iterator[Row]:
    """Feed the log's view in a page of its own: 10 pieces a second of 10,000 lines each."""
    yield ("a page that does nothing", worst([idle_frames(browser) for _ in range(rounds)]), "", "", "16.7 ms", load())
    runs, amounts = [], set()
    for _ in range(rounds):
        page = browser.new_page()
        page.goto(f"file://{gallery}/log.html?rate={RATE}&seconds={SECONDS}")
        begin_frames(page)
        amount = page.locator(".rc-Log-amount")
        amount.get_by_text(f"{COUNT:,} lines").wait_for(timeout=1000 * PATIENCE_S)
        runs.append(frames(page))
        amounts.add(amount.inner_text())
        page.close()
    shown = f"{COUNT:,} fed, shown: {', '.join(sorted(amounts))}"
    yield ("the log's view alone, 100,000 lines/s for 10 s", worst(runs), shown, "", "< 150 ms, none lost", load())


def whole_way(browser: Browser, lab: Lab, rounds: int) -> Iterator[Row]:
    """Let a job print and look at its card in JupyterLab; then read its log back and compare."""
    runs, beside, lags, ages, said = [], [], [], [], []
    for number in range(rounds):
        name = f"flood-{number}"
        notebook = opened(browser, lab, name, f"%%runctl train --on dev --name {name}\n{PRINTER}")
        notebook.run(1)
        card = notebook.card(1)
        card.get_by_role("tab", name="Log").click()
        card.get_by_role("log").wait_for()
        idle = browser.new_context().new_page()
        idle.goto("about:blank")
        begin_frames(idle)
        begin_frames(notebook.page)
        notebook.page.evaluate(WATCH, ".rc-Card .rc-Log-shown > *:last-child")
        wait_for_line(notebook.page, COUNT - 1)
        watched = notebook.page.evaluate("() => { window.benchLines.on = false; return window.benchLines; }")
        runs.append(frames(notebook.page))
        beside.append(frames(idle))
        idle.context.close()
        lags.append(watched["ages"][-1])
        ages.append(sorted(watched["ages"])[len(watched["ages"]) // 2])
        card.get_by_text("succeeded").first.wait_for(timeout=1000 * PATIENCE_S)
        amount = card.locator(".rc-Log-amount")
        said.append(f"{amount.inner_text()} ({amount.get_attribute('title')}); {kept(lab, name)}")
        notebook.page.context.close()
    lag = f"last line {spread(lags)} ms; median of the lines drawn {spread(ages)} ms"
    gaps = f"{worst(runs)}; a page that does nothing meanwhile: {worst(beside)}"
    yield ("a job → S3 → server → card, 100,000 lines/s for 10 s", gaps, "; ".join(said), lag, "< 150 ms", load())


def kept(lab: Lab, job: str) -> str:
    """Download the log as the card's link does and compare it with what was printed."""
    place = lab.runctl("jobs")[0]["id"]
    answer = httpx.get(lab.url("runctl-jupyter/download"), params={"log": place}, headers=lab.headers, timeout=120)
    answer.raise_for_status()
    printed = [line for line in answer.content.splitlines() if re.match(rb"\d{9} \d{10}\.", line)]
    lost = [number for number, line in enumerate(printed) if int(line[:9]) != number or len(line) != SIZE - 1]
    own = answer.content.count(b"\n") - len(printed)
    missing = COUNT - len(printed) + len(lost)
    return (
        f"record of {job}: {len(printed):,} printed + {own} of the runner, {len(answer.content):,} B, {missing} missing"
    )


def cells(browser: Browser, lab: Lab, rounds: int) -> Iterator[Row]:
    """Let the same lines be printed by cells, as one would without us."""
    (lab.work / "printer.py").write_text(PRINTER)
    for what, source in (
        ("print in a cell", PRINTER),
        ("!python printer.py", "!python printer.py"),
        ("%%bash", "%%bash\npython printer.py"),
    ):
        runs, shown, took = [], [], []
        for number in range(rounds):
            notebook = opened(browser, lab, f"rival-{number}", source)
            begin_frames(notebook.page)
            began = time.monotonic()
            notebook.run(1)
            state = settle(lab, notebook.page)
            took.append(time.monotonic() - began)
            runs.append(state["gaps"])
            shown.append(state["lines"])
            notebook.page.context.close()
        lines = f"{spread(shown)} of {COUNT:,} in the page"
        yield (what, worst(runs), lines, f"page quiet after {spread(took, 1)} s", "rival", load())


def settle(lab: Lab, page: Page) -> dict[str, Any]:
    """Wait until the kernel has done its work and the page answers; a page that does not has one long gap."""
    until = time.monotonic() + PATIENCE_S
    began = time.monotonic()
    time.sleep(1)
    while time.monotonic() < until:
        kernels = httpx.get(lab.url("api/kernels"), headers=lab.headers, timeout=60).json()
        if all(each["execution_state"] == "idle" for each in kernels):
            break
        time.sleep(0.5)
    page.set_default_timeout(1000 * max(5.0, until - time.monotonic()))
    try:
        page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.content.widgets[1].promptNode?.textContent.match(/\\d/)"
        )
        gaps = frames(page)
        lines = page.evaluate(
            "() => { const text = window.jupyterapp.shell.currentWidget.content.widgets[1].model.outputs.toJSON()"
            ".map(o => [].concat(o.text ?? '').join('')).join('');"
            " return (text.match(/^\\d{9} /gm) ?? []).length; }"
        )
    except Error:
        return {"gaps": [1000 * (time.monotonic() - began)], "lines": 0}
    return {"gaps": gaps, "lines": lines}


def wait_for_line(page: Page, number: int) -> None:
    """Wait until a line has been drawn; asked seldom, so that asking costs no frames."""
    page.wait_for_function(
        "number => window.benchLines?.last === String(number).padStart(9, '0')",
        arg=number,
        timeout=1000 * PATIENCE_S,
        polling=500,
    )


def opened(browser: Browser, lab: Lab, name: str, source: str) -> Notebook:
    """Open a notebook in a fresh profile, with us loaded."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    lab.write(f"{name}.ipynb", ["%load_ext runctl_jupyter", source])
    notebook = Notebook(lab, page, f"{name}.ipynb")
    notebook.open()
    notebook.run(0)
    notebook.wait_for_kernel()
    return notebook


def rows(browser: Browser, gallery: Path, rounds: int) -> Iterator[Row]:
    """Show 5,000 jobs and 1,000 instances, and scroll through each list for five seconds."""
    for label, count in (("Instances", 1_000), ("Jobs", 5_000)):
        firsts, runs, seen = [], [], []
        for _ in range(rounds):
            page = browser.new_page(viewport={"width": 320, "height": 900})
            began = time.monotonic()
            page.goto(f"file://{gallery}/panel.html?rows=5000&width=300")
            page.get_by_role("list", name=label).get_by_role("listitem").first.wait_for()
            firsts.append(1000 * (time.monotonic() - began))
            # What comes after the first rows is part of their time, not of scrolling.
            page.wait_for_timeout(1000)
            begin_frames(page)
            seen.append(page.evaluate(SCROLL, [f'.rc-RowList:has(ul[aria-label="{label}"])', 5]))
            runs.append(frames(page))
            page.close()
        per_second = spread([1000 * len(run) / sum(run) for run in runs], 1)
        what = f"the panel with {count:,} {label.lower()}: 5 s of scrolling, 60 px a frame"
        drawn = f"{spread(seen)} rows drawn; first rows {spread(firsts)} ms after goto"
        yield (what, f"{per_second} frames/s, {worst(runs)}", drawn, "", "60 frames/s", load())


def main() -> None:
    """Run every part and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["view", "whole", "cells", "rows"], action="append")
    options = parser.parse_args()
    only, rounds = options.only or ["view", "whole", "cells", "rows"], options.rounds
    table: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        gallery = build_gallery(Path(folder, "gallery"))
        if "view" in only:
            table += view_alone(browser, gallery, rounds)
        if "rows" in only:
            table += rows(browser, gallery, rounds)
        if {"whole", "cells"} & set(only):
            lab = Lab(Path(folder, "lab"))
            lab.start()
            try:
                lab.runctl("create", "m5.large", "--name", "dev", "--wait")
                if "whole" in only:
                    table += whole_way(browser, lab, rounds)
                if "cells" in only:
                    table += cells(browser, lab, rounds)
            finally:
                lab.stop()
    show("Card and panel", COLUMNS, table)


if __name__ == "__main__":
    main()
