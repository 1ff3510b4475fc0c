"""Machines for the tests: every test that takes `rack` runs on plain and on isolated machines."""

from __future__ import annotations

import functools
import itertools
import os
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from runctl_jupyter.sandbox.hosts.base import (
    Host,
    HostFactory,
    HostServices,
    HostSpec,
    RoleCredentials,
    ScriptEnd,
    ScriptResult,
    ShellScript,
)
from runctl_jupyter.sandbox.hosts.isolated import IsolatedHostFactory, why_not_isolated
from runctl_jupyter.sandbox.hosts.plain import PlainHostFactory

_numbers = itertools.count(1)


@functools.cache
def obstacle_to_isolated() -> str | None:
    folder = Path(tempfile.mkdtemp(prefix="hosts-"))
    try:
        return why_not_isolated(folder)
    finally:
        shutil.rmtree(folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes an isolated machine directly, too."""
    for item in items:
        if "isolated" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.isolated)


def require_isolated() -> None:
    obstacle = obstacle_to_isolated()
    if obstacle is None:
        return
    message = f"isolated machines cannot run here, half of the sandbox is NOT TESTED: {obstacle}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


ROLE = RoleCredentials(
    "trainer",
    "arn:aws:iam::123456789012:instance-profile/trainer",
    "ASIAEXAMPLE",
    "secret",
    "session-token",
    "2099-01-01T00:00:00Z",
)


@dataclass
class Rack:
    """Makes machines of one mode, and runs scripts on them."""

    mode: str
    factory: HostFactory
    state_dir: Path
    endpoint_url: str
    tag: str
    powered_off: queue.Queue[str] = field(default_factory=queue.Queue)
    rebooted: queue.Queue[str] = field(default_factory=queue.Queue)
    hosts: list[Host] = field(default_factory=list)
    role: RoleCredentials | None = field(default_factory=lambda: ROLE)

    def spec(self, **changes: object) -> HostSpec:
        values: dict[str, object] = {
            "instance_id": f"i-{self.tag}{next(_numbers):05x}",
            "instance_type": "g5.xlarge",
            "image_id": "ami-0123456789abcdef0",
            "account_id": "123456789012",
            "region": "eu-central-1",
            "zone": "eu-central-1b",
            "vcpus": 4,
            "memory_mib": 16384,
            "root_gib": 2,
        }
        return HostSpec(**(values | changes))  # type: ignore[arg-type]

    def make(self, **changes: object) -> Host:
        services = HostServices(
            self.state_dir, {"default": self.endpoint_url}, lambda: self.role, self.powered_off.put, self.rebooted.put
        )
        host = self.factory.create(self.spec(**changes), services)
        self.hosts.append(host)
        return host

    def boot(self, **changes: object) -> Host:
        host = self.make(**changes)
        host.boot()
        return host

    def run(self, host: Host, text: str, timeout_s: float = 30.0, **changes: object) -> ScriptResult:
        script = ShellScript(f"command-{next(_numbers)}", text, timeout_s, **changes)  # type: ignore[arg-type]
        return host.start_script(script).result()

    @staticmethod
    def wait_until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "the awaited state did not come"
            time.sleep(0.01)

    @staticmethod
    def new_marker() -> str:
        """A duration for `sleep` that no other process has."""
        return f"{7000 + next(_numbers)}.{os.getpid()}{time.monotonic_ns() % 10**6:06d}"

    @staticmethod
    def processes_with(marker: str) -> list[psutil.Process]:
        """Living processes that have `marker` as one of their arguments, on whatever machine."""
        found = []
        for process in psutil.process_iter():
            try:
                if marker in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def process_with(self, marker: str) -> psutil.Process:
        """The one `sleep` with `marker`, as soon as it is there: a shell may end before its job has started."""
        seen: list[psutil.Process] = []

        def is_there() -> bool:
            # One look decides: while a process becomes another program, it has no arguments for a moment.
            seen[:] = self.processes_with(marker)
            return [each.name() for each in seen] == ["sleep"]

        self.wait_until(is_there)
        return seen[0]

    def output(self, host: Host, text: str) -> str:
        result = self.run(host, text)
        assert (result.end, result.exit_code) == (ScriptEnd.EXITED, 0), result
        return result.stdout.strip()


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"hello {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="session")
def hello_url() -> Iterator[str]:
    """An HTTP server on the loopback of the machine that runs the tests."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["plain", pytest.param("isolated", marks=pytest.mark.isolated)], scope="module")
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _racks(mode: str, state_dir: Path, hello_url: str) -> Iterator[Rack]:
    if mode == "isolated":
        require_isolated()
    factory: HostFactory = PlainHostFactory(state_dir) if mode == "plain" else IsolatedHostFactory(state_dir)
    factory.start()
    rack = Rack(mode, factory, state_dir, hello_url, os.urandom(6).hex())
    try:
        yield rack
    finally:
        for host in rack.hosts:
            host.destroy()
        factory.close()
    assert list((state_dir / "hosts").iterdir()) == []


@pytest.fixture(scope="module")
def rack(mode: str, tmp_path_factory: pytest.TempPathFactory, hello_url: str) -> Iterator[Rack]:
    yield from _racks(mode, tmp_path_factory.mktemp("sandbox"), hello_url)


@pytest.fixture(scope="module")
def machine(rack: Rack) -> Host:
    """One running machine for all tests of a module that only run scripts on it."""
    return rack.boot()


@pytest.fixture(scope="module")
def isolated(tmp_path_factory: pytest.TempPathFactory, hello_url: str) -> Iterator[Rack]:
    """A rack of isolated machines only."""
    yield from _racks("isolated", tmp_path_factory.mktemp("sandbox"), hello_url)
