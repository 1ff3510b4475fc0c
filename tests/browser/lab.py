"""A JupyterLab of the test session's own, with a sandbox behind it, and the page that a browser has of it."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Locator, Page

ROOT = Path(__file__).parents[2]
SCREENSHOTS = Path(os.environ.get("RUNCTL_SCREENSHOTS", ROOT / "test-results" / "screenshots"))
_START_S = 60.0
_OFF = {"fetchNews": "false", "checkForUpdates": False}
"""Lab asks about news in a corner of each picture otherwise."""


@dataclass
class Lab:
    """A Jupyter server and what runs it.

    Parameters
    ----------
    home
        Everything it writes lies here.
    """

    home: Path
    base_url: str = "/"
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    app: str = "lab"
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.work = self.home / "work"
        self.work.mkdir(parents=True)
        settings = {"@jupyterlab/apputils-extension:notification": _OFF, **self.settings}
        for plugin, chosen in settings.items():
            package, _, name = plugin.partition(":")
            file = self.home / "settings" / package / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(chosen))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNCTL_", "AWS_", "XDG_"))}
        self.env = {
            **kept,
            "HOME": str(self.home),
            "RUNCTL_SANDBOX_HOME": str(self.home / "sandbox"),
            "JUPYTER_CONFIG_DIR": str(self.home / "config"),
            "JUPYTER_DATA_DIR": str(self.home / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.home / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.home / "workspaces"),
            "IPYTHONDIR": str(self.home / "ipython"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}",
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._log = (self.home / "server.log").open("wb")
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "jupyter", self.app, "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
                f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0", f"--ServerApp.base_url={self.base_url}",
                f"--IdentityProvider.token={self.token}", "--LabApp.expose_app_in_browser=True",
            ],
            cwd=self.work, env=self.env, stdout=self._log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        deadline = time.monotonic() + _START_S
        while True:
            try:
                httpx.get(self.url("api/status"), headers=self.headers).raise_for_status()
                return
            except httpx.HTTPError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError((self.home / "server.log").read_text()[-4000:]) from None
                time.sleep(0.2)

    def stop(self) -> None:
        """End the server with its kernels, and the sandbox with its machines."""
        self.process.terminate()
        self.process.wait(30)
        self._log.close()
        subprocess.run([sys.executable, "-m", "runctl_jupyter", "sandbox", "stop"], env=self.env, check=True)

    @property
    def headers(self) -> dict[str, str]:
        """What a program sends to be let in."""
        return {"Authorization": f"token {self.token}"}

    def url(self, path: str) -> str:
        """Return the address of a path below the base URL."""
        return f"http://127.0.0.1:{self.port}{self.base_url}{path}"

    def runctl(self, *words: str) -> Any:
        """Run a line in a terminal beside the notebook and return its JSON."""
        done = subprocess.run(
            [sys.executable, "-m", "runctl_jupyter", *words, "--json"],
            cwd=self.work, env=self.env, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def write(self, name: str, cells: Sequence[str]) -> None:
        """Write a notebook with these cells."""
        rows = [
            {
                "cell_type": "code", "id": f"cell-{number}", "metadata": {}, "execution_count": None,
                "outputs": [], "source": source,
            }
            for number, source in enumerate(cells)
        ]  # fmt: skip
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = {"cells": rows, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
        (self.work / name).write_text(json.dumps(notebook))


@dataclass
class Notebook:
    """A notebook open in JupyterLab, driven as a person does."""

    lab: Lab
    page: Page
    name: str

    def open(self) -> None:
        """Open it in a fresh workspace and wait for its kernel."""
        self.page.goto(self.lab.url(f"lab/workspaces/{secrets.token_hex(4)}/tree/{self.name}?token={self.lab.token}"))
        self.cells.first.wait_for(timeout=60_000)
        self.wait_for_kernel()

    def wait_for_kernel(self) -> None:
        """Wait until cells can be run."""
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.isReady"
            " && window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'",
            timeout=60_000,
        )

    @property
    def cells(self) -> Locator:
        """Its cells."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell")

    def cell(self, number: int) -> Locator:
        """Return a cell."""
        return self.cells.nth(number)

    def run(self, number: int) -> Locator:
        """Run a cell; returns at once."""
        cell = self.cell(number)
        cell.scroll_into_view_if_needed()
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")
        return cell

    def card(self, number: int) -> Locator:
        """Return the card in a cell's output."""
        return self.cell(number).locator(".rc-Card")


def screenshot(page: Page, name: str) -> None:
    """Keep a picture of the page for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
