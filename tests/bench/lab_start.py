"""Figures of what the Lab extension weighs. Not a test: it prints tables.

``python tests/bench/lab_start.py [--rounds 7]`` (needs the extra ``test``, Chromium, and node with the packages of
``labextension/``). The extension is built for production in a copy; the same JupyterLab is started with and without it,
and each opens a notebook in a fresh browser profile, in turns.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Response

from tests.bench.chromium import EXTENSION, chromium, spread
from tests.bench.sandboxed import load, show
from tests.browser.conftest import train_cell
from tests.browser.lab import Lab, Notebook

NAME = "runctl-jupyter"
LISTEN = """
() => {
  const seen = (window.benchMessages = {});
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  kernel.iopubMessage.connect((_, message) => {
    const type = message.header.msg_type;
    const one = (seen[type] ??= { count: 0, bytes: 0 });
    one.count += 1;
    one.bytes += JSON.stringify(message.content).length;
  });
}
"""
Row = tuple[str, ...]


def build(folder: Path) -> Path:
    """Build the extension for production in a copy, as the wheel has it; return the folder of its package."""
    source = folder / "labextension"
    wanted = ("package.json", "tsconfig.json", "src", "style", "schema", "yarn.lock", "install.json")
    for name in wanted:
        copy = shutil.copytree if (EXTENSION / name).is_dir() else shutil.copy
        copy(EXTENSION / name, _parent(source / name))
    (source / "node_modules").symlink_to(EXTENSION / "node_modules")
    subprocess.run(["npx", "tsc"], cwd=source, check=True, stdout=subprocess.DEVNULL)
    builder = Path(sys.executable).with_name("jupyter-builder")
    subprocess.run([builder, "build", "."], cwd=source, check=True, stdout=subprocess.DEVNULL)
    return folder / "runctl_jupyter" / "labextension"


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def lab_with(home: Path, package: Path, *, extension: bool) -> Lab:
    """Make a JupyterLab that takes our extension from `package`, or leaves out all of it."""
    lab = Lab(home)
    config = home / "config"
    (config / "labconfig").mkdir(parents=True)
    folder = home / "labextensions" / NAME
    shutil.copytree(package, folder)
    (config / "jupyter_lab_config.json").write_text(
        json.dumps({"LabApp": {"extra_labextensions_path": [str(folder.parent)]}})
    )
    if not extension:
        (config / "labconfig" / "page_config.json").write_text(json.dumps({"disabledExtensions": {NAME: True}}))
        (config / "jupyter_server_config.json").write_text(
            json.dumps({"ServerApp": {"jpserver_extensions": {"runctl_jupyter": False}}})
        )
    return lab


def starts(browser: Browser, labs: dict[str, Lab], rounds: int) -> tuple[list[Row], dict[str, int]]:
    """Open a notebook with each in turns; also return what of ours was loaded, by path."""
    times: dict[str, list[float]] = {name: [] for name in labs}
    loaded: dict[str, int] = {}

    def note(response: Response) -> None:
        if f"/extensions/{NAME}/" in response.url:
            loaded[response.url.split(f"/{NAME}/")[1].split("?")[0]] = len(response.body())

    for number in range(rounds + 1):
        for name, lab in labs.items():
            page = browser.new_context().new_page()
            if number == 0:
                page.on("response", note)
            lab.write("start.ipynb", ["1"])
            began = time.monotonic()
            Notebook(lab, page, "start.ipynb").open()
            # The first of each fills the server's own caches.
            if number > 0:
                times[name].append(time.monotonic() - began)
            page.context.close()
    rows: list[Row] = [
        (f"goto → notebook ready, {name}", f"{spread(each, 2)} s", "", "no slower", load())
        for name, each in times.items()
    ]
    pairs = [1000 * (a - b) for a, b in zip(times["with"], times["without"], strict=True)]
    rows.append(("with less without, in pairs", f"{spread(pairs)} ms", "", "", load()))
    return rows, loaded


def sizes(package: Path, loaded: dict[str, int]) -> Iterator[Row]:
    """Weigh the extension's files and the widgets' bundles."""
    files = [path for path in (package / "static").iterdir() if path.suffix != ".map" and path.is_file()]
    begin = [path for path in files if f"static/{path.name}" in loaded]
    widgets = EXTENSION.parent / "runctl_jupyter" / "widgets" / "static"
    yield ("Lab extension, all of static/", weight(files), f"{len(files)} files", "-", "")
    yield ("Lab extension, loaded at the start", weight(begin), f"{len(begin)} files", "-", "")
    for name in ("card.js", "panel.js", "loader.js", "style.css"):
        yield (f"widget {name}", weight([widgets / name]), "", "-", "")


def weight(files: list[Path]) -> str:
    """Return the size of files, and what they take compressed."""
    packed = sum(len(gzip.compress(path.read_bytes(), 6)) for path in files)
    return f"{sum(path.stat().st_size for path in files) / 1000:.0f} kB, gzip {packed / 1000:.0f} kB"


def messages(browser: Browser, labs: dict[str, Lab], seconds: int) -> Iterator[Row]:
    """Count what a running card costs on iopub, with the extension and as a widget; weigh the saved notebook."""
    for name, lab in labs.items():
        lab.runctl("create", "m5.large", "--name", "dev", "--wait")
        page = browser.new_context().new_page()
        cell = train_cell("messages", steps=10 * (seconds + 10), pause=0.1)
        lab.write("messages.ipynb", ["%load_ext runctl_jupyter", cell])
        notebook = Notebook(lab, page, "messages.ipynb")
        notebook.open()
        notebook.run(0)
        notebook.run(1)
        notebook.card(1).get_by_text("running").first.wait_for(timeout=60_000)
        page.evaluate(LISTEN)
        page.wait_for_timeout(1000 * seconds)
        seen = page.evaluate("() => window.benchMessages")
        notebook.card(1).get_by_text("succeeded").first.wait_for(timeout=120_000)
        page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        size = (lab.work / "messages.ipynb").stat().st_size
        kinds = ", ".join(
            f"{kind} {one['count'] / seconds:.1f}/s of {one['bytes'] / one['count'] / 1000:.1f} kB"
            for kind, one in sorted(seen.items())
        )
        total = sum(one["count"] for one in seen.values()) / seconds
        what = "card in Lab" if name == "with" else "card as a widget"
        yield (f"iopub, a running {what}", f"{total:.1f} messages/s", kinds, "≤ 10/s", load())
        yield (f"saved notebook with one {what}", f"{size / 1000:.1f} kB", "", "-", "")
        page.context.close()


def main() -> None:
    """Run every part and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=20, help="in which messages are counted")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        folder = Path(name)
        package = build(folder)
        labs = {each: lab_with(folder / each, package, extension=each == "with") for each in ("with", "without")}
        for lab in labs.values():
            lab.start()
        try:
            found, loaded = starts(browser, labs, options.rounds)
            rows += [*found, *sizes(package, loaded), *messages(browser, labs, options.seconds)]
        finally:
            for lab in labs.values():
                lab.stop()
    show("What the extension weighs", ("what", "measured", "of it", "aim", "load"), rows)


if __name__ == "__main__":
    main()
