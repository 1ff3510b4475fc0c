"""A Jupyter server of its own, as a hub starts one, with the extension enabled by the file that the wheel installs."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from runctl_jupyter.orchestration import Runctl
from tests.unit.panels.conftest import Records

ROOT = Path(__file__).parents[3]
TOKEN = "a-token-for-tests"
BASE = "/user/ada/"
_DEADLINE_S = 90.0


@dataclass
class Answer:
    """What the server said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """A running server and its address."""

    def __init__(self, port: int, root: Path) -> None:
        self.port, self.root = port, root
        self.url = f"http://127.0.0.1:{port}{BASE}runctl-jupyter/"

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: object = None,
        *,
        token: str | None = TOKEN,
        cookies: CookieJar | None = None,
        headers: dict[str, str] | None = None,
        **query: str,
    ) -> Answer:
        """Send a request."""
        url = self.url + path + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = None if body is None and method == "GET" else json.dumps(body).encode()
        request = urllib.request.Request(url, data, method=method, headers=headers or {})
        if token is not None:
            request.add_header("Authorization", f"token {token}")
        opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(CookieJar() if cookies is None else cookies)
        )
        try:
            with opener.open(request, timeout=60) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    def query(self, method: str, **params: object) -> Answer:
        """Ask a question."""
        return self.ask(f"query/{method}", params=json.dumps(params))

    def act(self, action: str, **params: object) -> Answer:
        """Do something."""
        return self.ask(f"act/{action}", "POST", {"params": params})

    async def follow(
        self, token: str | None = TOKEN, headers: dict[str, str] | None = None
    ) -> WebSocketClientConnection:
        """Open a WebSocket."""
        headers = {**(headers or {}), **({} if token is None else {"Authorization": f"token {token}"})}
        return await websocket_connect(HTTPRequest(f"ws{self.url.removeprefix('http')}events", headers=headers))


@pytest.fixture(scope="session")
def server_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps everything."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def server(server_home: Path) -> Iterator[Server]:
    """The server."""
    root, runtime, config = (server_home / name for name in ("root", "runtime", "config"))
    for folder in (root, runtime, config / "jupyter_server_config.d"):
        folder.mkdir(parents=True)
    shutil.copy(ROOT / "jupyter-config" / "runctl_jupyter.json", config / "jupyter_server_config.d")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RUNCTL_", "JUPYTER", "XDG_"))}
    env |= {
        "HOME": str(server_home), "XDG_DATA_HOME": str(server_home / "data"), "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_RUNTIME_DIR": str(runtime), "JUPYTER_TOKEN": TOKEN, "RUNCTL_TARGET": "local",
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    others = dict.fromkeys(
        ("jupyterlab", "jupyter_lsp", "notebook", "notebook_shim", "jupyter_server_terminals"), False
    )
    options = [
        "--ServerApp.port=0", "--ServerApp.ip=127.0.0.1", f"--ServerApp.base_url={BASE}", "--ServerApp.allow_root=True",
        "--ServerApp.open_browser=False", f"--ServerApp.root_dir={root}",
        f"--ServerApp.jpserver_extensions={dict.fromkeys(others, False)}",
    ]  # fmt: skip
    log = server_home / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "jupyter_server", *options], env=env, stdout=out, stderr=out)
    try:
        yield Server(asyncio.run(_port(process, runtime, log)), root)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


async def _port(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> int:
    """Wait for the file in which the server says where it is, and until it listens there: the file comes first."""
    async with asyncio.timeout(_DEADLINE_S):
        while process.poll() is None:
            for path in runtime.glob(f"jpserver-{process.pid}.json"):
                if text := path.read_text():
                    port = int(json.loads(text)["port"])
                    with suppress(ConnectionRefusedError):
                        _, writer = await asyncio.open_connection("127.0.0.1", port)
                        writer.close()
                        return port
            await asyncio.sleep(0.05)
    pytest.fail(log.read_text())


@pytest.fixture
def records(server_home: Path, monkeypatch: pytest.MonkeyPatch) -> Records:
    """Writes jobs into the record that the server reads."""
    monkeypatch.setenv("XDG_DATA_HOME", str(server_home / "data"))
    monkeypatch.setenv("HOME", str(server_home))
    return Records(Runctl("local", cwd=server_home))
